"""The dial that is under way, as found by the callbacks of a shared aiohttp client.

Rules: a request and everything that aiohttp does for it run in one context, where
``current_dial()`` finds the dial. Addresses are vetted when sockets are created, so
literal and resolved ones are treated alike.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from resilient_ws.errors import SecurityError


if TYPE_CHECKING:
    from collections.abc import Generator

    from resilient_ws.policy.access import Access
    from resilient_ws.policy.url import Endpoint
    from resilient_ws.transport.session_cookies import SessionCookies


#: How far a dial has got: looking up a name, connecting, waiting for a proxy's answer,
#: or waiting for the server's.
Progress = Literal["resolve", "connect", "proxy", "handshake"]


@attrs.define
class PartialAnswer:
    """What was received of an answer so far.

    Attributes:
        first: The first bytes, which show what kind of server answered.
        size: How many bytes were received in all.
        excess: The limit that was exceeded, in words; ``None`` if none was.
        of_proxy: Whether a proxy answers, and not the server.
    """

    first: bytes = b""
    size: int = 0
    excess: str | None = None
    of_proxy: bool = False


class _Refused(PermissionError):
    """Raised for a refused address; an OSError, so that aiohttp tries the others."""


class CurrentDial:
    """One request of one session.

    Attributes:
        endpoint: The endpoint that is dialled.
        cookies: The session's cookies.
        progress: How far the dial has got.
        answer: What was received of the answer; ``None`` if a borrowed client reads it,
            or nobody yet.
    """

    __slots__ = (
        "_access",
        "_allowed",
        "_refusal",
        "answer",
        "cookies",
        "endpoint",
        "progress",
    )

    def __init__(
        self, endpoint: Endpoint, *, access: Access, cookies: SessionCookies
    ) -> None:
        self.endpoint = endpoint
        self.cookies = cookies
        self.progress: Progress = "connect"
        self.answer: PartialAnswer | None = None
        self._access = access
        #: The first address that was refused, and whether one was allowed.
        self._refusal: SecurityError | None = None
        self._allowed = False

    @contextmanager
    def under_way(self) -> Generator[None]:
        """Make this the current dial."""
        before = _current.set(self)
        try:
            yield
        finally:
            _current.reset(before)

    def finish(self) -> None:
        """Drop the answer: the transport keeps its context, and so this, alive."""
        self.answer = None

    # What the callbacks tell.

    @contextmanager
    def looking_up(self) -> Generator[None]:
        """Record that a name is being looked up."""
        self.progress = "resolve"
        yield
        # Not in a finally block: a dial that fails in the look-up has got no further.
        self.progress = "connect"

    def asking_proxy(self) -> None:
        """Record that a proxy was reached, and is asked for a tunnel."""
        self.progress = "proxy"

    def reading(self, answer: PartialAnswer) -> None:
        """Record that an answer is being read, and where its bytes are noted."""
        self.progress = "handshake"
        self.answer = answer

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

    def verdict(self, failure: Exception) -> SecurityError | None:
        """Return the refusal that made this dial fail, ``None`` if it was none."""
        if self._allowed and not isinstance(failure, _Refused):
            return None
        return self._refusal


_current: Final[ContextVar[CurrentDial]] = ContextVar("resilient_ws.current_dial")


def current_dial() -> CurrentDial:
    """Return the dial for which the running code was called."""
    return _current.get()


def vetted_socket(info: Any) -> socket.socket:  # noqa: ANN401 - aiohttp's own alias is private
    """Create the socket for an address, if the current session may dial it."""
    family, kind, proto, _, address = info
    current_dial().vet(str(address[0]))
    return socket.socket(family, kind, proto)
