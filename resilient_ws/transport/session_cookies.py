"""The cookies that servers have set for one session.

Rules: ``HttpClient`` sends them, and not aiohttp, which would let them override the
user's own cookies. They are sent with the values that the servers gave them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from resilient_ws.policy.host import bracketed


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resilient_ws.policy.url import Endpoint


class SessionCookies:
    """Keeps cookies for as long as a session lasts."""

    __slots__ = ("_jar",)

    def __init__(self) -> None:
        # Created with the first cookie: most servers set none.
        self._jar: aiohttp.CookieJar | None = None

    def keep(self, headers: Sequence[str], endpoint: Endpoint) -> None:
        """Keep the cookies that an endpoint sets.

        Args:
            headers: The values of the ``Set-Cookie`` headers.
            endpoint: The endpoint that sent them.
        """
        if self._jar is None:
            # unsafe accepts cookies from IP addresses: devices are often dialled so.
            self._jar = aiohttp.CookieJar(unsafe=True)
        self._jar.update_cookies_from_headers(headers, _url(endpoint))

    def meant_for(self, endpoint: Endpoint) -> Iterator[tuple[str, str]]:
        """Yield the name and the value of each cookie to send to an endpoint."""
        if self._jar is None:
            return
        for name, chosen in self._jar.filter_cookies(_url(endpoint)).items():
            # filter_cookies() quotes values again; the jar has the original ones.
            found = (
                one for one in self._jar if (one.key, one.value) == (name, chosen.value)
            )
            yield name, next(found, chosen).coded_value


def _url(endpoint: Endpoint) -> URL:
    """Return the URL to match cookies against: normalised host, path, no query."""
    return URL.build(
        scheme=endpoint.http_scheme,
        authority=bracketed(endpoint.host),
        path=endpoint.target.partition("?")[0],
        encoded=True,
    )
