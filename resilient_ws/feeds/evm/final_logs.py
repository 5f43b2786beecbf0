"""The logs of blocks that are final, by ranges.

Rules: what a range answers is believed if the node proves that it has the range, and
nothing in the answer speaks against it, nor the blooms of the blocks if they are looked
at. A block in doubt is asked for by its hash; where the node does not prove the range,
each of its blocks is fetched with its header and verified by itself. Where the node has
deleted the beginning, the first block that it still has is found, and what lies before
it is a gap with exact bounds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeAlias

import attrs

from resilient_ws.feeds.errors import (
    BackfillFailed,
    HistoryPruned,
    RPCError,
)
from resilient_ws.feeds.evm.final_headers import FinalHeaders
from resilient_ws.feeds.evm.log_ranges import LogRanges, RangeOfLogs
from resilient_ws.feeds.evm.log_types import Log
from resilient_ws.feeds.evm.refusals import Refusal, understood
from resilient_ws.feeds.evm.tracked_logs import TrackedLogs, by_block
from resilient_ws.feeds.evm.types import BlockRef, Head


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@attrs.frozen
class FinalBlock:
    """A block with logs.

    Attributes:
        block: The block.
        logs: Its logs, at least one.
    """

    block: BlockRef
    logs: tuple[Log, ...]


@attrs.frozen
class FinalThrough:
    """There is nothing more to tell through a block.

    Attributes:
        head: The block.
    """

    head: Head


@attrs.frozen
class FinalGap:
    """Blocks whose logs cannot be had.

    Attributes:
        first: The height of the first.
        head: The last.
        because: Why.
    """

    first: int
    head: Head
    because: BackfillFailed


FinalItem: TypeAlias = FinalBlock | FinalThrough | FinalGap


class FinalLogs:
    """Asks for the logs of final blocks.

    Args:
        tracked: Asks the same node for the logs of single blocks.
    """

    def __init__(self, tracked: TrackedLogs) -> None:
        calls, query = tracked.calls, tracked.query
        self._tracked = tracked
        self._calls = calls
        self._criteria = query.wanted.criteria()
        self._limits = query.limits
        self._by_range = query.verify != "receipts"
        self._by_bloom = query.verify == "bloom"
        self._ranges = LogRanges(calls, query.wanted, query.limits)
        self._headers = FinalHeaders(calls, tracked.checks, patience=query.patience)

    async def through(self, first: int, last: int) -> AsyncGenerator[FinalItem, None]:
        """Yield blocks with logs, and how far everything was told.

        It ends early where the node does not have a block that it should have: then
        nothing was told of that block.

        Args:
            first: The height of the first block.
            last: The height of the last.

        Raises:
            CallLost: The connection ended.
            NotBackfillable: The node does not know how to give receipts.
            RPCError: The node refuses such requests.

        Cancellation:
            The answers are no longer expected.
        """
        while first <= last:
            part = self._ranged if self._by_range else self._each
            try:
                async with aclosing(part(first, last)) as items:
                    async for item in items:
                        yield item
                        if not isinstance(item, FinalBlock):
                            first = item.head.number + 1
                return
            except RPCError as error:
                if understood(error).refusal not in (Refusal.PRUNED, Refusal.ABSENT):
                    raise
                gap = await self._pruned(first, last, error)
            if gap is None:
                return
            yield gap
            first = gap.head.number + 1

    async def _ranged(self, first: int, last: int) -> AsyncGenerator[FinalItem, None]:
        async with aclosing(self._ranges.through(first, last)) as answers:
            async for answer in answers:
                logs, doubtful = by_block(answer.logs), None
                if answer.head is not None and self._is_sound(answer, answer.head):
                    doubtful = await self._in_doubt(answer, answer.head, logs)
                if answer.head is not None and doubtful is not None:
                    items = self._mended(logs, doubtful)
                else:
                    items = self._each(answer.first, answer.last)
                through = answer.first - 1
                async with aclosing(items):
                    async for item in items:
                        yield item
                        if not isinstance(item, FinalBlock):
                            through = item.head.number
                if answer.head is not None and doubtful is not None:
                    yield FinalThrough(answer.head)
                elif through < answer.last:
                    return

    async def _in_doubt(
        self, answer: RangeOfLogs, last: Head, logs: dict[int, tuple[Log, ...]]
    ) -> list[Head] | None:
        if not self._by_bloom:
            return []
        return await self._headers.in_doubt(answer, last, logs)

    async def _mended(
        self, logs: dict[int, tuple[Log, ...]], doubtful: list[Head]
    ) -> AsyncGenerator[FinalItem, None]:
        """Yield blocks with logs, those in doubt as their hash brings them."""
        rest = deque(sorted(number for number in logs))
        async with aclosing(self._tracked.each(doubtful)) as all_:
            async for head, found in all_:
                while rest and rest[0] < head.number:
                    yield _block_with(logs[rest.popleft()])
                if rest and rest[0] == head.number:
                    rest.popleft()
                if isinstance(found, BackfillFailed):
                    yield FinalGap(head.number, head, found)
                elif found:
                    yield _block_with(found)
        for number in rest:
            yield _block_with(logs[number])

    def _is_sound(self, answer: RangeOfLogs, head: Head) -> bool:
        """Whether nothing in an answer contradicts itself, or the last block."""
        logs = answer.logs
        if head.number != answer.last or not self._tracked.checks.in_order(logs):
            return False
        if not logs:
            return True
        if logs[0].blockNumber < answer.first or logs[-1].blockNumber > head.number:
            return False
        return logs[-1].blockNumber < head.number or logs[-1].blockHash == head.hash

    async def _each(self, first: int, last: int) -> AsyncGenerator[FinalItem, None]:
        """Yield blocks one by one, with their headers; end where there is none."""
        window = self._limits.window
        for begin in range(first, last + 1, window):
            numbers = range(begin, min(begin + window, last + 1))
            sent = await asyncio.gather(*map(self._headers.at, numbers))
            heads: list[Head] = []
            for head in sent:
                if head is None:
                    break
                heads.append(head)
            async with aclosing(self._tracked.each(heads)) as all_:
                async for head, logs in all_:
                    if isinstance(logs, BackfillFailed):
                        yield FinalGap(head.number, head, logs)
                        continue
                    if logs:
                        yield _block_with(logs)
                    yield FinalThrough(head)
            if len(heads) < len(sent):
                return

    async def _pruned(self, first: int, last: int, error: RPCError) -> FinalGap | None:
        """Return the gap before the first block that the node still has.

        ``None`` where there is no gap with known bounds.
        """
        # The one that is missing, and one that is there or lies behind the end.
        missing, there = first, last + 1
        if await self._has(first):
            return None
        while missing + 1 < there:
            middle = (missing + there) // 2
            if await self._has(middle):
                there = middle
            else:
                missing = middle
        head = await self._headers.at(missing)
        if head is None:
            return None
        text = f"The node does not have the logs of these blocks any more: {error}"
        because = HistoryPruned(text)
        because.__cause__ = error
        return FinalGap(first, head, because)

    async def _has(self, number: int) -> bool:
        criteria = {
            **self._criteria,
            "fromBlock": hex(number),
            "toBlock": hex(number),
        }
        try:
            await self._calls.ask("eth_getLogs", criteria)
        except RPCError as error:
            if understood(error).refusal in (Refusal.PRUNED, Refusal.ABSENT):
                return False
            if understood(error).refusal is Refusal.REFUSED:
                raise
        return True


def _block_with(logs: tuple[Log, ...]) -> FinalBlock:
    return FinalBlock(logs[0].block, logs)
