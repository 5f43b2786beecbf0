"""Spaces out what a server would take for a flood."""

from __future__ import annotations

import asyncio


class Pace:
    """At most ``rate`` turns a second; a burst of a tenth of that is not held up.

    Args:
        rate: Turns a second; ``None`` for no limit.
    """

    __slots__ = ("_next", "_rate")

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        # When the next turn is due, were there no burst.
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for a turn.

        Cancellation:
            Safe; the turn is not used again.
        """
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        due = max(self._next, now - 0.1)
        self._next = due + 1 / self._rate
        if due > now:
            await asyncio.sleep(due - now)
