"""Put events into words for people."""

from __future__ import annotations

from typing import Final

from resilient_ws import printable
from resilient_ws.cli.error_text import error_text
from resilient_ws.events import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionOpened,
    ConnectionTimedOut,
    Event,
    HandlerFailed,
    InboxOverflowed,
    LoopLagged,
    OutboxOverflowed,
    RetryScheduled,
    ServerTerminated,
    SessionClosed,
)


#: By ``RetryScheduled.source``.
_REASONS_TO_WAIT: Final = {
    "wait": "",
    "retry_after": ", as the server asked with Retry-After",
    "floor": ", as the server's answer advises",
    "failover": ", at the next URL",
    "request": ", on request",
}
#: By ``ConnectionTimedOut.kind``.
_TIMEOUTS: Final = {
    "open": "no connection",
    "restore": "the --on-open messages were not sent",
    "ping": "nothing came from the server",
    "idle": "no message came",
    "close": "the server did not answer the close frame",
}


def event_text(event: Event) -> str | None:
    """Return a line for people, ``None`` for events that only programs need."""
    line = _line(event)
    return None if line is None else printable(line)


def _line(event: Event) -> str | None:  # noqa: PLR0911 - one line for each event
    match event:
        case ConnectionOpened():
            return _opened(event)
        case ConnectionDropped():
            return _dropped(event)
        case AttemptFailed():
            return f"attempt {event.attempt} failed: {error_text(event.because)}"
        case RetryScheduled():
            reason = _REASONS_TO_WAIT[event.source]
            return f"attempt {event.attempt} in {event.delay:.1f} s{reason}"
        case ConnectionTimedOut():
            return f"timed out: {_TIMEOUTS[event.kind]} within {event.after:.1f} s"
        case ServerTerminated():
            reason = f', "{event.reason}"' if event.reason else ""
            return f"the server closed: {event.code} {event.meaning}{reason}"
        case SessionClosed():
            unsent = f"; {_counted(event.dropped, 'message')} not sent"
            return f"closed{unsent if event.dropped else ''}"
        case _:
            return _problem(event)


def _opened(event: ConnectionOpened) -> str:
    line = f"open: connection {event.epoch} to {event.endpoint}"
    if event.subprotocol is not None:
        line += f", subprotocol {event.subprotocol}"
    if event.resumed_after is not None:
        line += f", after {event.resumed_after:.1f} s offline"
    return line


def _dropped(event: ConnectionDropped) -> str:
    line = f"dropped after {event.uptime:.1f} s: {error_text(event.because)}"
    if event.unconfirmed:
        line += f" ({_counted(event.unconfirmed, 'sent message')} may not have arrived)"
    return line


def _problem(event: Event) -> str | None:
    """Return a line for a problem that is not the connection's, or ``None``."""
    match event:
        case InboxOverflowed(overflow="pause"):
            return "reading is paused: messages come faster than stdout takes them"
        case InboxOverflowed() | OutboxOverflowed():
            discarded = _counted(event.discarded, "message")
            return f"{discarded} discarded ({event.overflow})"
        case HandlerFailed():
            return f"{event.handler} failed: {error_text(event.because)}"
        case LoopLagged():
            return f"this process was held up for {event.by:.1f} s"
        case _:
            return None


def _counted(number: int, what: str) -> str:
    """Return ``1 message``, ``2 messages``."""
    return f"{number} {what}{'' if number == 1 else 's'}"
