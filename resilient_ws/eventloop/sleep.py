"""Notices that the machine slept: one ticker per loop, shared by all its sessions.

While a machine is suspended the monotonic clock, and so every timer, stands still,
while the boot clock and the wall clock go on. What runs away from the monotonic clock
between two looks is the time that was slept (or a wall clock that was set forward,
which costs a ping and nothing else). The loop's own clock is not asked: a test may have
it run as it likes.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    Clocks = tuple[Callable[[], float], ...]


#: Seconds between two looks at the clocks.
LOOK_INTERVAL: Final = 5.0
#: A clock that ran away by more than this many seconds means a sleep.
MIN_JUMP: Final = 1.0


def _boot_clock() -> float:
    """Return the clock that goes on in suspend, or the wall clock without one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if clock is None else time.clock_gettime(clock)


class SleepTicker:
    """Compares the clocks of one loop, as long as somebody wants to know."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clocks: Clocks = (time.time, _boot_clock),
    ) -> None:
        # Weak, or the table of tickers would keep every loop alive.
        self._loop = weakref.ref(loop)
        self._clocks = clocks
        #: In the order in which they came.
        self._subscribers: dict[Callable[[float], None], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._offsets: list[float] = []

    def subscribe(self, told: Callable[[float], None]) -> None:
        """Have ``told`` called with the seconds slept."""
        self._subscribers[told] = None
        if self._timer is None:
            self._wait()

    def unsubscribe(self, told: Callable[[float], None]) -> None:
        """Call it no more."""
        self._subscribers.pop(told, None)
        if not self._subscribers and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        """Note how far each clock is ahead of the steady one, and look again later."""
        loop = self._loop()
        if loop is not None:
            now = time.monotonic()
            self._offsets = [clock() - now for clock in self._clocks]
            self._timer = loop.call_later(LOOK_INTERVAL, self._tick)

    def _tick(self) -> None:
        before = self._offsets
        self._wait()
        slept = max(now - then for now, then in zip(self._offsets, before, strict=True))
        if slept > MIN_JUMP:
            for told in tuple(self._subscribers):
                told(slept)


_tickers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, SleepTicker] = (
    weakref.WeakKeyDictionary()
)


def ticker_of(loop: asyncio.AbstractEventLoop) -> SleepTicker:
    """Return the one ticker of this loop."""
    if loop not in _tickers:
        _tickers[loop] = SleepTicker(loop)
    return _tickers[loop]
