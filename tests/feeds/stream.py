"""A model of a stream: a server that counts, a naive consumer, and their judge."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import attrs

from resilient_ws.feeds import (
    CallLost,
    CallTimeout,
    Gap,
    RPCError,
    Source,
    Stage,
    consecutive,
)
from resilient_ws.feeds.buffer import Buffer
from resilient_ws.feeds.flow import Flow


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


#: How a fetch is answered; "whole" when nothing else was planned.
ANSWERS = (
    "whole",  # all that was asked for
    "part",  # the first of it
    "nothing",
    "too much",  # from the beginning through the newest
    "late",  # all of it, after what came meanwhile
    "error",
    "lost",  # no answer, this time
    "timeout",
    "broken",  # the callable fails
    "spoilt",  # an item that cannot be read
    "out of order",
    "hangs",  # until the connection ends
)
#: After these something is missing for good.
BAD = {"nothing", "error", "broken", "spoilt", "out of order", "hangs"}
FAILURES = {
    "error": RPCError(-32005, "limit"),
    "lost": CallLost("lost", maybe_executed=True),
    "timeout": CallTimeout("late", after=1, maybe_executed=True),
    "broken": ZeroDivisionError(),
}
#: These keep something back, as if it did not exist.
LIES = {"nothing", "out of order"}


@attrs.frozen
class Shape:
    """What the source knows, and how the subscription was made."""

    follows: bool = True
    backfill: bool = True
    identity: bool = False
    refill: bool = True
    size: int = 4
    after: bool = False


class Stream:
    """One flow, with the server before it and the consumer behind it."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.newest = 0
        self.sent: set[int] = set()
        self.answers: deque[str] = deque()
        self.fetches: list[tuple[int, int | None]] = []
        self.taken: list[Any] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.buffer: Buffer[Any] = Buffer(shape.size)
        self.source: Source[int, int] = Source(
            subscribe=_never,
            parse=_parse,
            cursor_of=int,
            follows=consecutive(int) if shape.follows else None,
            backfill=self.backfill if shape.backfill else None,
            identity=int if shape.identity else None,
            window=1000,
        )
        self.flow: Flow[int, int] = Flow(
            "model",
            self.source,
            self.buffer,
            after=0 if shape.after else None,
            refill=shape.refill,
            spawn=self.spawn,
        )

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # The server.

    async def backfill(self, after: int, until: int | None) -> AsyncIterator[int]:
        self.fetches.append((after, until))
        how = self.answers.popleft() if self.answers else "whole"
        await asyncio.sleep(0.01)
        if how in FAILURES:
            raise FAILURES[how]
        if how == "late":
            await asyncio.sleep(1)
        if how == "hangs":
            await asyncio.Event().wait()
        for number in self._answer(how, after, until):
            yield number
            await asyncio.sleep(0)

    def _answer(self, how: str, after: int, until: int | None) -> list[Any]:
        first = max(1, after - 3) if how == "too much" else after + 1
        end = self.newest if until is None or how == "too much" else until
        numbers: list[Any] = list(range(first, end + 1))
        if how == "part":
            return numbers[:1]
        if how == "nothing":
            return []
        if how == "spoilt" and numbers:
            numbers[len(numbers) // 2] = "?"
        if how == "out of order":
            numbers.reverse()
        return numbers

    def send(self) -> None:
        """Send the next item."""
        self.newest += 1
        self.sent.add(self.newest)
        self.flow.deliver(self.newest)

    # The consumer.

    async def take(self) -> bool:
        """Take an item if one comes by itself; return whether one did."""
        try:
            async with asyncio.timeout(0.001):
                self.taken.append(await self.buffer.take())
        except TimeoutError:
            return False
        return True

    async def settle(self) -> None:
        """Read all there is, for as long as the flow works."""
        quiet = 0
        while quiet < 5 or self.flow.stage is not Stage.LIVE:
            assert quiet < 500, f"{self.flow.stage} for ever"
            quiet += 1
            if await self.take():
                quiet = 0
            elif self.flow.stage is not Stage.LIVE:
                await asyncio.sleep(0.5)

    # The judge.

    def check_bounds(self) -> None:
        """Nothing grows."""
        held = self.flow._held
        assert len(self.buffer) <= self.shape.size + 1, self.buffer
        assert len(held) <= self.shape.size + 3, held

    def check_order(self) -> None:
        """Each number came once and in order, or is in a gap in its place."""
        judge(self.taken, from_the_first=self.shape.after)

    @property
    def numbers(self) -> list[int]:
        return [item for item in self.taken if not isinstance(item, Gap)]

    @property
    def gaps(self) -> list[Gap]:
        return [item for item in self.taken if isinstance(item, Gap)]


async def _never(_: object) -> str:
    return "key"


def _parse(value: Any) -> int:
    if isinstance(value, int):
        return value
    raise ValueError(value)


def judge(taken: list[Any], *, from_the_first: bool = False) -> None:
    """Each number came once and in order, or is in a gap in its place.

    Args:
        taken: What a consumer took: numbers from 1 on, and gaps.
        from_the_first: Whether the numbers before the first it took count too.
    """
    last = 0
    gaps: list[Gap] = []
    is_first = not from_the_first
    for item in taken:
        if isinstance(item, Gap):
            gaps.append(item)
            is_first = False
            continue
        if is_first:
            last, is_first = item - 1, False
        assert item > last, (item, taken)
        _judge_gaps(last, item, gaps)
        last, gaps = item, []
    _judge_gaps(last, None, gaps)


def _judge_gaps(last: int, item: int | None, gaps: list[Gap]) -> None:
    """The gaps between two items name exactly what is missing between them."""
    named: set[int] = set()
    for gap in gaps:
        first, until = gap.first_missing, gap.until
        if first is None:
            assert last == 0, gap
            first = 1
        assert first > last, gap
        if until is not None and until > 0:
            assert first <= until, gap
            assert item is None or until < item, (gap, item)
            named |= set(range(first, until + 1))
        elif until is None and item is not None:
            named |= set(range(first, item))
    if item is not None:
        missing = set(range(last + 1, item))
        assert missing <= named, (missing - named, gaps, item)
