"""Writes a session's log: one table maps each class of event to its log line.

Rules: the loss of an open connection, a failed attempt, and anything dropped, full or
overdue is a WARNING. Lines that may repeat are written at once and then at most once a
minute, with a count; before the first open connection, every failed attempt is written.
Each change of state is an INFO. Everything else is DEBUG, which costs nothing when it
is off. Payloads and secrets are never written. Each record carries ``session``,
``epoch`` and ``endpoint``.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Final

import attrs

from resilient_ws.errors import ResilientWSError
from resilient_ws.events import (
    AttemptFailed,
    AttemptQueued,
    ConfirmationOverdue,
    ConnectionDropped,
    ConnectionOpened,
    ConnectionReplaced,
    DeliveryFailed,
    Event,
    InboxOverflowed,
    LoopLagged,
    OutboxOverflowed,
    SessionClosed,
    StateChanged,
    StoreFailed,
)
from resilient_ws.policy.silence import QUIET_AFTER
from resilient_ws.policy.tracebacks import by_the_user
from resilient_ws.protocol.text import printable


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.policy.tracebacks import ExcInfo


logger = logging.getLogger("resilient_ws")

#: Seconds for which a line is not repeated.
SAY_AGAIN_AFTER: Final = 60.0

#: How many kinds of lines are kept apart. Without a limit, exception classes that are
#: made at run time would fill the memory.
MAX_KINDS: Final = 100


class SessionLog:
    """The log of one session.

    Args:
        name: The session's name.
        clock: The clock of its loop.
    """

    __slots__ = ("_clock", "_said", "endpoint", "epoch", "failed", "name")

    def __init__(self, name: str, *, clock: Callable[[], float]) -> None:
        self.name: Final = name
        self._clock = clock
        # By kind of line: when one was last written, and how many were left out since.
        self._said: dict[str, tuple[float, int]] = {}
        #: Attempts that have failed since the last open connection.
        self.failed = 0
        #: The ordinal of the newest open connection.
        self.epoch = 0
        #: The endpoint of the newest attempt, without secrets.
        self.endpoint = name

    def say(
        self,
        level: int,
        text: str,
        *args: object,
        exc_info: ExcInfo | None = None,
    ) -> None:
        """Write a line."""
        if not logger.isEnabledFor(level):
            return
        about = {"session": self.name, "epoch": self.epoch, "endpoint": self.endpoint}
        text = f"%s: {text}"
        logger.log(level, text, self.name, *args, exc_info=exc_info, extra=about)

    def say_paced(self, level: int, what: str, text: str, *args: object) -> None:
        """Write a line, unless one of its kind was written within the last minute.

        Args:
            level: The logging level.
            what: The kind of line.
            text: The line, a format string.
            args: The arguments of the format string.
        """
        now = self._clock()
        said, kept = self._said.get(what, (-math.inf, 0))
        if now - said < SAY_AGAIN_AFTER:
            self._said[what] = said, kept + 1
            return
        self._said[what] = now, 0
        more = f" ({kept} more since the last such line)" if kept else ""
        self.say(level, f"{text}%s", *args, more)

    def say_anew(self, what: str) -> None:
        """Write the next line of a kind without waiting for the minute to pass."""
        self._said.pop(what, None)

    def happened(self, event: Event) -> None:
        """Write the line for an event, if it has one."""
        write = _WRITERS.get(type(event))
        if write is not None:
            write(self, event)
        elif logger.isEnabledFor(logging.DEBUG):
            self.say(logging.DEBUG, "%s", _in_numbers(event))

    def raised(self, where: str, failure: Exception) -> None:
        """Log the exception of a user's callable, with a traceback the first time.

        Call this while the exception still has its traceback.
        """
        line = ("%s raised %s", where, type(failure).__name__)
        seen = f"{where} raised {type(failure).__qualname__}"
        if seen in self._said or len(self._said) > MAX_KINDS:
            self.say_paced(logging.ERROR, where, *line)
        else:
            self._said[seen] = self._clock(), 0
            self.say(logging.ERROR, *line, exc_info=by_the_user(failure))

    def fell_silent(self) -> None:
        """Warn that the user seems to have forgotten to subscribe again."""
        self.say(
            logging.WARNING,
            "no message for %.0f s on connection %d, although messages came on earlier "
            "ones. A subscription ends with its connection, and messages sent on an "
            "earlier one are not sent again: subscribe in connect(on_open=...), "
            "which runs on each connection",
            QUIET_AFTER,
            self.epoch,
        )


def told(because: BaseException) -> str:
    """Return the text to log; only the class if the error is not ours.

    The text of a foreign exception may hold a secret.
    """
    if isinstance(because, ResilientWSError):
        return str(because)
    return type(because).__name__


# The functions of the table, one for each class of event.


def _state_changed(log: SessionLog, event: StateChanged) -> None:
    retry = event.retry_in
    log.say(
        logging.INFO,
        "%s%s%s",
        event.current.value,
        "" if retry is None else f", next attempt in {retry:.2f} s",
        "" if event.because is None else f" because: {told(event.because)}",
    )


def _attempt_failed(log: SessionLog, event: AttemptFailed) -> None:
    log.failed += 1
    because = event.because
    why = told(because)
    if not isinstance(because, ResilientWSError):
        # Only on_open raises errors that are not ours.
        why = f"on_open raised {why}"
    line = ("attempt %d failed: %s", event.attempt, why)
    if log.epoch == 0:
        log.say(logging.WARNING, *line)
    else:
        log.say_paced(logging.WARNING, "attempt", *line)


def _opened(log: SessionLog, event: ConnectionOpened) -> None:
    failed, log.failed = log.failed, 0
    log.say_anew("attempt")
    if event.resumed_after is not None:
        log.say(
            logging.INFO,
            "back after %.1f s and %s, connection %d",
            event.resumed_after,
            _counted(failed, "failed attempt"),
            event.epoch,
        )


def _dropped(log: SessionLog, event: ConnectionDropped) -> None:
    log.say(
        logging.WARNING,
        "connection %d was lost after %.1f s: %s",
        event.epoch,
        event.uptime,
        told(event.because),
    )


def _replaced(log: SessionLog, event: ConnectionReplaced) -> None:
    log.say(
        logging.INFO,
        "connection %d was replaced after %.1f s: %s",
        event.epoch,
        event.uptime,
        printable(event.reason),
    )


def _queued(log: SessionLog, event: AttemptQueued) -> None:
    log.say(
        logging.INFO,
        "attempt %d is waiting for the limiter, with %d ahead",
        event.attempt,
        event.ahead,
    )


def _lagged(log: SessionLog, event: LoopLagged) -> None:
    text = "the event loop was blocked for %.1f s"
    log.say_paced(logging.INFO, "lag", text, event.by)


def _outbox_full(log: SessionLog, event: OutboxOverflowed) -> None:
    text = "the outbox was full (overflow=%r): %s discarded"
    what = _counted(event.discarded, "message", was="were")
    log.say_paced(logging.WARNING, "outbox", text, event.overflow, what)


def _inbox_full(log: SessionLog, event: InboxOverflowed) -> None:
    discarded = event.discarded
    gone = f"{_counted(discarded, 'message', was='were')} discarded"
    what = gone if discarded else "read faster, or set overflow='drop_oldest'"
    text = "the inbox was full (overflow=%r): %s"
    log.say_paced(logging.WARNING, "inbox", text, event.overflow, what)


def _delivery_failed(log: SessionLog, event: DeliveryFailed) -> None:
    maybe = "; the peer may have received it" if event.maybe_delivered else ""
    text = "the delivery of an accepted message ended as %s%s"
    what = f"delivery {event.state.value}"
    log.say_paced(logging.WARNING, what, text, event.state.value, maybe)


def _overdue(log: SessionLog, event: ConfirmationOverdue) -> None:
    text = "%s not confirmed, the oldest for %.1f s"
    line = (text, _counted(event.unconfirmed, "message", was="are"), event.after)
    log.say_paced(logging.WARNING, "confirmation", *line)


def _store_failed(log: SessionLog, event: StoreFailed) -> None:
    text = "the store of the outbox failed: %s"
    log.say_paced(logging.WARNING, "store", text, told(event.because))


def _closed(log: SessionLog, event: SessionClosed) -> None:
    if event.dropped:
        never = _counted(event.dropped, "message", was="were")
        log.say(logging.WARNING, "%s never sent", never)
    if event.failure is not None:
        log.say(logging.WARNING, "the session ended: %s", told(event.failure))


#: The function that logs each class of event. Other classes get a DEBUG line.
_WRITERS: Final[dict[type[Event], Callable[[SessionLog, Any], None]]] = {
    AttemptFailed: _attempt_failed,
    AttemptQueued: _queued,
    ConfirmationOverdue: _overdue,
    ConnectionDropped: _dropped,
    ConnectionOpened: _opened,
    ConnectionReplaced: _replaced,
    DeliveryFailed: _delivery_failed,
    InboxOverflowed: _inbox_full,
    LoopLagged: _lagged,
    OutboxOverflowed: _outbox_full,
    SessionClosed: _closed,
    StateChanged: _state_changed,
    StoreFailed: _store_failed,
}


#: The singular form of each verb, with a leading space.
_FOR_ONE: Final = {"are": " is", "were": " was", "": ""}


def _counted(number: int, noun: str, *, was: str = "") -> str:
    """Return ``1 message is`` or ``2 messages are``."""
    if number == 1:
        return f"1 {noun}{_FOR_ONE[was]}"
    return f"{number} {noun}s{was and ' ' + was}"


def _in_numbers(event: Event) -> str:
    """Return an event's name and numbers; its strings may hold secrets."""
    kind = type(event)
    fields = attrs.fields_dict(kind) if attrs.has(kind) else ()
    values = [(name, getattr(event, name)) for name in fields]
    numbers = [f", {name} {value:g}" for name, value in values if _is_number(value)]
    return kind.__name__ + "".join(numbers)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
