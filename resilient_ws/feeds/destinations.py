"""Where an HTTP request goes, and how it gets there: vetted as a session's dial is.

Rules: the URL, and what a server answers, never get into a log or an error, for in its
path many services put a token. Nothing is kept but the connection.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import attrs
from yarl import URL

from resilient_ws import Access, SecurityError
from resilient_ws.policy._validate import require
from resilient_ws.policy.url import Endpoint, parse_endpoint


if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


_DIALLED_AS: Final = {"http": "ws", "https": "wss"}


def destination(url: str, access: Access) -> Destination:
    """Return where a URL leads.

    Args:
        url: ``https://``, or ``http://`` as ``access`` allows.
        access: Where it may go; ``http://`` is treated as ``ws://``.

    Raises:
        SecurityError: ``access`` does not allow the URL.
        TypeError: A value of another type.
        ValueError: The URL cannot be used.
    """
    require(url, str, "url", "a str")
    require(access, Access, "access", "an Access")
    return Destination(_endpoint(url, access), access)


def printable_headers(given: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers of a user, which no value can break out of.

    Raises:
        TypeError: A value of another type.
        ValueError: A name or a value cannot be sent; neither is shown.
    """
    if given is None:
        return {}
    require(given, Mapping, "headers", "a mapping of str to str")
    for name, value in given.items():
        require(name, str, "headers", "a mapping of str to str")
        require(value, str, "headers", "a mapping of str to str")
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ValueError("headers must not hold an invalid name.")
        if not re.fullmatch(r"[\t\x20-\x7e]*", value):
            raise ValueError("The value of a header must be printable ASCII.")
    return dict(given)


@attrs.frozen
class Destination:
    """Where requests go, and what it takes to get there."""

    endpoint: Endpoint
    access: Access

    @property
    def url(self) -> URL:
        """The URL, which may be secret."""
        return URL(self.endpoint.http_url, encoded=True)

    @property
    def shown(self) -> str:
        """The URL without its path: there, many services put a token."""
        port = self.url.explicit_port
        host = self.url.raw_host or ""
        return f"{self.url.scheme}://{host}{f':{port}' if port else ''}"

    def client(self) -> aiohttp.ClientSession:
        """Return a client that keeps nothing but its connection."""
        given = self.endpoint.authorization
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                use_dns_cache=False, socket_factory=self._socket
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=None if given is None else {"Authorization": given},
            auto_decompress=False,
        )

    def _socket(self, info: Any) -> socket.socket:
        """Make a socket to an address that is allowed."""
        family, kind, protocol, _, address = info
        try:
            self.access.check_address(address[0], self.endpoint)
        except SecurityError as refusal:
            # An OSError, for the host may have others that are allowed.
            raise PermissionError("address refused") from _of_http(refusal)
        return socket.socket(family, kind, protocol)


class KeptClient:
    """Posts to one destination; entered, it keeps its connections between two posts.

    Args:
        destination: Where it posts to.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._http: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        """Show where it posts to, without what may be secret."""
        return f"<{type(self).__name__} {self._destination.shown}>"

    async def __aenter__(self) -> Self:
        """Keep connections from now on."""
        self._http = self._destination.client()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.close()


def refusal_in(failure: BaseException | None) -> SecurityError | None:
    """Return the refusal that made a dial fail, ``None`` if something else did."""
    while failure is not None and not isinstance(failure, SecurityError):
        failure = failure.__cause__
    return failure


def _endpoint(url: str, access: Access) -> Endpoint:
    scheme, colon, rest = url.partition(":")
    if scheme.lower() not in _DIALLED_AS or not colon:
        raise ValueError("url must start with https:// or http://.")
    endpoint = parse_endpoint(f"{_DIALLED_AS[scheme.lower()]}:{rest}")
    try:
        access.check_endpoint(endpoint)
    except SecurityError as refusal:
        raise _of_http(refusal) from None
    return endpoint


def _of_http(refusal: SecurityError) -> SecurityError:
    """Return a refusal that speaks of http(s), and shows no path."""
    text = re.sub(r"\bws(s?://[^/\s?]*)(\S*)", _told, str(refusal))
    return SecurityError(text)


def _told(found: re.Match[str]) -> str:
    # The path of the URL is left out; a remedy, like "wss://,", is not.
    path = found[2] if not found[2].startswith(("/", "?")) else ""
    return f"http{found[1]}{path}"
