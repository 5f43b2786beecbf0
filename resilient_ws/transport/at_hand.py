"""What one session keeps to itself in an aiohttp client that many sessions share.

Rules: a request and everything aiohttp does for it run in one context, where aiohttp's
callbacks find the current session's ``Caller``. Addresses are vetted when sockets are
created, so literal and resolved ones are treated alike. Cookies are kept here and sent
by ``HttpClient``, because aiohttp would let them override the user's own.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Literal

import aiohttp
from yarl import URL

from resilient_ws.errors import SecurityError
from resilient_ws.policy.host import bracketed


if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from resilient_ws.policy.access import Access
    from resilient_ws.policy.url import Endpoint
    from resilient_ws.transport.metered import Heard, MeteredHandler


#: How far a dial has got: looking up a name, connecting, waiting for a proxy's answer,
#: or waiting for the server's.
Progress = Literal["resolve", "connect", "proxy", "handshake"]


class _Refused(PermissionError):
    """Raised for a refused address; an OSError, so that aiohttp tries the others."""


class Caller:
    """One session as seen by the clients it dials with; it makes one dial at a time."""

    __slots__ = (
        "_access",
        "_allowed",
        "_endpoint",
        "_jar",
        "_refusal",
        "handler",
        "heard",
        "stage",
    )

    def __init__(self, access: Access) -> None:
        self._access = access
        self._endpoint: Endpoint | None = None
        #: The first address refused in the current dial, and whether one was allowed.
        self._refusal: SecurityError | None = None
        self._allowed = False
        #: The cookies that servers have set, ``None`` before the first.
        self._jar: aiohttp.CookieJar | None = None
        #: The handler that reads the current dial's answer, what a failed dial had
        #: received, and how far the dial has got.
        self.handler: MeteredHandler | None = None
        self.heard: Heard | None = None
        self.stage: Progress = "connect"

    def begin(self) -> None:
        """Forget how far the last dial got."""
        self.heard = None
        self.stage = "connect"

    @contextmanager
    def calling(self, endpoint: Endpoint) -> Generator[None]:
        """Make this the current caller, for a dial to ``endpoint``."""
        self._endpoint = endpoint
        self._refusal = None
        self._allowed = False
        self.begin()
        before = _at_hand.set(self)
        try:
            yield
        except BaseException:
            self.heard = None if self.handler is None else self.handler.heard()
            raise
        finally:
            self.handler = None
            _at_hand.reset(before)

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of the current dial."""
        assert self._endpoint is not None  # noqa: S101 - set by calling(), the only way here
        return self._endpoint

    def verdict(self, failure: Exception) -> SecurityError | None:
        """Return the refusal that made a dial fail, ``None`` if something else did."""
        if self._allowed and not isinstance(failure, _Refused):
            return None
        return self._refusal

    def vet(self, ip: str) -> None:
        """Refuse an address that is not allowed.

        Raises:
            OSError: The address is refused; the host may have others that are not.
        """
        try:
            self._access.check_address(ip, self.endpoint)
        except SecurityError as refusal:
            self._refusal = self._refusal or refusal
            raise _Refused(1, "address refused") from None
        self._allowed = True

    def cookies(self) -> Iterator[tuple[str, str]]:
        """Yield the cookies for the current dial, with values as servers set them."""
        if self._jar is None:
            return
        for name, chosen in self._jar.filter_cookies(
            _cookie_url(self.endpoint)
        ).items():
            # filter_cookies() quotes values again; the jar has the original ones.
            found = (
                one for one in self._jar if (one.key, one.value) == (name, chosen.value)
            )
            yield name, next(found, chosen).coded_value

    def keep_cookies(self, headers: Sequence[str]) -> None:
        """Keep the cookies that an answer to the current dial sets."""
        if self._jar is None:
            # unsafe accepts cookies from IP addresses: devices are often dialled so.
            self._jar = aiohttp.CookieJar(unsafe=True)
        self._jar.update_cookies_from_headers(headers, _cookie_url(self.endpoint))


def request_url(endpoint: Endpoint) -> URL:
    """Return the URL of a request, encoded so that aiohttp and yarl do not alter it."""
    path, mark, query = endpoint.target.partition("?")
    return URL.build(
        scheme=endpoint.http_scheme,
        authority=endpoint.authority,
        # yarl drops an empty query, so its question mark goes into the path.
        path=path if query else path + mark,
        query_string=query,
        encoded=True,
    )


def _cookie_url(endpoint: Endpoint) -> URL:
    """Return the URL to match cookies against: normalised host, path, no query."""
    return URL.build(
        scheme=endpoint.http_scheme,
        authority=bracketed(endpoint.host),
        path=endpoint.target.partition("?")[0],
        encoded=True,
    )


_at_hand: Final[ContextVar[Caller]] = ContextVar("resilient_ws.caller")


def endpoint_at_hand() -> Endpoint:
    """Return the endpoint of the current dial."""
    return _at_hand.get().endpoint


def vet_at_hand(ip: str) -> None:
    """Refuse an address that the current session may not dial."""
    _at_hand.get().vet(ip)


def vetted_socket(info: Any) -> socket.socket:  # noqa: ANN401 - aiohttp's own alias is private
    """Create the socket for an address, if the current session may dial it."""
    family, kind, proto, _, address = info
    vet_at_hand(str(address[0]))
    return socket.socket(family, kind, proto)


def heard_by_caller(handler: MeteredHandler) -> None:
    """Tell the current caller which handler reads its connection."""
    caller = _at_hand.get()
    caller.handler = handler
    caller.stage = "handshake"


def asking_proxy() -> None:
    """Record that the current dial has reached a proxy and asks it for a tunnel."""
    _at_hand.get().stage = "proxy"


@contextmanager
def looking_up() -> Generator[None]:
    """Record that a name is being looked up for the current dial."""
    caller = _at_hand.get()
    caller.stage = "resolve"
    yield
    # Not in a finally block: a dial that fails in the look-up has got no further.
    caller.stage = "connect"


class CookiesAtHand(aiohttp.DummyCookieJar):
    """The cookie jar of a shared client; it hands cookies to the current caller.

    It returns none to aiohttp, because ``HttpClient`` sends the caller's cookies.
    """

    def update_cookies_from_headers(
        self, headers: Sequence[str], response_url: URL
    ) -> None:
        """Keep the cookies that came with an answer."""
        del response_url  # the caller knows its endpoint
        _at_hand.get().keep_cookies(headers)
