"""Spaces out what a server would take for a flood."""

from __future__ import annotations

import asyncio


class Pace:
    """At most ``rate`` turns a second; a burst of a tenth of that is not held up.

    First come, first served. Whoever is cancelled before its turn takes none.

    Args:
        rate: Turns a second; ``None`` for no limit.
    """

    __slots__ = ("_line", "_next", "_rate")

    def __init__(self, rate: float | None) -> None:
        if rate is not None and not rate > 0:
            raise ValueError(f"rate is a number of turns a second, not {rate}.")
        self._rate = rate
        self._line = asyncio.Lock()
        # When the next turn is due, were there no burst.
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for a turn.

        Cancellation:
            Safe; no turn is used up.
        """
        if self._rate is None:
            return
        loop = asyncio.get_running_loop()
        async with self._line:
            if self._next > loop.time():
                await asyncio.sleep(self._next - loop.time())
            self._next = max(self._next, loop.time() - 0.1) + 1 / self._rate
