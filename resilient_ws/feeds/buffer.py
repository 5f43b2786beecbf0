"""A bounded hand-over from a subscription's stream to its one consumer.

Rules: the pump puts items and never waits; a task that may wait asks for room first.
The consumer takes an item in the same step in which it wakes, so cancelling it loses
nothing. What was put before the end is taken before the end is told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from resilient_ws.feeds.errors import renewed
from resilient_ws.feeds.turns import Turns


X = TypeVar("X")


class Buffer(Generic[X]):
    """Items that wait for a consumer.

    Args:
        size: How many items may wait.
        turns: Told when half as many wait, so that the consumer may run.

    Attributes:
        free: How many items there is room for; one less than none where an item came
            together with the gap before it. A number, because it is looked at for each
            item of a feed.
    """

    __slots__ = (
        "_asleep",
        "_ended",
        "_failure",
        "_half",
        "_items",
        "_room",
        "_taking",
        "free",
        "size",
        "turns",
    )

    def __init__(self, size: int, turns: Turns | None = None) -> None:
        if size < 1:
            raise ValueError(f"A buffer holds at least one item, not {size}.")
        self.size = self.free = size
        self._half = size // 2
        self.turns = Turns() if turns is None else turns
        self._items: deque[X] = deque()
        self._taking = False
        # What the consumer waits on, until the next item is put.
        self._asleep: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._ended = False
        self._failure: Exception | None = None

    def __len__(self) -> int:
        """Count the items that wait."""
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether no further item may be put."""
        return self.free <= 0

    def put(self, item: X) -> None:
        """Add an item. The caller has looked whether there is room."""
        self._items.append(item)
        self.free = free = self.free - 1
        if free == self._half:
            self.turns.due = True
        if self._asleep is not None:
            self._wake()

    def _wake(self) -> None:
        asleep, self._asleep = self._asleep, None
        if asleep is not None and not asleep.done():
            asleep.set_result(None)

    async def until_half_empty(self) -> None:
        """Wait until half of the buffer is free.

        Cancellation:
            Safe.
        """
        while len(self._items) * 2 > self.size:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def finish(self, failure: Exception | None) -> None:
        """End the iteration behind the items that wait; raise ``failure`` if given."""
        if not self._ended:
            self._ended = True
            self._failure = failure
            self._wake()

    async def take(self) -> X:
        """Return the next item; wait for it.

        Raises:
            Exception: What ended the stream.
            RuntimeError: Another consumer waits.
            StopAsyncIteration: The stream has ended.

        Cancellation:
            Safe: no item is lost.
        """
        if self._taking:
            msg = "Another task reads this subscription; it has one consumer."
            raise RuntimeError(msg)
        while not self._items:
            if self._failure is not None:
                raise renewed(self._failure)
            if self._ended:
                raise StopAsyncIteration
            await self._sleep()
        item = self._items.popleft()
        self.free += 1
        if self._room is not None:
            self._make_room(self._room)
        return item

    async def _sleep(self) -> None:
        self._taking = True
        self._asleep = asyncio.get_running_loop().create_future()
        try:
            await self._asleep
        finally:
            self._taking = False
            self._asleep = None

    def _make_room(self, room: asyncio.Future[None]) -> None:
        if len(self._items) * 2 <= self.size:
            self._room = None
            if not room.done():
                room.set_result(None)
