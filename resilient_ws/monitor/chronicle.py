"""What a session reported: its last events, outages and failed attempts.

Rules: what is shown as a time is in Unix seconds; what is measured is measured on the
loop's clock, which nobody sets. Every list is bounded. An event that repeats one of the
last few is counted, and not listed again, so that a storm does not push out what came
before.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws import (
    AttemptFailed,
    ConfirmationOverdue,
    ConnectionDropped,
    ConnectionOpened,
    ConnectionReplaced,
    DeliveryFailed,
    HandlerFailed,
    InboxOverflowed,
    LoopLagged,
    OutboxOverflowed,
    RetryScheduled,
    SessionClosed,
    State,
    StateChanged,
    StoreFailed,
)
from resilient_ws.monitor.event_words import (
    Level,
    error_words,
    event_words,
    number_of,
    reason,
)


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws import Event


#: Events, outages and failed attempts that are kept of each session.
KEPT: Final = 40
#: How far back a line is looked for that an event repeats.
_REPEATS: Final = 6
#: Drops whose times are kept.
_DROPS: Final = 20

#: Events after which a session is called troubled for a while.
_TROUBLES: Final = (
    ConfirmationOverdue,
    DeliveryFailed,
    HandlerFailed,
    InboxOverflowed,
    OutboxOverflowed,
    StoreFailed,
)


@attrs.define
class ChronicleEntry:
    """One line of the events.

    Attributes:
        at: When the newest of them came, in Unix seconds.
        level: How bad it is.
        text: What happened.
        count: How many it stands for.
    """

    at: float
    level: Level
    text: str
    count: int = 1


@attrs.frozen
class FailedAttempt:
    """One attempt that failed.

    Attributes:
        at: When, in Unix seconds.
        number: The attempt's number in its outage.
        endpoint: Where to, without secrets.
        elapsed: How many seconds it took.
        why: Why it failed.
        reason: The same in a few words.
    """

    at: float
    number: int
    endpoint: str
    elapsed: float
    why: str
    reason: str


@attrs.define
class Downtime:
    """A time without an open connection.

    Attributes:
        began: When, in Unix seconds.
        why: Why it began.
        reason: The same in a few words.
        failed: How many attempts have failed in it.
        seconds: How long it was, ``None`` while it lasts.
        since: When it began, on the loop's clock.
    """

    began: float
    why: str
    reason: str = ""
    failed: int = 0
    seconds: float | None = None
    since: float = 0.0


class Chronicle:
    """The last reports of one session.

    Args:
        clock: The loop's clock.

    Attributes:
        entries: The last events, oldest first.
        attempts: The last attempts that failed, oldest first.
        downtimes: The last times without a connection, oldest first.
        endpoint: Where the session connected to last, without secrets.
        retry_at: When the next attempt is due, in Unix seconds, or ``None``.
        drops: When the last connections were dropped, on the loop's clock.
        troubles: The newest event of each class that means trouble, and when it came,
            on the loop's clock.
        lag: When the session last found the loop blocked, on its clock, and for how
            many seconds. All sessions of a loop share that trouble.
    """

    __slots__ = (
        "_clock",
        "attempts",
        "downtimes",
        "drops",
        "endpoint",
        "entries",
        "lag",
        "retry_at",
        "troubles",
    )

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.entries: deque[ChronicleEntry] = deque(maxlen=KEPT)
        self.attempts: deque[FailedAttempt] = deque(maxlen=KEPT)
        self.downtimes: deque[Downtime] = deque(maxlen=KEPT)
        self.drops: deque[float] = deque(maxlen=_DROPS)
        self.troubles: dict[type[Event], tuple[float, Event]] = {}
        self.endpoint: str | None = None
        self.retry_at: float | None = None
        self.lag: tuple[float, float] | None = None

    def note(self, event: Event) -> None:
        """Take a report of the session."""
        now, wall = self._clock(), time.time()
        words = event_words(event)
        if words is not None:
            self.add(*words, wall, number_of(event))
        if isinstance(event, _TROUBLES):
            self.troubles[type(event)] = now, event
        if isinstance(event, LoopLagged):
            self.lag = now, event.by
        self._note_attempt(event, wall)
        self._note_downtime(event, now, wall)

    def add(self, level: Level, text: str, wall: float, count: int = 1) -> None:
        """Add a line; one of the last with the same words is counted instead."""
        newest = list(self.entries)[-_REPEATS:]
        for entry in newest:
            if (entry.level, entry.text) == (level, text):
                self.entries.remove(entry)
                count += entry.count
                break
        self.entries.append(ChronicleEntry(wall, level, text, count))

    @property
    def downtime(self) -> Downtime | None:
        """The present time without a connection, if there is one."""
        last = self.downtimes[-1] if self.downtimes else None
        return last if last is not None and last.seconds is None else None

    def _note_attempt(self, event: Event, wall: float) -> None:
        match event:
            case RetryScheduled():
                self.retry_at = wall + event.delay
            case AttemptFailed():
                self.endpoint = event.endpoint
                self.attempts.append(_failed_attempt(event, wall))
                if self.downtime is not None:
                    self.downtime.failed += 1
            case ConnectionOpened():
                self.endpoint = event.endpoint
                self.retry_at = None
            case _:
                pass

    def _note_downtime(self, event: Event, now: float, wall: float) -> None:
        match event:
            case StateChanged(previous=State.IDLE, current=State.CONNECTING):
                self._begin_downtime("The session began", "", now, wall)
            case ConnectionDropped():
                self.drops.append(now)
                why = error_words(event.because)
                self._begin_downtime(why, reason(event.because), now, wall)
            case ConnectionReplaced():
                self._begin_downtime(f"Replaced: {event.reason}", "", now, wall)
            case ConnectionOpened() | SessionClosed():
                if self.downtime is not None:
                    self.downtime.seconds = now - self.downtime.since
            case _:
                pass

    def _begin_downtime(self, why: str, reason: str, now: float, wall: float) -> None:
        self.downtimes.append(Downtime(wall, why, reason, since=now))


def _failed_attempt(event: AttemptFailed, wall: float) -> FailedAttempt:
    because = event.because
    return FailedAttempt(
        at=wall,
        number=event.attempt,
        endpoint=event.endpoint,
        elapsed=event.elapsed,
        why=error_words(because),
        reason=reason(because),
    )
