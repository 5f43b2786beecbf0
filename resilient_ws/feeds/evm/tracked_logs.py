"""The logs of blocks that the tracker knows, each checked against its block.

Rules: blocks come back in the order in which they were given, each with all its logs or
with the reason why there are none. Several are asked for at once, by range where they
are many. A log counts only if it is of the very block that the tracker knows; whatever
a range does not show beyond doubt is asked for by hash.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias

from resilient_ws.feeds.errors import BackfillFailed, RPCError
from resilient_ws.feeds.evm.block_logs import LogsByHash
from resilient_ws.feeds.evm.log_checks import Plausibility
from resilient_ws.feeds.evm.log_ranges import LogRanges, noticed
from resilient_ws.feeds.evm.log_types import Log
from resilient_ws.feeds.evm.refusals import Refusal, understood
from resilient_ws.feeds.evm.types import Head


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from resilient_ws.feeds.evm.log_query import LogQuery
    from resilient_ws.feeds.evm.log_ranges import RangeOfLogs
    from resilient_ws.feeds.evm.node_calls import NodeCalls


#: A block with its logs, or with the reason why they cannot be had.
LogsFound: TypeAlias = tuple[Head, tuple[Log, ...] | BackfillFailed]

#: From this many blocks on, a range and the block behind it are fewer calls.
MIN_RANGE: Final = 3


class TrackedLogs:
    """Asks for the logs of blocks.

    Args:
        calls: The node.
        query: What is asked for.
    """

    def __init__(self, calls: NodeCalls, query: LogQuery) -> None:
        self.calls: Final = calls
        self.query: Final = query
        wanted, verify = query.wanted, query.verify
        self._single = LogsByHash(calls, wanted, verify, patience=query.patience)
        self._ranges = LogRanges(calls, wanted, query.limits)
        self._window = query.limits.window
        self._by_range = verify != "receipts"
        self.checks: Final = self._single.checks

    async def of(
        self, heads: Sequence[Head], *, live: bool
    ) -> AsyncGenerator[LogsFound, None]:
        """Yield blocks with their logs.

        Args:
            heads: The blocks, each the parent of the next.
            live: Whether they were just announced, so that this connection has them.

        Raises:
            BlockReplaced: One of the blocks is not of the chain any more.
            CallLost: The connection ended.
            NotBackfillable: The node does not know how to give receipts.
            RPCError: The node refuses such requests.

        Cancellation:
            The answers are no longer expected.
        """
        if live or len(heads) < MIN_RANGE or not self._by_range:
            found = self.each(heads)
        else:
            found = self._of_ranges(heads)
        async with aclosing(found):
            async for one in found:
                yield one

    async def each(
        self, heads: Sequence[Head], known: Mapping[str, tuple[Log, ...]] | None = None
    ) -> AsyncGenerator[LogsFound, None]:
        """Yield blocks with their logs, asked for by hash; raise as ``of`` does.

        Args:
            heads: The blocks.
            known: The logs of those that need not be asked for, by hash.
        """
        known = {} if known is None else known
        waiting, asked = deque(heads), deque[asyncio.Task[LogsFound]]()
        try:
            while waiting or asked:
                while waiting and len(asked) < self._window:
                    head = waiting.popleft()
                    asked.append(
                        asyncio.create_task(self._one(head, known.get(head.hash)))
                    )
                yield await asked.popleft()
        finally:
            for task in asked:
                task.cancel()
                task.add_done_callback(noticed)

    async def _one(self, head: Head, known: tuple[Log, ...] | None) -> LogsFound:
        if known is not None:
            return head, known
        try:
            return head, await self._single.of(head)
        except BackfillFailed as failure:
            return head, failure

    async def _of_ranges(
        self, heads: Sequence[Head]
    ) -> AsyncGenerator[LogsFound, None]:
        rest = deque(heads)
        answers = self._ranges.through(heads[0].number, heads[-1].number)
        try:
            async with aclosing(answers):
                async for answer in answers:
                    count = answer.last - answer.first + 1
                    part = [rest.popleft() for _ in range(count)]
                    async with aclosing(
                        self.each(part, self._shown(answer, part))
                    ) as all_:
                        async for found in all_:
                            yield found
        except RPCError as error:
            if not _is_missing(error):
                raise
            # By hash, it turns out which of the blocks it is.
            async with aclosing(self.each(rest)) as all_:
                async for found in all_:
                    yield found

    def _shown(
        self, answer: RangeOfLogs, heads: Iterable[Head]
    ) -> dict[str, tuple[Log, ...]]:
        """Return the logs of those blocks that a range shows beyond doubt."""
        if answer.head is None or not self.checks.in_order(answer.logs):
            return {}
        shown: dict[str, tuple[Log, ...]] = {}
        logs = by_block(answer.logs)
        last = None
        for head in heads:
            last = head
            found = logs.get(head.number, ())
            if self.checks.of_block(head, found) is Plausibility.SOUND:
                shown[head.hash] = found
        # Another block there: the node is not where the tracker is.
        return shown if last is not None and last.hash == answer.head.hash else {}


def by_block(logs: Iterable[Log]) -> dict[int, tuple[Log, ...]]:
    """Return logs by the height of their block."""
    return {
        number: tuple(group)
        for number, group in groupby(logs, lambda log: log.blockNumber)
    }


def _is_missing(error: RPCError) -> bool:
    return understood(error).refusal in (Refusal.ABSENT, Refusal.PRUNED)
