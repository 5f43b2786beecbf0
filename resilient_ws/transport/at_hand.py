"""What is a session's own in an aiohttp client that many sessions dial with.

Rules: a request is made in the context of its caller, and so is all that aiohttp does
for it; what it asks back, it asks of the caller *at hand* there. Addresses are vetted
where sockets are made, which sees literal and resolved ones alike. Cookies are kept
here and sent by us: aiohttp would let them go before the user's own.
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


#: How far a dial has come: a name is looked up, a connection made, a proxy's answer
#: awaited, or the server's.
Progress = Literal["resolve", "connect", "proxy", "handshake"]


class _Refused(PermissionError):
    """An address that Access does not allow; an OSError, so that others are tried."""


class Caller:
    """One session, as the clients see it that it dials with, one dial at a time."""

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
        #: Of the dial at hand: the first address refused, and whether any was not.
        self._refusal: SecurityError | None = None
        self._allowed = False
        #: What servers have set, ``None`` as long as none has.
        self._jar: aiohttp.CookieJar | None = None
        #: Of the dial at hand: what reads the answer, and how far it has come; of one
        #: that failed, what had come.
        self.handler: MeteredHandler | None = None
        self.heard: Heard | None = None
        self.stage: Progress = "connect"

    def begin(self) -> None:
        """Forget how far the last dial came."""
        self.heard = None
        self.stage = "connect"

    @contextmanager
    def calling(self, endpoint: Endpoint) -> Generator[None]:
        """Be the caller at hand, of a dial to ``endpoint``."""
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
        """Where the dial at hand leads."""
        assert self._endpoint is not None  # noqa: S101 - set by calling(), the only way here
        return self._endpoint

    def verdict(self, failure: Exception) -> SecurityError | None:
        """Return what a dial failed with, if no address was allowed."""
        if self._allowed and not isinstance(failure, _Refused):
            return None
        return self._refusal

    def vet(self, ip: str) -> None:
        """Refuse an address that is not allowed.

        Raises:
            OSError: It is not: others may be.
        """
        try:
            self._access.check_address(ip, self.endpoint)
        except SecurityError as refusal:
            self._refusal = self._refusal or refusal
            raise _Refused(1, "address refused") from None
        self._allowed = True

    def cookies(self) -> Iterator[tuple[str, str]]:
        """What servers have set for the dial at hand, by name, as they set it."""
        if self._jar is None:
            return
        for name, chosen in self._jar.filter_cookies(
            _cookie_url(self.endpoint)
        ).items():
            # The jar gives out a value quoted anew; the one it was set with is within.
            found = (
                one for one in self._jar if (one.key, one.value) == (name, chosen.value)
            )
            yield name, next(found, chosen).coded_value

    def keep_cookies(self, headers: Sequence[str]) -> None:
        """Keep what an answer to the dial at hand has set."""
        if self._jar is None:
            # A device is as often dialled by address as by name.
            self._jar = aiohttp.CookieJar(unsafe=True)
        self._jar.update_cookies_from_headers(headers, _cookie_url(self.endpoint))


def request_url(endpoint: Endpoint) -> URL:
    """The URL of a request, which aiohttp and yarl leave as it is."""
    path, mark, query = endpoint.target.partition("?")
    return URL.build(
        scheme=endpoint.http_scheme,
        authority=endpoint.authority,
        # A URL has no place for a query that is empty.
        path=path if query else path + mark,
        query_string=query,
        encoded=True,
    )


def _cookie_url(endpoint: Endpoint) -> URL:
    """What a cookie belongs to: the host as it is compared, and the path alone."""
    return URL.build(
        scheme=endpoint.http_scheme,
        authority=bracketed(endpoint.host),
        path=endpoint.target.partition("?")[0],
        encoded=True,
    )


_at_hand: Final[ContextVar[Caller]] = ContextVar("resilient_ws.caller")


def endpoint_at_hand() -> Endpoint:
    """Return where the dial at hand leads."""
    return _at_hand.get().endpoint


def vet_at_hand(ip: str) -> None:
    """Refuse an address that the session at hand may not dial."""
    _at_hand.get().vet(ip)


def vetted_socket(info: Any) -> socket.socket:  # noqa: ANN401 - aiohttp's own alias is private
    """Make the socket for an address, if the session at hand may dial it."""
    family, kind, proto, _, address = info
    vet_at_hand(str(address[0]))
    return socket.socket(family, kind, proto)


def heard_by_caller(handler: MeteredHandler) -> None:
    """Let the caller at hand hear what comes on a connection."""
    caller = _at_hand.get()
    caller.handler = handler
    caller.stage = "handshake"


def asking_proxy() -> None:
    """Have the caller at hand know that a proxy was reached, and asked."""
    _at_hand.get().stage = "proxy"


@contextmanager
def looking_up() -> Generator[None]:
    """Have the caller at hand know that a name is being looked up for it."""
    caller = _at_hand.get()
    caller.stage = "resolve"
    yield
    # Not where it was given up: that is how far the dial came.
    caller.stage = "connect"


class CookiesAtHand(aiohttp.DummyCookieJar):
    """Stands where a client keeps cookies, and keeps each session's for itself.

    It has none to send: ``HttpClient`` asks the caller for them.
    """

    def update_cookies_from_headers(
        self, headers: Sequence[str], response_url: URL
    ) -> None:
        """Keep what came with an answer."""
        del response_url  # the endpoint at hand says it better
        _at_hand.get().keep_cookies(headers)
