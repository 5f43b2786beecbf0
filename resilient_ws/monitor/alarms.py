"""What is wrong with a session now, in one sentence for each thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

from resilient_ws import (
    ConfirmationOverdue,
    DeliveryFailed,
    HandlerFailed,
    InboxOverflowed,
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
#: Drops within ``RECENT`` seconds that make a link unsteady, and that make a storm.
UNSTEADY: Final = 3
STORM: Final = 8
#: The share of a queue from which on it is called nearly full.
NEARLY: Final = 0.8
#: Seconds after which a message that is not sent although the link is open is odd.
STUCK: Final = 30.0
#: Seconds for which a drop, a gap or a lost message stays an alarm.
RECENT: Final = 300.0
#: The same, in seconds, for what repeats while it lasts.
WHILE_IT_LASTS: Final = 60.0

#: Seconds for which the loop must have been blocked for it to be worth a note.
BLOCKED: Final = 0.5

#: For how many seconds each class of event is an alarm.
_LASTING: Final[dict[type[Event], float]] = {
    StoreFailed: WHILE_IT_LASTS,
    OutboxOverflowed: WHILE_IT_LASTS,
    InboxOverflowed: WHILE_IT_LASTS,
    ConfirmationOverdue: WHILE_IT_LASTS,
    DeliveryFailed: RECENT,
    HandlerFailed: RECENT,
}


@attrs.frozen
class Alarm:
    """One thing that is wrong.

    Attributes:
        health: ``"bad"`` or ``"warn"``.
        text: What is wrong, in the same words for every session that has it.
        since: Since when, in Unix seconds, where that is known.
    """

    health: Literal["bad", "warn"]
    text: str
    since: float | None = None


@attrs.frozen
class Since:
    """When something began.

    Attributes:
        at: On the loop's clock, to measure how long ago.
        wall: In Unix seconds, to show it.
    """

    at: float
    wall: float


def alarms_of(
    session: Session,
    statistics: Statistics,
    chronicle: Chronicle,
    *,
    down: Since | None,
    gap_at: float | None,
    now: float,
) -> list[Alarm]:
    """Return what is wrong with a session, the worst first.

    Args:
        session: The session.
        statistics: Its counters.
        chronicle: What it reported.
        down: Since when it has no connection.
        gap_at: When a hole in its feed could last not be filled, as ``now``.
        now: The time on the loop's clock.
    """
    found = [
        *_link(session, chronicle, down, now),
        *_queues(session, statistics),
        *_troubles(chronicle, now),
    ]
    if gap_at is not None and now - gap_at < RECENT:
        found.append(Alarm("warn", "Items of a feed are missing for good"))
    return sorted(found, key=lambda alarm: alarm.health != "bad")


def health_of(session: Session, alarms: list[Alarm]) -> Health:
    """Return the health of a session, of the alarms that it has."""
    if alarms:
        return alarms[0].health
    return "good" if session.state is State.OPEN else "idle"


def _link(
    session: Session, chronicle: Chronicle, down: Since | None, now: float
) -> Iterator[Alarm]:
    if session.failure is not None:
        yield Alarm("bad", f"Ended: {error_words(session.failure)}")
    elif down is not None and now - down.at < HICCUP:
        yield Alarm("warn", "Reconnecting", down.wall)
    elif down is not None:
        why = _why(chronicle, down)
        what = f"No connection: {why}" if why else "No connection"
        yield Alarm("bad", what, down.wall)
    drops = sum(now - at < RECENT for at in chronicle.drops)
    if drops >= STORM and not session.state.ending:
        yield Alarm("bad", "The connection is lost again and again")
    elif drops >= UNSTEADY and not session.state.ending:
        yield Alarm("warn", "Unsteady: several drops in the last 5 minutes")


def _why(chronicle: Chronicle, down: Since) -> str:
    """Return in a few words why there is no connection, empty if that is not known."""
    last = chronicle.attempts[-1] if chronicle.attempts else None
    if last is not None and last.at >= down.wall:
        return last.reason
    return "" if chronicle.downtime is None else chronicle.downtime.reason


def _queues(session: Session, now: Statistics) -> Iterator[Alarm]:
    box = session.outbox
    waiting = now.outbox_messages
    share = max(waiting / box.max_messages, now.outbox_bytes / box.max_bytes)
    stuck = waiting and now.outbox_oldest_age >= STUCK and session.state is State.OPEN
    if share >= 1:
        yield Alarm("bad", f"The outbox is full: {counted(waiting, 'message')}")
    elif share >= NEARLY:
        yield Alarm("warn", "The outbox is nearly full")
    elif stuck:
        yield Alarm("warn", "Messages wait to be sent although the link is open")
    if now.inbox_messages >= session.inbox.max_messages:
        yield Alarm("warn", "The inbox is full: the application reads too slowly")


def _troubles(chronicle: Chronicle, now: float) -> Iterator[Alarm]:
    for kind, (at, event) in chronicle.troubles.items():
        words = event_words(event)
        if words is not None and now - at < _LASTING[kind]:
            yield Alarm("bad" if words[0] == "bad" else "warn", words[1])
