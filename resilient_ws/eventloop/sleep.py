"""Notices that the machine slept, with one ticker for each event loop.

While a machine is suspended, the monotonic clock and all timers stand still, and the
boot clock and the wall clock go on. The ticker compares them every few seconds. What
the others gain on the monotonic clock is the time slept. A wall clock that somebody
sets forward looks the same, which costs one ping. The loop's own clock is not compared,
because a test may let it run at any pace.

Rules: the ticker runs while it has a subscriber. A clock that is set back is no sleep.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from resilient_ws.eventloop.per_loop import PerLoop


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    Clocks = tuple[Callable[[], float], ...]


#: Seconds between two comparisons of the clocks.
LOOK_INTERVAL: Final = 5.0
#: A clock that gained more than this many seconds means that the machine slept.
MIN_JUMP: Final = 1.0


def _boot_clock() -> float:
    """Return the clock that counts suspended time, or the wall clock without one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if clock is None else time.clock_gettime(clock)


class SleepTicker:
    """Compares the clocks of the machine for the sessions of one loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clocks: Clocks = (time.time, _boot_clock),
    ) -> None:
        self._loop = loop
        self._clocks = clocks
        # A dict, for its order: subscribers are called in the order they came in.
        self._subscribers: dict[Callable[[float], None], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        # How far each clock was ahead of the monotonic one when last compared.
        self._offsets: list[float] = []

    def subscribe(self, on_sleep: Callable[[float], None]) -> None:
        """Call ``on_sleep`` with the seconds slept, after each sleep of the machine."""
        self._subscribers[on_sleep] = None
        if self._timer is None:
            self._wait()

    def unsubscribe(self, on_sleep: Callable[[float], None]) -> None:
        """Stop calling ``on_sleep``; stop the ticker with the last subscriber."""
        self._subscribers.pop(on_sleep, None)
        if not self._subscribers and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        """Note the offset of each clock, and compare again later."""
        now = time.monotonic()
        self._offsets = [clock() - now for clock in self._clocks]
        self._timer = self._loop.call_later(LOOK_INTERVAL, self._tick)

    def _tick(self) -> None:
        before = self._offsets
        self._wait()
        slept = max(now - then for now, then in zip(self._offsets, before, strict=True))
        if slept > MIN_JUMP:
            for on_sleep in tuple(self._subscribers):
                on_sleep(slept)


ticker_of: Final = PerLoop(SleepTicker)
