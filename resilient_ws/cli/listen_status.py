"""What the status line of ``listen`` says of its session."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from resilient_ws import (
    AttemptFailed,
    ConnectFailed,
    ConnectionDropped,
    ConnectionLost,
    ConnectionOpened,
    ConnectionReplaced,
    Event,
    HandshakeRejected,
    LivenessTimeout,
    OpenTimeout,
    RetryScheduled,
    State,
    printable,
)
from resilient_ws.cli.error_text import system_words
from resilient_ws.cli.screen import Colour, Screen


if TYPE_CHECKING:
    from resilient_ws import Session
    from resilient_ws.cli.keyboard import LineEditor

#: Seconds over which the rate is measured.
_WINDOW: Final = 3.0
_MINUTE: Final = 60
_HOUR: Final = 3600
#: Of a dial that failed, where the system had no word for it.
_STAGES: Final = {
    "resolve": "name not found",
    "tls": "TLS failed",
    "certificate": "certificate not accepted",
    "proxy": "proxy not reached",
    "handshake": "no WebSocket",
}


class ListenStatus:
    """Keeps what the status line needs, and puts it into words.

    Args:
        session: The session.
        screen: What the terminal can show.
        editor: What the user types, which is shown in place of the status.
    """

    def __init__(
        self, session: Session, screen: Screen, editor: LineEditor | None
    ) -> None:
        self._session = session
        self._screen = screen
        self._editor = editor
        self._began = time.monotonic()
        self._down_since = self._began
        self._why = ""
        self._attempt = 1
        self._retry_at = 0.0
        self._counts: deque[tuple[float, int]] = deque()
        self._dot = " · " if screen.can_show("·") else " | "

    def note(self, event: Event) -> None:
        """Take an event into account."""
        now = time.monotonic()
        match event:
            case ConnectionOpened():
                self._attempt = 1
                self._began = now
            case ConnectionDropped():
                self._down_since, self._why = now, reason(event.because)
            case ConnectionReplaced():
                self._down_since, self._why = now, "replaced"
            case AttemptFailed():
                self._why = reason(event.because)
            case RetryScheduled():
                self._attempt, self._retry_at = event.attempt, now + event.delay
            case _:
                pass

    def text(self, width: int) -> str:
        """Return the line for a terminal of so many columns."""
        if self._editor is not None and self._editor.typed:
            return "> " + printable(self._editor.typed)[-(width - 2) :]
        parts, colour = self._parts()
        while len(parts) > 1 and len(self._dot.join(parts)) > width:
            parts.pop()
        first = parts[0][:width]
        rest = "".join(f"{self._dot}{part}" for part in parts[1:])
        faint = self._screen.coloured(rest, Colour.FAINT) if rest else ""
        return self._screen.coloured(first, colour) + faint

    def _parts(self) -> tuple[list[str], Colour]:
        now, state = time.monotonic(), self._session.state
        if state is State.OPEN:
            return self._open(now), Colour.GOOD
        if state.ending:
            return ["closing"], Colour.DOUBTFUL
        if not self._why:
            doing = "logging in" if state is State.RESTORING else "connecting"
            waited = now - self._down_since
            return [f"{doing}... {duration(waited)}"], Colour.DOUBTFUL
        offline = f"offline {duration(now - self._down_since)}"
        if state is State.BACKOFF:
            left = max(0.0, self._retry_at - now)
            next_try = f"attempt {self._attempt} in {left:.1f} s"
        else:
            next_try = f"attempt {self._attempt}..."
        return [offline, next_try, self._why], Colour.BAD

    def _open(self, now: float) -> list[str]:
        count = self._session.statistics().messages_received
        noun = "message" if count == 1 else "messages"
        parts = [f"open {duration(now - self._began)}", f"{count:,} {noun}"]
        parts.append(f"{self._rate(now, count):,.1f}/s")
        latency = self._session.latency
        if latency is not None:
            parts.append(f"ping {latency * 1000:,.0f} ms")
        if self._session.epoch > 1:
            parts.append(f"connection {self._session.epoch}")
        waiting = self._session.statistics().outbox_messages
        if waiting:
            parts.append(f"{waiting:,} to send")
        return parts

    def _rate(self, now: float, count: int) -> float:
        """Return messages a second, over the last seconds."""
        counts = self._counts
        counts.append((now, count))
        while counts[0][0] < now - _WINDOW:
            counts.popleft()
        since, before = counts[0]
        return (count - before) / (now - since) if now > since else 0.0


def reason(because: Exception) -> str:  # noqa: PLR0911 - one line for each kind
    """Return in a few words why there is no connection."""
    match because:
        case HandshakeRejected():
            return f"{because.by} answered {because.status}"
        case OpenTimeout():
            return "no answer"
        case LivenessTimeout():
            return "silent"
        case ConnectFailed(errno=int(number)) if number > 0 and os.strerror(number):
            return _STAGES.get(because.stage, system_words(number))
        case ConnectFailed():
            return _STAGES.get(because.stage, "no connection")
        case ConnectionLost(close=close) if close is not None:
            return f"closed with {close.code}"
        case ConnectionLost():
            return {"reset": "reset", "eof": "hung up"}.get(because.how, "lost")
        case _:
            return type(because).__name__


def duration(seconds: float) -> str:
    """Return a duration for people: ``12 s``, ``3:05``, ``2:03:05``."""
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    minutes, rest = divmod(whole, _MINUTE)
    if whole < _HOUR:
        return f"{minutes}:{rest:02}"
    return f"{minutes // _MINUTE}:{minutes % _MINUTE:02}:{rest:02}"
