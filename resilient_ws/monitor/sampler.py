"""From two snapshots of the counters to what happened between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from resilient_ws import State
from resilient_ws.monitor.series import Sample


if TYPE_CHECKING:
    from resilient_ws import Session, Statistics
    from resilient_ws.feeds import ChannelStatistics


class Sampler:
    """Looks at one session again and again, and tells what changed.

    Attributes:
        statistics: The newest snapshot, ``None`` before the first look.
        feed: That of the session's channel, ``None`` without one.
    """

    __slots__ = ("_at", "feed", "statistics")

    def __init__(self) -> None:
        self._at = 0.0
        self.statistics: Statistics | None = None
        self.feed: ChannelStatistics | None = None

    def look(
        self,
        session: Session,
        feed: ChannelStatistics | None,
        *,
        now: float,
        wall: float,
    ) -> Sample | None:
        """Return what happened since the last look, ``None`` at the first.

        Args:
            session: The session.
            feed: The counters of its channel, if it has one.
            now: The time on the loop's clock.
            wall: The time in Unix seconds.
        """
        new = session.statistics()
        old, had, before = self.statistics, self.feed, self._at
        self.statistics, self.feed, self._at = new, feed, now
        seconds = now - before
        if old is None or seconds <= 0:
            return None
        state = session.state
        # A share of more than all of it would be a clock that was read at two times.
        down = min(1.0, (new.outage_seconds - old.outage_seconds) / seconds)
        waiting = min(down, (new.backoff_seconds - old.backoff_seconds) / seconds)
        latency = session.latency if state is State.OPEN else None
        return Sample(
            at=wall,
            seconds=seconds,
            down=down if state.entered else math.nan,
            waiting=waiting if state.entered else math.nan,
            latency=math.nan if latency is None else latency,
            received=(new.messages_received - old.messages_received) / seconds,
            sent=(new.messages_sent - old.messages_sent) / seconds,
            bytes_received=(new.bytes_received - old.bytes_received) / seconds,
            bytes_sent=(new.bytes_sent - old.bytes_sent) / seconds,
            inbox=new.inbox_messages,
            outbox=new.outbox_messages,
            gaps=feed.gaps - had.gaps if feed and had else 0,
        )
