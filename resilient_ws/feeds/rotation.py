"""Moving to a new connection before the old one is left: make before break.

Some servers announce that a connection will end (Slack's ``refresh_requested``,
EventSub's ``session_reconnect``). Whoever closes first and dials then misses what comes
in between. ``overlap`` opens the second connection first, and merges the two.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from resilient_ws.feeds.merge import Merged
from resilient_ws.policy._validate import check_duration, require_callable


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from resilient_ws.feeds.protocol import Rotate
    from resilient_ws.feeds.source import Gap

    OnRotate: TypeAlias = Callable[[Rotate], None]


logger = logging.getLogger("resilient_ws")

T = TypeVar("T")

#: Seconds before the next leg is opened where the last was opened a short time ago, or
#: could not be: doubled each time from the first figure up to the second, and forgotten
#: after the third.
PAUSE: Final = 1.0
MAX_PAUSE: Final = 60.0
FORGET: Final = 60.0


class _OpenedLeg:
    """One connection, from its opening to its end, in a task of its own."""

    def __init__(self) -> None:
        self.number: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.asked: Rotate | None = None
        self.task: asyncio.Task[None]


class Rotation(Generic[T]):
    """The legs of one ``overlap``."""

    def __init__(
        self,
        open: Callable[
            [OnRotate, Rotate | None],
            AbstractAsyncContextManager[AsyncIterator[T | Gap]],
        ],
        merged: Merged[T],
        linger: float,
    ) -> None:
        self._open = open
        self._merged = merged
        self._linger = linger
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._newest: _OpenedLeg | None = None
        self._turning = False
        self._pause = 0.0
        self._turned_at = -math.inf

    async def begin(self) -> None:
        """Open the first leg.

        Raises:
            Exception: What opening it raises.
        """
        self._newest = await self._opened(None)
        self._turn_if_asked()

    async def aclose(self) -> None:
        """End all legs."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _opened(self, rotate: Rotate | None) -> _OpenedLeg:
        leg = _OpenedLeg()
        leg.task = self._spawn(self._run(leg, rotate))
        try:
            first = asyncio.FIRST_COMPLETED
            either: list[asyncio.Future[Any]] = [leg.task, leg.number]
            await asyncio.wait(either, return_when=first)
        except asyncio.CancelledError:
            leg.task.cancel()
            raise
        if not leg.number.done():
            await leg.task
        return leg

    async def _run(self, leg: _OpenedLeg, rotate: Rotate | None) -> None:
        def asked(rotate: Rotate) -> None:
            leg.asked = rotate
            self._turn_if_asked()

        async with self._open(asked, rotate) as items:
            number = self._merged.add(items)
            leg.number.set_result(number)
            await leg.over.wait()
            await self._merged.remove(number)

    def _turn_if_asked(self) -> None:
        leg = self._newest
        if leg is not None and leg.asked is not None and not self._turning:
            self._turning = True
            _turn = self._spawn(self._turn(leg, leg.asked))

    async def _turn(self, old: _OpenedLeg, rotate: Rotate) -> None:
        """Open a new leg, and leave the old one after a while."""
        self._merged.expect(1)
        try:
            self._newest = await self._opened_at_last(rotate)
        finally:
            self._turning = False
            self._merged.expect(-1)
        self._merged.leave(old.number.result())
        self._loop.call_later(self._linger, old.over.set)
        self._turn_if_asked()

    async def _opened_at_last(self, rotate: Rotate) -> _OpenedLeg:
        while True:
            await asyncio.sleep(self._next_pause())
            try:
                return await self._opened(rotate)
            except Exception as failure:  # noqa: BLE001 - the old one goes on meanwhile
                logger.warning(
                    "A new connection was asked for (%s) and could not be opened: %s",
                    rotate.reason,
                    type(failure).__name__,
                )

    def _next_pause(self) -> float:
        now = self._loop.time()
        if now - self._turned_at > max(FORGET, 2 * self._pause):
            self._pause = 0.0
        else:
            self._pause = min(max(2 * self._pause, PAUSE), MAX_PAUSE)
        self._turned_at = now
        return self._pause

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever opened the leg has raised it


@asynccontextmanager
async def overlap(
    open: Callable[
        [OnRotate, Rotate | None], AbstractAsyncContextManager[AsyncIterator[T | Gap]]
    ],
    *,
    identity: Callable[[T], Hashable],
    window: int = 10_000,
    linger: float = 5.0,
) -> AsyncGenerator[Merged[T], None]:
    """Return a stream that moves to a new connection before it leaves the old one.

    ::

        @asynccontextmanager
        async def leg(on_rotate, rotate):
            url = START if rotate is None else rotate.url or START
            async with Channel(connect(url), protocol, on_rotate=on_rotate) as channel:
                yield await channel.subscribe(source)

        async with overlap(leg, identity=lambda event: event["id"]) as events:
            async for event in events:
                ...

    When the server asks for a new connection (``Rotate``), a second leg is opened. Once
    it stands both are read, what comes on both is yielded once, and after ``linger``
    seconds the old one is closed. While the new one cannot be opened the old one goes
    on, and it is tried again.

    Args:
        open: Opens a leg: gets what to give the channel as ``on_rotate``, and the
            ``Rotate`` that it answers, ``None`` at first.
        identity: What two items have in common that are the same.
        window: How many identities are kept (default 10,000).
        linger: Seconds for which the old leg is still read (default 5).

    Raises:
        Exception: What opening the first leg raises.
        TypeError: A value of another type, before a leg is opened.
        ValueError: A number is out of range, before a leg is opened.

    Cancellation:
        All legs end; nothing is left behind.
    """
    require_callable(open, "open")
    check_duration("linger", linger)
    merged: Merged[T] = Merged(identity=identity, window=window)
    rotation = Rotation(open, merged, linger)
    try:
        await rotation.begin()
        yield merged
    finally:
        await rotation.aclose()
        await merged.aclose()
