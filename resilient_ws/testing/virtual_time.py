"""An event loop whose clock jumps: an hour of timers takes milliseconds, and is exact.

Rules: The selector is polled and never waits. When nothing is ready, the clock moves to
the next timer at once. While a thread works for the loop, the clock stands still.
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
    """Every task waits for something that cannot happen. The text says for what.

    Either there is no timer, no job in a thread and nothing to read or write, or the
    test has taken more than ``VirtualLoop.longest`` seconds of virtual time.
    """


class _JumpingSelector(selectors.DefaultSelector):
    """Polls. Where it would wait, it advances the clock of its loop instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Ready]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        # Give the kernel a chance to deliver packets that are on their way over
        # loopback: it may do so in a thread of its own.
        _let_others_run()
        if events := super().select(0):
            return events
        if self._loop.is_held:
            # A thread works in real time, and wakes the selector when it is done.
            return super().select(None)
        if timeout is None:
            raise _deadlock(
                self._loop,
                "Every task waits, and there is no timer, no job in a thread, no I/O.",
            )
        self._loop.advance(timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time, which begins at 0.

    ``asyncio.sleep(3600)`` returns at once, and ``loop.time()`` says 3600. Everything
    that reads the loop's clock follows: timeouts, sessions, ``ScriptedServer`` and
    ``FaultProxy``. The clock stands still while a job runs in an executor, such as
    ``asyncio.to_thread`` or the lookup of a name. Other clocks, such as
    ``time.time()``, do not jump, so a peer must live in the same loop: a peer in
    another process cannot keep up.

    Use it as a loop factory: ``asyncio.Runner(loop_factory=VirtualLoop)``, or in a
    ``conftest.py`` for pytest-asyncio 1.4 and newer::

        def pytest_asyncio_loop_factories(config, item):
            return {"virtual": VirtualLoop}

    A test that would hang raises :class:`Deadlock` instead.
    """

    #: The most seconds of virtual time that a test may take. A session pings for ever,
    #: so without a limit a test that waits in vain would hang.
    longest: ClassVar[float] = 14 * 24 * 3600.0

    def __init__(self) -> None:
        self._now = 0.0
        self._limit = self.longest
        self._jobs: set[asyncio.Future[Any]] = set()
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Return the virtual time, in seconds since the loop was made."""
        return self._now

    @property
    def is_held(self) -> bool:
        """Whether the clock stands still because a thread works for the loop."""
        return bool(self._jobs)

    def advance(self, seconds: float) -> None:
        """Move the clock, as a callback does that blocks the loop for that long."""
        self._now += seconds
        if self._now > self._limit:
            # The test needs time to clean up after the error.
            self._limit += self.longest
            raise _deadlock(
                self,
                f"The test took more than {self.longest:,.10g} s of virtual time:"
                " does it wait for something that never comes?",
            )

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Run a job in a thread while the clock stands still."""
        job = super().run_in_executor(executor, func, *args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    async def shutdown_default_executor(self, *args: float | None) -> None:
        """Wait for the threads, as asyncio does, while the clock stands still."""
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
    """Return where a task waits, from its outermost coroutine to the innermost."""
    chain = [
        f"{code.co_qualname} ({code.co_filename}:{line})"
        for code, line in _awaits(task.get_coro())
    ]
    return " -> ".join(chain) or "nothing: it has not started"


def _awaits(awaited: object) -> Iterator[tuple[CodeType, int]]:
    """Yield the place of a suspended coroutine, and then that of what it awaits."""
    while awaited is not None:
        for kind in ("cr", "ag", "gi"):
            frame: FrameType | None = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                yield frame.f_code, frame.f_lineno
                break
        awaited = _awaited_by(awaited)


def _awaited_by(awaited: object) -> object:
    for name in ("cr_await", "ag_await", "gi_yieldfrom"):
        if hasattr(awaited, name):
            return getattr(awaited, name)
    # Awaiting an asynchronous generator goes through an object that does not name it.
    return next(filter(inspect.isasyncgen, gc.get_referents(awaited)), None)
