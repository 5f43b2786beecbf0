"""Which of the messages that wait are too old to matter, and when.

Rules: one timer, for the next to expire. The clock may be the wall's, which jumps, so
the timer looks at it again at least every ``LONGEST_WAIT``; and whoever writes a
message looks at its age himself.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.line import Line


#: Seconds until the clock is looked at again, at the latest.
LONGEST_WAIT: Final = 60.0
#: What expires within so many seconds of the timer expires with it.
RESOLUTION: Final = 0.001
#: So many entries of messages that have left are too few to be worth clearing.
FEW: Final = 64


class Expiry:
    """Takes messages out of the line when their time has come."""

    __slots__ = ("_clock", "_expire", "_heap", "_line", "_loop", "_timer")

    def __init__(
        self,
        line: Line,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        expire: Callable[[list[Delivery]], None],
    ) -> None:
        self._line = line
        self._loop = loop
        self._clock = clock
        self._expire = expire
        self._heap: list[tuple[float, int, Delivery]] = []
        self._timer: asyncio.TimerHandle | None = None

    def is_stale(self, delivery: Delivery) -> bool:
        """Whether the ttl of a message has passed."""
        expires_at = delivery.expires_at
        return expires_at is not None and expires_at <= self._clock()

    def watch(self, delivery: Delivery) -> None:
        """Take note of a message that has come into the line."""
        expires_at = delivery.expires_at
        if expires_at is None:
            return
        if len(self._heap) > 2 * self._line.count + FEW:
            self._heap = [entry for entry in self._heap if entry[2].in_line]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (expires_at, delivery.sequence, delivery))
        if self._heap[0][2] is delivery:
            self._arm()

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._heap.clear()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            wait = min(self._heap[0][0] - self._clock(), LONGEST_WAIT)
            self._timer = self._loop.call_later(wait, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._clock() + RESOLUTION
        stale: dict[int, Delivery] = {}
        while self._heap and self._heap[0][0] <= now:
            _, sequence, delivery = heapq.heappop(self._heap)
            if delivery.in_line:
                stale[sequence] = delivery
        for delivery in stale.values():
            self._line.remove(delivery)
        self._arm()
        if stale:
            self._expire(sorted(stale.values(), key=lambda d: d.sequence))
