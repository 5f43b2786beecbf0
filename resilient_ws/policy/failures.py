"""What an ending means: try again, try again with fresh credentials, or stop.

The default is the tables below, read top to bottom by ``default_verdict``. Anything
they do not list is retried: a device behind a captive portal that answers 200 must
still try when the portal is gone. ``judge.py`` decides how long a verdict must stand
before the session obeys it.
"""

from __future__ import annotations

import enum
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws.errors import (
    ConnectFailed,
    ConnectionLost,
    Fatal,
    HandshakeRejected,
    ProtocolError,
    SecurityError,
)
from resilient_ws.policy.retry_delay import NO_EXTRA, RetryDelay
from resilient_ws.state import State


if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilient_ws.protocol.close import Close


class Verdict(enum.Enum):
    """What to do about an ending."""

    #: Dial again, at the pace of the backoff.
    RETRY = "retry"
    #: Dial again once, with a fresh URL and fresh headers. The next time it is fatal.
    RETRY_FRESH = "retry_fresh"
    #: Dialling again cannot help. This verdict ends the session before the first open
    #: connection; later it must stand for ``Reconnect.fatal_after``. ``raise Fatal``
    #: ends the session at once.
    FATAL = "fatal"


_RETRY: Final = Verdict.RETRY
_FRESH: Final = Verdict.RETRY_FRESH
_FATAL: Final = Verdict.FATAL

#: HTTP statuses of the server; 5xx and everything else is retried.
STATUS_VERDICTS: Final[Mapping[int, Verdict]] = {
    400: _FATAL,
    401: _FRESH,
    403: _FRESH,
    404: _FATAL,
    405: _FATAL,
    408: _RETRY,
    410: _FATAL,
    425: _RETRY,
    426: _FATAL,
    429: _RETRY,
}

#: HTTP statuses of a proxy; everything else is retried.
PROXY_VERDICTS: Final[Mapping[int, Verdict]] = {407: _FATAL}

#: Close codes, received or (for a protocol error) sent; unknown ones are retried.
CLOSE_VERDICTS: Final[Mapping[int, Verdict]] = {
    1000: _RETRY,
    1001: _RETRY,
    1002: _FATAL,
    1003: _FATAL,
    1005: _RETRY,
    1006: _RETRY,
    1007: _FATAL,
    1008: _FRESH,
    1009: _FATAL,
    1010: _FATAL,
    1011: _RETRY,
    1012: _RETRY,
    1013: _RETRY,
    1014: _RETRY,
    3000: _FRESH,
    3003: _FRESH,
    4401: _FRESH,
    4403: _FRESH,
}

#: Where a dial failed; a refused address is a ``SecurityError`` instead.
STAGE_VERDICTS: Final[Mapping[str, Verdict]] = {
    "resolve": _RETRY,
    "connect": _RETRY,
    "tls": _RETRY,
    "certificate": _FATAL,
    "proxy": _RETRY,
    "handshake": _RETRY,
    "internal": _RETRY,
}

#: Seconds added to the wait after a dial that failed at a stage. A bug in this library
#: does not go away quickly.
EXTRA_AFTER_STAGE: Final[Mapping[str, float]] = {"internal": 60.0}

#: Close codes that end a session normally: done, going away, or no code.
GOODBYES: Final = frozenset({1000, 1001, 1005})

#: Seconds added to the wait after close 1012 (restarting) and 1013 (overloaded).
EXTRA_AFTER_CLOSE: Final[Mapping[int, float]] = {1012: 5.0, 1013: 5.0}


@attrs.frozen(kw_only=True)
class Ending:
    """Why a connection ended. Your ``classify`` takes one and returns a verdict.

    Attributes:
        because: The exception that ended it.
        state: How far it had got: ``CONNECTING``, ``RESTORING`` or ``OPEN``.
        uptime: The seconds it was open.
        bug: Whether ``on_open`` raised an error that is neither this library's nor the
            network's, which most likely means a mistake in ``on_open``.
        suspected: Whether the server's close code blames a message and some messages
            were unconfirmed. The session goes on: the outbox finds out which it was.
    """

    because: Exception
    state: State
    uptime: float = 0.0
    bug: bool = False
    suspected: bool = False

    @property
    def close(self) -> Close | None:
        """The record of the closing handshake, ``None`` when there was none."""
        return self.because.close if isinstance(self.because, ConnectionLost) else None

    @property
    def status(self) -> int | None:
        """The HTTP status received instead of 101, if any."""
        if isinstance(self.because, HandshakeRejected):
            return self.because.status
        return None

    @property
    def goodbye(self) -> bool:
        """Whether the server closed the connection normally."""
        close = self.close
        by_peer = (
            close is not None and close.initiator == "peer" and self.how == "close"
        )
        return by_peer and self.code in GOODBYES

    @property
    def errno(self) -> int | None:
        """The errno of the loss, if the system gave one."""
        if isinstance(self.because, ConnectionLost | OSError):
            return self.because.errno
        return None

    @property
    def how(self) -> str | None:
        """How the connection was lost, in one word; ``None`` if it was not."""
        return self.because.how if isinstance(self.because, ConnectionLost) else None

    @property
    def stage(self) -> str | None:
        """The stage at which the dial failed, if the dial failed."""
        return self.because.stage if isinstance(self.because, ConnectFailed) else None

    @property
    def code(self) -> int | None:
        """The close code that explains the ending, if there is one."""
        if isinstance(self.because, ProtocolError):
            return self.because.code
        # The code that we closed with says nothing about the peer.
        if self.close is None or self.how == "local":
            return None
        return self.close.code


def default_verdict(ending: Ending) -> Verdict:
    """Return the verdict of the tables, for when ``classify`` gives none."""
    because = ending.because
    if isinstance(because, Fatal | SecurityError):
        return Verdict.FATAL
    if isinstance(because, HandshakeRejected):
        verdicts = PROXY_VERDICTS if because.by == "proxy" else STATUS_VERDICTS
        return verdicts.get(because.status, Verdict.RETRY)
    if ending.suspected:
        return Verdict.RETRY
    if isinstance(because, ConnectFailed):
        return STAGE_VERDICTS.get(because.stage, Verdict.RETRY)
    if ending.code is not None:
        return CLOSE_VERDICTS.get(ending.code, Verdict.RETRY)
    # Timeouts, resets, silence, and what on_open raised.
    return Verdict.RETRY


def extra_delay(ending: Ending, now_wall: float, cap: float) -> RetryDelay:
    """Return what an ending adds to the policy's wait: it asks us to stay away longer.

    Args:
        ending: Why the connection ended.
        now_wall: The wall clock, as seconds since 1970.
        cap: The longest ``Retry-After`` to obey, in seconds.
    """
    if isinstance(ending.because, HandshakeRejected):
        headers = {k.lower(): v for k, v in ending.because.headers.items()}
        after = min(cap, retry_after(headers, now_wall))
        return RetryDelay(after, "retry_after") if after > 0 else NO_EXTRA
    seconds = EXTRA_AFTER_STAGE.get(ending.stage or "", 0.0)
    seconds = seconds or EXTRA_AFTER_CLOSE.get(ending.code or 0, 0.0)
    return RetryDelay(seconds, "floor") if seconds else NO_EXTRA


def retry_after(headers: Mapping[str, str], now_wall: float) -> float:
    """Return the seconds of a valid ``Retry-After`` (RFC 9110, 10.2.3), else 0.

    Args:
        headers: The headers of the answer, by their names in lower case.
        now_wall: The wall clock, as seconds since 1970.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return float(value)
    then = _timestamp(value)
    if then is None:
        return 0.0
    # Prefer the server's own Date header: the clock of a device may be years off.
    server_now = _timestamp(headers.get("date", ""))
    return max(0.0, then - (now_wall if server_now is None else server_now))


def _timestamp(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
