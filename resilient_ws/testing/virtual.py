"""A loop whose clock jumps: an hour of timers costs milliseconds, and is exact.

The selector is polled and never waited in. When nothing is ready the clock moves to
the next timer at once, so a session and a server in the same loop meet at the very
second that their timers say. Peers in other processes cannot keep up with such a clock.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import selectors
import time
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    TypeAlias,
    TypeVar,
    TypeVarTuple,
)


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from types import CodeType, FrameType

    Ready: TypeAlias = tuple[selectors.SelectorKey, int]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


_let_others_run: Callable[[], None] = getattr(
    os, "sched_yield", functools.partial(time.sleep, 0)
)


class Deadlock(RuntimeError):
    """Nothing is ready and nothing ever will be; the text says what each task awaits.

    There is neither a timer, nor a job in a thread, nor anything to read or write. Or
    nothing but timers has kept the loop busy for ``VirtualLoop.longest`` seconds.
    """


class _JumpingSelector(selectors.DefaultSelector):
    """Polls; asked to wait, it moves its loop's clock instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Ready]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        # The kernel may hand loopback packets over in a thread of its own: let it.
        _let_others_run()
        if events := super().select(0):
            return events
        if self.loop.is_held:
            # Another thread is at work, in real time; it wakes the selector.
            return super().select(None)
        if timeout is None:
            raise _deadlock(
                self.loop,
                "Every task waits, and there is neither timer nor job nor I/O.",
            )
        self.loop.advance(timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time, which begins at 0.

    ``asyncio.sleep(3600)`` returns at once, and ``loop.time()`` says 3600. Everything
    that reads the loop's clock follows: timeouts, sessions, ``ScriptedServer`` and
    ``FaultProxy``. While a job runs in an executor (``asyncio.to_thread``, the lookup
    of a name) the clock stands still. What reads another clock, as ``time.time()``,
    sees no time pass; a peer must live in the same loop, not in another process.

    Use it as a loop factory: ``asyncio.Runner(loop_factory=VirtualLoop)``, or in a
    ``conftest.py`` for pytest-asyncio 1.4 and newer::

        def pytest_asyncio_loop_factories(config, item):
            return {"virtual": VirtualLoop}

    A test that would hang raises :class:`Deadlock` instead.
    """

    #: Seconds of virtual time that one test may take: a session pings for ever, so a
    #: test that waits for what never comes would otherwise hang all the same.
    longest: ClassVar[float] = 14 * 24 * 3600.0

    def __init__(self) -> None:
        self._now = 0.0
        self._horizon = self.longest
        self._jobs: set[asyncio.Future[Any]] = set()
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Return the virtual time, in seconds since the loop was made."""
        return self._now

    @property
    def is_held(self) -> bool:
        """Whether a job in a thread holds the clock."""
        return bool(self._jobs)

    def advance(self, seconds: float) -> None:
        """Move the clock, as a callback does that blocks the loop for so long."""
        self._now += seconds
        if self._now > self._horizon:
            self._horizon += self.longest
            raise _deadlock(
                self,
                f"The test took more than {self.longest:g} s of virtual time:"
                " does it wait for what never comes?",
            )

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Run a job in a thread; the clock stands still meanwhile."""
        job = super().run_in_executor(executor, func, *args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    async def shutdown_default_executor(self, *args: float | None) -> None:
        """Wait for the threads, as asyncio does; the clock stands still meanwhile."""
        joining = self.create_future()
        self._jobs.add(joining)
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._jobs.discard(joining)


def _deadlock(loop: VirtualLoop, why: str) -> Deadlock:
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    lines = [f"\n  {task.get_name()} waits in {_place(task)}" for task in tasks]
    return Deadlock(why + "".join(lines))


def _place(task: asyncio.Task[Any]) -> str:
    """From the outermost coroutine of a task down to what it awaits."""
    chain = [
        f"{code.co_qualname} ({code.co_filename}:{line})"
        for code, line in _awaits(task.get_coro())
    ]
    return " -> ".join(chain) or "nothing: it has not begun"


def _awaits(awaited: object) -> Iterator[tuple[CodeType, int]]:
    """Each frame of a suspended coroutine, and of what it awaits."""
    while awaited is not None:
        for kind in ("cr", "ag", "gi"):
            frame: FrameType | None = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                yield frame.f_code, frame.f_lineno
                break
        awaited = _next_of(awaited)


def _next_of(awaited: object) -> object:
    for name in ("cr_await", "ag_await", "gi_yieldfrom"):
        if hasattr(awaited, name):
            return getattr(awaited, name)
    # The step of an asynchronous generator does not say whose it is.
    return next(filter(inspect.isasyncgen, gc.get_referents(awaited)), None)
