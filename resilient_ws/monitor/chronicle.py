"""What a session reported: its last events, outages and failed attempts.

Rules: every list is bounded. An event that repeats the one before it is counted, not
listed again, so that a storm does not push out what came before.
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
from resilient_ws.monitor.event_words import Level, error_words, event_words


if TYPE_CHECKING:
    from resilient_ws import Event


#: Events, outages and failed attempts that are kept of each session.
KEPT: Final = 40
#: Drops whose times are kept.
_DROPS: Final = 20

#: Events after which a session is called troubled for a while.
_TROUBLES: Final = (
    ConfirmationOverdue,
    DeliveryFailed,
    HandlerFailed,
    InboxOverflowed,
    LoopLagged,
    OutboxOverflowed,
    StoreFailed,
)


@attrs.define
class Entry:
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
    """

    at: float
    number: int
    endpoint: str
    elapsed: float
    why: str


@attrs.define
class Downtime:
    """A time without an open connection.

    Attributes:
        began: When, in Unix seconds.
        why: Why it began.
        failed: How many attempts have failed in it.
        seconds: How long it was, ``None`` while it lasts.
    """

    began: float
    why: str
    failed: int = 0
    seconds: float | None = None


class Chronicle:
    """The last reports of one session.

    Attributes:
        entries: The last events, oldest first.
        attempts: The last attempts that failed, oldest first.
        downtimes: The last times without a connection, oldest first.
        endpoint: Where the session connected to last, without secrets.
        retry_at: When the next attempt is due, in Unix seconds, or ``None``.
        drops: When the last connections were dropped, in Unix seconds.
        troubles: The newest event of each class that means trouble, and when it came.
    """

    __slots__ = (
        "attempts",
        "downtimes",
        "drops",
        "endpoint",
        "entries",
        "retry_at",
        "troubles",
    )

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self.attempts: deque[FailedAttempt] = deque(maxlen=KEPT)
        self.downtimes: deque[Downtime] = deque(maxlen=KEPT)
        self.drops: deque[float] = deque(maxlen=_DROPS)
        self.troubles: dict[type[Event], tuple[float, Event]] = {}
        self.endpoint: str | None = None
        self.retry_at: float | None = None

    def note(self, event: Event) -> None:
        """Take a report of the session."""
        now = time.time()
        words = event_words(event)
        if words is not None:
            self.add(*words, now)
        if isinstance(event, _TROUBLES):
            self.troubles[type(event)] = now, event
        self._note_attempt(event, now)
        self._note_downtime(event, now)

    def add(self, level: Level, text: str, now: float) -> None:
        """Add a line, or count it if it repeats the last one."""
        last = self.entries[-1] if self.entries else None
        if last is not None and (last.level, last.text) == (level, text):
            last.count += 1
            last.at = now
        else:
            self.entries.append(Entry(now, level, text))

    @property
    def downtime(self) -> Downtime | None:
        """The present time without a connection, if there is one."""
        last = self.downtimes[-1] if self.downtimes else None
        return last if last is not None and last.seconds is None else None

    def _note_attempt(self, event: Event, now: float) -> None:
        match event:
            case RetryScheduled():
                self.retry_at = now + event.delay
            case AttemptFailed():
                self.endpoint = event.endpoint
                why = error_words(event.because)
                self.attempts.append(
                    FailedAttempt(
                        now, event.attempt, event.endpoint, event.elapsed, why
                    )
                )
                if self.downtime is not None:
                    self.downtime.failed += 1
            case ConnectionOpened():
                self.endpoint = event.endpoint
                self.retry_at = None
            case _:
                pass

    def _note_downtime(self, event: Event, now: float) -> None:
        match event:
            case StateChanged(previous=State.IDLE, current=State.CONNECTING):
                self.downtimes.append(Downtime(now, "The session began"))
            case ConnectionDropped():
                self.drops.append(now)
                self.downtimes.append(Downtime(now, error_words(event.because)))
            case ConnectionReplaced():
                self.downtimes.append(Downtime(now, f"Replaced: {event.reason}"))
            case ConnectionOpened() | SessionClosed():
                if self.downtime is not None:
                    self.downtime.seconds = now - self.downtime.began
            case _:
                pass
