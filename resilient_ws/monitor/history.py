"""All that the monitor remembers of one session, in a bounded memory.

Rules: the session is held weakly, and so is its channel. The session holds the
chronicle, by a callback that ``stop`` takes back. ``look`` is called once a period, and
alone writes what the rows show.
"""

from __future__ import annotations

import json
import math
import weakref
from typing import TYPE_CHECKING, Final

from resilient_ws import Event, State
from resilient_ws.monitor.alarms import Since, alarms_of, health_of
from resilient_ws.monitor.chronicle import Chronicle
from resilient_ws.monitor.sampler import Sampler
from resilient_ws.monitor.series import Series


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws import Session
    from resilient_ws.feeds import Channel
    from resilient_ws.monitor.alarms import Alarm, Health
    from resilient_ws.monitor.series import Sample


#: What a row of the table of sessions holds, in this order.
COLUMNS: Final = (
    "id",
    "name",
    "health",
    "state",
    "since",
    "retryAt",
    "alarms",
    "latency",
    "received",
    "sent",
    "inbox",
    "outbox",
    "drops",
    "gaps",
)


class History:
    """What one session did and does.

    Args:
        number: The session's number on the page.
        session: The session.
        channel: The channel that reads it, if there is one.
        clock: The loop's clock.

    Attributes:
        series: What was measured.
        chronicle: What the session reported.
        alarms: What is wrong now, the worst first.
        row: The session's row for the page, as JSON; see ``COLUMNS``.
        changed: The turn in which the row changed last.
    """

    __slots__ = (
        "_channel",
        "_down",
        "_gap_at",
        "_sampler",
        "_session",
        "_since",
        "_state",
        "alarms",
        "changed",
        "chronicle",
        "number",
        "row",
        "series",
    )

    def __init__(
        self,
        number: int,
        session: Session,
        channel: Channel | None = None,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.number = number
        self._session = weakref.ref(session)
        self._channel = None if channel is None else weakref.ref(channel)
        self._sampler = Sampler()
        self.series = Series()
        self.chronicle = Chronicle(clock)
        self.alarms: list[Alarm] = []
        self.row = ""
        self.changed = 0
        # The state at the last look, and since when, in Unix seconds.
        self._state: State | None = None
        self._since = 0.0
        # Since when there is no connection.
        self._down: Since | None = None
        # When an item of a feed was last given up, on the loop's clock.
        self._gap_at: float | None = None

    @property
    def session(self) -> Session | None:
        """The session, ``None`` once nobody else holds it."""
        return self._session()

    @property
    def sampler(self) -> Sampler:
        """The newest counters."""
        return self._sampler

    def start(self) -> None:
        """Begin to listen.

        Raises:
            RuntimeError: The session belongs to another loop.
        """
        session = self.session
        if session is not None:
            session.on(Event, self.chronicle.note)

    def stop(self) -> None:
        """Listen no more."""
        session = self.session
        if session is not None:
            session.off(Event, self.chronicle.note)

    def look(self, turn: int, *, now: float, wall: float) -> None:
        """Take a sample, and write the row anew.

        Args:
            turn: The number of this look.
            now: The time on the loop's clock.
            wall: The time in Unix seconds.
        """
        session = self.session
        if session is None:
            return
        channel = None if self._channel is None else self._channel()
        feed = None if channel is None else channel.statistics()
        sample = self._sampler.look(session, feed, now=now, wall=wall)
        if sample is not None:
            self.series.add(sample)
            self._note_gaps(sample, now, wall)
        self._note_state(session.state, now, wall)
        row = json.dumps(self._fields(session, sample, now), separators=(",", ":"))
        if row != self.row:
            self.row, self.changed = row, turn

    def _note_state(self, state: State, now: float, wall: float) -> None:
        if state is not self._state:
            opened = self._sampler.statistics and self._sampler.statistics.opened_at
            self._since = opened if state is State.OPEN and opened else wall
            self._state = state
        if state is State.OPEN or not state.entered:
            self._down = None
        elif self._down is None:
            begun = self.chronicle.downtime
            self._down = Since(begun.since, begun.began) if begun else Since(now, wall)

    def _note_gaps(self, sample: Sample, now: float, wall: float) -> None:
        if sample.gaps:
            self._gap_at = now
            text = f"{sample.gaps:.0f} holes in the feed could not be filled"
            one = "A hole in the feed could not be filled"
            self.chronicle.add("bad", one if sample.gaps == 1 else text, wall)

    def _fields(
        self, session: Session, sample: Sample | None, now: float
    ) -> tuple[object, ...]:
        """Return the row, in the order of ``COLUMNS``."""
        statistics, feed = self._sampler.statistics, self._sampler.feed
        assert statistics is not None, "there was a look"  # noqa: S101 - for the types
        self.alarms = alarms_of(
            session,
            statistics,
            self.chronicle,
            down=self._down,
            gap_at=self._gap_at,
            now=now,
        )
        since = self._since if self._down is None else self._down.wall
        return (
            self.number,
            session.name,
            health_of(session, self.alarms),
            session.state.value,
            round(since, 1),
            self._retry_at(session.state),
            [
                (one.health, one.text, one.since and round(one.since, 1))
                for one in self.alarms
            ],
            None if sample is None else rounded(sample.latency),
            0 if sample is None else rounded(sample.received),
            0 if sample is None else rounded(sample.sent),
            statistics.inbox_messages,
            statistics.outbox_messages,
            statistics.drops,
            None if feed is None else feed.gaps,
        )

    def _retry_at(self, state: State) -> float | None:
        due = self.chronicle.retry_at
        return None if state is not State.BACKOFF or due is None else round(due, 1)

    @property
    def health(self) -> Health | None:
        """The health at the last look, ``None`` once the session is gone."""
        session = self.session
        return None if session is None else health_of(session, self.alarms)


def rounded(value: float) -> float | None:
    """Return three significant digits, which a person reads; ``None`` for NaN."""
    if math.isnan(value):
        return None
    if value == int(value):
        return int(value)
    return float(f"{value:.3g}")
