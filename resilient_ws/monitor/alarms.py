"""What is wrong with a session now, in one sentence for each thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

from resilient_ws import (
    ConfirmationOverdue,
    DeliveryFailed,
    HandlerFailed,
    InboxOverflowed,
    LoopLagged,
    OutboxOverflowed,
    State,
    StoreFailed,
)
from resilient_ws.monitor.event_words import counted, error_words, event_words


if TYPE_CHECKING:
    from collections.abc import Iterator

    from resilient_ws import Event, Session, Statistics
    from resilient_ws.monitor.chronicle import Chronicle


#: How a session is: something must be done, something is odd, all is well, not running.
Health: TypeAlias = Literal["bad", "warn", "good", "idle"]

#: Seconds without a connection that are no more than a hiccup.
HICCUP: Final = 5.0
#: Drops within ``RECENT`` seconds that make a link unsteady.
UNSTEADY: Final = 3
#: The share of a queue from which on it is called nearly full.
NEARLY: Final = 0.8
#: Seconds after which a message that is not sent although the link is open is odd.
STUCK: Final = 30.0
#: Seconds for which a drop, a gap or a lost message stays an alarm.
RECENT: Final = 300.0
#: The same, in seconds, for what repeats while it lasts.
_WHILE_IT_LASTS: Final = 60.0

#: For how many seconds each class of event is an alarm.
_LASTING: Final[dict[type[Event], float]] = {
    StoreFailed: _WHILE_IT_LASTS,
    OutboxOverflowed: _WHILE_IT_LASTS,
    InboxOverflowed: _WHILE_IT_LASTS,
    LoopLagged: _WHILE_IT_LASTS,
    ConfirmationOverdue: _WHILE_IT_LASTS,
    DeliveryFailed: RECENT,
    HandlerFailed: RECENT,
}


@attrs.frozen
class Alarm:
    """One thing that is wrong.

    Attributes:
        health: ``"bad"`` or ``"warn"``.
        text: What is wrong. It does not change while it stays the same.
    """

    health: Literal["bad", "warn"]
    text: str


def alarms_of(
    session: Session,
    statistics: Statistics,
    chronicle: Chronicle,
    *,
    down_since: float | None,
    gap_at: float | None,
    wall: float,
) -> list[Alarm]:
    """Return what is wrong with a session, the worst first.

    Args:
        session: The session.
        statistics: Its counters.
        chronicle: What it reported.
        down_since: Since when it has no connection, in Unix seconds.
        gap_at: When a hole in its feed could last not be filled.
        wall: The time, in Unix seconds.
    """
    found = [
        *_link(session, chronicle, down_since, wall),
        *_queues(session, statistics),
        *_troubles(chronicle, wall),
    ]
    if gap_at is not None and wall - gap_at < RECENT:
        found.append(Alarm("warn", "Items of a feed are missing for good"))
    return sorted(found, key=lambda alarm: alarm.health != "bad")


def health_of(session: Session, alarms: list[Alarm]) -> Health:
    """Return the health of a session, of the alarms that it has."""
    if alarms:
        return alarms[0].health
    return "good" if session.state is State.OPEN else "idle"


def _link(
    session: Session, chronicle: Chronicle, down_since: float | None, wall: float
) -> Iterator[Alarm]:
    if session.failure is not None:
        yield Alarm("bad", f"Ended: {error_words(session.failure)}")
    elif down_since is not None and session.state.entered:
        if wall - down_since < HICCUP:
            yield Alarm("warn", "Reconnecting")
        else:
            last = chronicle.attempts[-1] if chronicle.attempts else None
            fresh = last is not None and last.at >= down_since
            down = chronicle.downtime
            why = last.why if last is not None and fresh else down and down.why
            yield Alarm("bad", f"No connection: {why}" if why else "No connection")
    drops = sum(wall - at < RECENT for at in chronicle.drops)
    if drops >= UNSTEADY and not session.state.ending:
        all_that_are_kept = drops == chronicle.drops.maxlen
        many = f"{drops} drops{' or more' if all_that_are_kept else ''}"
        yield Alarm("warn", f"Unsteady: {many} in the last 5 minutes")


def _queues(session: Session, now: Statistics) -> Iterator[Alarm]:
    box = session.outbox
    waiting = now.outbox_messages
    share = max(waiting / box.max_messages, now.outbox_bytes / box.max_bytes)
    if share >= 1:
        yield Alarm("bad", f"The outbox is full: {counted(waiting, 'message')}")
    elif share >= NEARLY:
        yield Alarm("warn", "The outbox is nearly full")
    elif waiting and session.state is State.OPEN and now.outbox_oldest_age >= STUCK:
        yield Alarm("warn", "Messages wait to be sent although the link is open")
    if now.inbox_messages >= session.inbox.max_messages:
        yield Alarm("warn", "The inbox is full: the application reads too slowly")


def _troubles(chronicle: Chronicle, wall: float) -> Iterator[Alarm]:
    for kind, (at, event) in chronicle.troubles.items():
        words = event_words(event)
        if words is not None and wall - at < _LASTING[kind]:
            yield Alarm("bad" if words[0] == "bad" else "warn", words[1])
