"""Events in words, each with how bad it is.

Rules: the text of an error of ours holds no secret; of any other exception only the
class is shown. Headers, payloads and subprotocols are left out.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from resilient_ws import (
    AttemptFailed,
    AttemptQueued,
    Close,
    ConfirmationOverdue,
    ConnectFailed,
    ConnectionDropped,
    ConnectionLost,
    ConnectionOpened,
    ConnectionReplaced,
    ConnectionStable,
    DeliveryFailed,
    HandlerFailed,
    HandshakeRejected,
    InboxOverflowed,
    LivenessTimeout,
    LoopLagged,
    OpenTimeout,
    OutboxOverflowed,
    ResilientWSError,
    SessionClosed,
    StoreFailed,
    printable,
)


if TYPE_CHECKING:
    from resilient_ws import Event


Level: TypeAlias = Literal["bad", "warn", "good", "info"]

#: By ``ConnectionLost.how``.
_ENDS: Final = {
    "close": "it was closed",
    "reset": "it was reset",
    "eof": "the server ended it without a close frame",
    "half_close": "the server ended it without a close frame",
    "silence": "nothing came",
    "protocol": "the server broke the protocol",
    "write": "sending failed",
    "dial": "it could not be made",
    "local": "this side ended it",
}
#: By ``ConnectFailed.stage``.
_STAGES: Final = {
    "resolve": "the host name was not found",
    "connect": "no TCP connection",
    "tls": "TLS failed",
    "certificate": "the certificate is not valid",
    "proxy": "the proxy refused",
    "handshake": "the handshake failed",
    "internal": "a bug in resilient_ws",
}

#: Characters of a text that are kept.
_LONGEST: Final = 400


def error_words(error: BaseException) -> str:
    """Return the text of an error of ours, else its class: the text may be secret."""
    if isinstance(error, ResilientWSError):
        return _short(str(error))
    return type(error).__name__


def reason(error: BaseException) -> str:  # noqa: PLR0911 - one line for each error
    """Return why a connection ended or failed in a few words, without any address.

    So that sessions in the same trouble have the same words.
    """
    match error:
        case HandshakeRejected():
            return f"the {error.by} answered with HTTP status {error.status}"
        case OpenTimeout():
            return f"it was not open within {error.after:g} s"
        case LivenessTimeout():
            what = "nothing" if error.kind == "ping" else "no message"
            return f"{what} came for {error.after:g} s"
        case ConnectFailed() if error.errno is not None and error.errno > 0:
            return os.strerror(error.errno).lower()
        case ConnectFailed():
            return _STAGES[error.stage]
        case ConnectionLost(close=Close(initiator="peer", code=code)):
            return f"the server closed it with code {code}"
        case ConnectionLost():
            return _ENDS[error.how]
        case _:
            return error_words(error)


def event_words(event: Event) -> tuple[Level, str] | None:
    """Return how bad an event is and a sentence, ``None`` for one not worth a line.

    A change of state, a timeout and a close by the server have no line of their own:
    the drop or the failed attempt that follows says why.
    """
    line = _of_connection(event) or _of_messages(event)
    return None if line is None else (line[0], _short(printable(line[1])))


def _of_connection(event: Event) -> tuple[Level, str] | None:  # noqa: PLR0911 - one line for each event
    match event:
        case ConnectionOpened():
            after = event.resumed_after
            back = "" if after is None else f", after {after:.1f} s without one"
            return "good", f"Connection {event.epoch} to {event.endpoint} is open{back}"
        case ConnectionStable():
            return "info", f"Connection {event.epoch} is stable"
        case ConnectionDropped():
            why = error_words(event.because)
            return "bad", f"Dropped after {event.uptime:.1f} s: {why}"
        case ConnectionReplaced():
            return "info", f"Replaced after {event.uptime:.1f} s: {event.reason}"
        case AttemptFailed():
            return "bad", f"Attempt failed: {error_words(event.because)}"
        case AttemptQueued():
            return "info", f"The attempt waits its turn, with {event.ahead} ahead"
        case SessionClosed():
            return _closed(event)
        case LoopLagged():
            return "warn", f"The event loop was blocked for {event.by:.1f} s"
        case _:
            return None


def _closed(event: SessionClosed) -> tuple[Level, str]:
    unsent = f"; {counted(event.dropped, 'message')} not sent" if event.dropped else ""
    if event.failure is None:
        return "warn" if unsent else "info", f"The session was closed{unsent}"
    return "bad", f"The session ended: {error_words(event.failure)}{unsent}"


def _of_messages(event: Event) -> tuple[Level, str] | None:  # noqa: PLR0911 - one line for each event
    match event:
        case OutboxOverflowed():
            return "bad", f"The outbox was full: messages discarded ({event.overflow})"
        case InboxOverflowed(overflow="pause"):
            return "warn", "The inbox was full: reading has stopped"
        case InboxOverflowed():
            return "bad", f"The inbox was full: messages discarded ({event.overflow})"
        case DeliveryFailed():
            maybe = ", but may have arrived" if event.maybe_delivered else ""
            return "bad", f"A message was not delivered ({event.state.value}){maybe}"
        case ConfirmationOverdue():
            what = counted(event.unconfirmed, "message")
            return "warn", f"{what} not confirmed, the oldest for {event.after:.0f} s"
        case StoreFailed():
            return "bad", f"The outbox's store failed: {error_words(event.because)}"
        case HandlerFailed():
            why = error_words(event.because)
            return "warn", f"{event.handler} failed on {event.event}: {why}"
        case _:
            return None


def number_of(event: Event) -> int:
    """Return for how many things an event stands, in a list of the last ones."""
    match event:
        case OutboxOverflowed() | InboxOverflowed():
            return max(1, event.discarded)
        case LoopLagged():
            return event.count
        case _:
            return 1


def counted(number: int, what: str) -> str:
    """Return ``1 message`` or ``2,000 messages``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
