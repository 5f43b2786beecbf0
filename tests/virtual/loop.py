"""A loop whose clock jumps: an hour of timers costs milliseconds, and is exact.

The selector is polled and never waited in. When nothing is ready the clock moves to
the next timer at once, so a session and a server in the same loop meet at the very
second that their timers say. Peers in other processes cannot keep up with such a clock.
"""

from __future__ import annotations

import asyncio
import os
import selectors
from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from collections.abc import Callable


#: No test needs more seconds than these at a stretch: periodic timers would let one
#: that hangs run for ever.
LONGEST: Final = 14 * 24 * 3600.0


class Deadlock(RuntimeError):
    """Nothing is ready and nothing ever will be: neither timer, nor job, nor I/O."""


class _JumpingSelector(selectors.DefaultSelector):
    """Polls; asked to wait, it moves its loop's clock instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if events or timeout == 0:
            return events
        # The kernel may hand loopback packets over in a thread of its own: let it.
        os.sched_yield()
        if events := super().select(0):
            return events
        if self.loop.jobs:
            # Another thread is at work, in real time; it wakes the selector.
            return super().select(None)
        if timeout is None:
            msg = "every task waits, and there is neither timer nor job nor I/O"
            raise Deadlock(msg)
        self.loop.advance(timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._horizon = LONGEST
        #: Jobs that run in threads; the clock stands still for them.
        self.jobs: set[asyncio.Future[Any]] = set()
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self.now += seconds
        if self.now > self._horizon:
            self._horizon += LONGEST
            msg = f"nothing but timers happened in {LONGEST:g} s of virtual time"
            raise Deadlock(msg)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        job = super().run_in_executor(executor, func, *args)
        self.jobs.add(job)
        job.add_done_callback(self.jobs.discard)
        return job

    async def shutdown_default_executor(self, *args: Any) -> None:
        joining = self.create_future()
        self.jobs.add(joining)
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self.jobs.discard(joining)
