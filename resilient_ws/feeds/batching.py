"""Several items as one: digests for people, batches for servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Generic, TypeVar

from resilient_ws.policy._validate import check_duration, require, whole_number


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


T = TypeVar("T")


def batches(
    items: AsyncIterator[T], *, within: float, most: int = 100
) -> AsyncGenerator[tuple[T, ...]]:
    """Yield the items of a feed in tuples, in order, for ``relay`` to deliver at once.

    A tuple ends ``within`` seconds after its first item came, or with ``most`` items,
    or with the feed. While nobody asks for the next tuple, one item at most is read.

    Args:
        items: The feed.
        within: The longest that an item waits for others, in seconds.
        most: How many items a tuple may hold (default 100).

    Raises:
        TypeError: A value of another type.
        ValueError: ``most`` is less than 1, or ``within`` negative or not finite.
        Exception: What the feed raised, after the items before it.

    Cancellation:
        The items of the tuple in the making are not yielded: begin again with the
        cursor that was saved.
    """
    require(items, AsyncIterable, "items", "a subscription or an async iterator")
    check_duration("within", within)
    whole_number("most", most, at_least=1)
    return _batches(items, within, most)


async def _batches(
    items: AsyncIterator[T], within: float, most: int
) -> AsyncGenerator[tuple[T, ...]]:
    clock = asyncio.get_running_loop().time
    reader = _Reader(items)
    end: Exception | None = None
    try:
        while end is None:
            batch: list[T] = []
            try:
                batch.append(await reader.take())
                deadline = clock() + within
                while len(batch) < most:
                    batch.append(await reader.take(deadline - clock()))
            except _NotYet:
                pass
            except Exception as failure:  # noqa: BLE001 - raised below, after the batch
                end = failure
            if batch:
                yield tuple(batch)
        if not isinstance(end, _Ended):
            raise end
    finally:
        await reader.aclose()


class _NotYet(Exception):
    """No item came in time."""


class _Ended(Exception):
    """The feed has ended: a task cannot raise StopAsyncIteration."""


class _Reader(Generic[T]):
    """Reads a feed with time-outs that do not cancel the reading."""

    def __init__(self, items: AsyncIterator[T]) -> None:
        self._items = items
        self._coming: asyncio.Task[T] | None = None

    async def take(self, within: float | None = None) -> T:
        """Return the next item, or raise how the feed ended, or ``_NotYet``."""
        if self._coming is None:
            self._coming = asyncio.get_running_loop().create_task(self._next())
        left = None if within is None else max(0.0, within)
        done, _ = await asyncio.wait({self._coming}, timeout=left)
        if not done:
            raise _NotYet
        came, self._coming = self._coming, None
        return came.result()

    async def aclose(self) -> None:
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _next(self) -> T:
        try:
            return await anext(self._items)
        except StopAsyncIteration:
            raise _Ended from None
