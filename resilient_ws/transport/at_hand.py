"""What is a session's own in an aiohttp client that many sessions dial with.

Rules: a request is made in the context of its caller, and so is all that aiohttp does
for it; what it asks back, it asks of the caller *at hand* there. Addresses are vetted
where sockets are made, which sees literal and resolved ones alike.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from resilient_ws.errors import SecurityError


if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from http.cookies import BaseCookie

    from yarl import URL

    from resilient_ws.policy.access import Access
    from resilient_ws.policy.url import Endpoint


class _Refused(PermissionError):
    """An address that Access does not allow; an OSError, so that others are tried."""


class Caller:
    """One session, as the clients see it that it dials with, one dial at a time."""

    __slots__ = ("_access", "_allowed", "_endpoint", "_refusal", "cookies")

    def __init__(self, access: Access) -> None:
        self._access = access
        self._endpoint: Endpoint | None = None
        #: Of the dial at hand: the first address refused, and whether any was not.
        self._refusal: SecurityError | None = None
        self._allowed = False
        #: What servers have set, ``None`` as long as none has.
        self.cookies: aiohttp.CookieJar | None = None

    @contextmanager
    def calling(self, endpoint: Endpoint) -> Generator[None]:
        """Be the caller at hand, of a dial to ``endpoint``."""
        self._endpoint = endpoint
        self._refusal = None
        self._allowed = False
        before = _at_hand.set(self)
        try:
            yield
        finally:
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

    def vetted_socket(self, info: Any) -> socket.socket:  # noqa: ANN401 - aiohttp's own alias is private
        """Make the socket for an address, unless it is one that is not allowed."""
        family, kind, proto, _, address = info
        try:
            self._access.check_address(str(address[0]), self.endpoint)
        except SecurityError as refusal:
            self._refusal = self._refusal or refusal
            raise _Refused(1, "address refused") from None
        self._allowed = True
        return socket.socket(family, kind, proto)

    def jar(self) -> aiohttp.CookieJar:
        """Return where cookies are kept, from the first one on."""
        if self.cookies is None:
            self.cookies = aiohttp.CookieJar()
        return self.cookies


_at_hand: Final[ContextVar[Caller]] = ContextVar("resilient_ws.caller")


def endpoint_at_hand() -> Endpoint:
    """Return where the dial at hand leads."""
    return _at_hand.get().endpoint


def vetted_socket(info: Any) -> socket.socket:  # noqa: ANN401 - as above
    """Make a socket for the dial at hand, if its session may have it."""
    return _at_hand.get().vetted_socket(info)


class CookiesAtHand(aiohttp.DummyCookieJar):
    """Stands where a client keeps cookies, and keeps each session's for itself."""

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        """Return what goes along with a request."""
        cookies = _at_hand.get().cookies
        if cookies is None:
            return super().filter_cookies(request_url)
        return cookies.filter_cookies(request_url)

    def update_cookies(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - aiohttp's own, handed on
        """Keep what came with an answer."""
        _at_hand.get().jar().update_cookies(*args, **kwargs)

    def update_cookies_from_headers(
        self, headers: Sequence[str], response_url: URL
    ) -> None:
        """Keep what came with an answer, as newer versions of aiohttp ask for it."""
        _at_hand.get().jar().update_cookies_from_headers(headers, response_url)
