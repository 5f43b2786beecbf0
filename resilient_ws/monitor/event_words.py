"""Events in words, each with how bad it is.

Rules: the text of an error of ours holds no secret; of any other exception only the
class is shown. Headers, payloads and subprotocols are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from resilient_ws import (
    AttemptFailed,
    AttemptQueued,
    ConfirmationOverdue,
    ConnectionDropped,
    ConnectionOpened,
    ConnectionReplaced,
    ConnectionStable,
    DeliveryFailed,
    HandlerFailed,
    InboxOverflowed,
    LoopLagged,
    OutboxOverflowed,
    ResilientWSError,
    SessionClosed,
    StoreFailed,
    printable,
)


if TYPE_CHECKING:
    from resilient_ws import Event


Level: TypeAlias = Literal["bad", "warn", "good", "info"]

#: Characters of a text that are kept.
_LONGEST: Final = 400


def error_words(error: BaseException) -> str:
    """Return the text of an error of ours, else its class: the text may be secret."""
    if isinstance(error, ResilientWSError):
        return _short(str(error))
    return type(error).__name__


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
            gone = counted(event.discarded, "message")
            return "bad", f"The outbox was full: {gone} discarded ({event.overflow})"
        case InboxOverflowed(overflow="pause"):
            return "warn", "The inbox was full: reading has stopped"
        case InboxOverflowed():
            gone = counted(event.discarded, "message")
            return "bad", f"The inbox was full: {gone} discarded ({event.overflow})"
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


def counted(number: int, what: str) -> str:
    """Return ``1 message`` or ``2,000 messages``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
