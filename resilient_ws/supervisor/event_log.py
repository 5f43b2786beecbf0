"""Writes the log line of each event: one table maps its class to the line.

Rules: the loss of an open connection, a failed attempt, and anything dropped, full or
overdue is a WARNING. Before the first open connection every failed attempt is written,
later at most one a minute. Each change of state is an INFO. Everything else is DEBUG,
which costs nothing when it is off.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, Final

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
from resilient_ws.protocol.text import printable
from resilient_ws.supervisor.log import logger


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resilient_ws.supervisor.log import SessionLog


class EventLog:
    """Logs the events of one session.

    Args:
        log: Where the lines go.
    """

    __slots__ = ("_failed", "_log")

    def __init__(self, log: SessionLog) -> None:
        self._log = log
        # Attempts that have failed since the last open connection.
        self._failed = 0

    def write(self, event: Event) -> None:
        """Write the line for an event, if it has one."""
        line = self.LINES.get(type(event))
        if line is not None:
            line(self, event)
        elif logger.isEnabledFor(logging.DEBUG):
            self._log.say(logging.DEBUG, "%s", _in_numbers(event))

    # The methods of the table, one for each class of event.

    def _state_changed(self, event: StateChanged) -> None:
        retry = event.retry_in
        self._log.say(
            logging.INFO,
            "%s%s%s",
            event.current.value,
            "" if retry is None else f", next attempt in {retry:.2f} s",
            "" if event.because is None else f" because: {_text_of(event.because)}",
        )

    def _attempt_failed(self, event: AttemptFailed) -> None:
        self._failed += 1
        because = event.because
        why = _text_of(because)
        if not isinstance(because, ResilientWSError):
            # Only on_open raises errors that are not ours.
            why = f"on_open raised {why}"
        line = ("attempt %d failed: %s", event.attempt, why)
        if self._log.epoch == 0:
            self._log.say(logging.WARNING, *line)
        else:
            self._log.say_paced(logging.WARNING, "attempt", *line)

    def _opened(self, event: ConnectionOpened) -> None:
        failed, self._failed = self._failed, 0
        self._log.reset_pace("attempt")
        if event.resumed_after is not None:
            self._log.say(
                logging.INFO,
                "back after %.1f s and %s, connection %d",
                event.resumed_after,
                _counted(failed, "failed attempt"),
                event.epoch,
            )

    def _dropped(self, event: ConnectionDropped) -> None:
        self._log.say(
            logging.WARNING,
            "connection %d was lost after %.1f s: %s",
            event.epoch,
            event.uptime,
            _text_of(event.because),
        )

    def _replaced(self, event: ConnectionReplaced) -> None:
        self._log.say(
            logging.INFO,
            "connection %d was replaced after %.1f s: %s",
            event.epoch,
            event.uptime,
            printable(event.reason),
        )

    def _queued(self, event: AttemptQueued) -> None:
        self._log.say(
            logging.INFO,
            "attempt %d is waiting for the limiter, with %d ahead",
            event.attempt,
            event.ahead,
        )

    def _lagged(self, event: LoopLagged) -> None:
        text = "the event loop was blocked for %.1f s"
        self._log.say_paced(logging.INFO, "lag", text, event.by)

    def _outbox_full(self, event: OutboxOverflowed) -> None:
        text = "the outbox was full (overflow=%r): %s discarded"
        what = _counted(event.discarded, "message", was="were")
        self._log.say_paced(logging.WARNING, "outbox", text, event.overflow, what)

    def _inbox_full(self, event: InboxOverflowed) -> None:
        discarded = event.discarded
        gone = f"{_counted(discarded, 'message', was='were')} discarded"
        what = gone if discarded else "read faster, or set overflow='drop_oldest'"
        text = "the inbox was full (overflow=%r): %s"
        self._log.say_paced(logging.WARNING, "inbox", text, event.overflow, what)

    def _delivery_failed(self, event: DeliveryFailed) -> None:
        maybe = "; the peer may have received it" if event.maybe_delivered else ""
        text = "the delivery of an accepted message ended as %s%s"
        what = f"delivery {event.state.value}"
        self._log.say_paced(logging.WARNING, what, text, event.state.value, maybe)

    def _overdue(self, event: ConfirmationOverdue) -> None:
        text = "%s not confirmed, the oldest for %.1f s"
        line = (text, _counted(event.unconfirmed, "message", was="are"), event.after)
        self._log.say_paced(logging.WARNING, "confirmation", *line)

    def _store_failed(self, event: StoreFailed) -> None:
        text = "the store of the outbox failed: %s"
        self._log.say_paced(logging.WARNING, "store", text, _text_of(event.because))

    def _closed(self, event: SessionClosed) -> None:
        if event.dropped:
            never = _counted(event.dropped, "message", was="were")
            self._log.say(logging.WARNING, "%s never sent", never)
        if event.failure is not None:
            self._log.say(
                logging.WARNING, "the session ended: %s", _text_of(event.failure)
            )

    #: The method that logs each class of event. Other classes get a DEBUG line.
    LINES: ClassVar[Mapping[type[Event], Callable[[Any, Any], None]]] = {
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


def _text_of(because: BaseException) -> str:
    """Return the text to log; only the class if the error is not ours.

    The text of a foreign exception may hold a secret.
    """
    if isinstance(because, ResilientWSError):
        return str(because)
    return type(because).__name__
