"""Tells the logs of the blocks that the tracker found.

Rules: a block is told with all its logs, or as a gap. What is undone is what was told,
in the exact reverse of the order; what a node says of removed logs is not looked at. A
block whose logs the node does not find is tried on another connection once.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from resilient_ws import ResilientWSError
from resilient_ws.feeds.errors import (
    BackfillFailed,
    CallLost,
    NotBackfillable,
    RPCError,
)
from resilient_ws.feeds.evm.block_logs import BlockLogsLate, BlockReplaced
from resilient_ws.feeds.evm.driving import REPLACED_WITHIN
from resilient_ws.feeds.evm.final_logs import FinalBlock, FinalGap, FinalLogs
from resilient_ws.feeds.evm.log_types import BlockLogs
from resilient_ws.feeds.evm.node_calls import NodeCalls
from resilient_ws.feeds.evm.retained import RetainedLogs
from resilient_ws.feeds.evm.steps import StartOver
from resilient_ws.feeds.evm.stream import put
from resilient_ws.feeds.evm.tracked_logs import TrackedLogs
from resilient_ws.feeds.evm.types import Progress, Reorg
from resilient_ws.feeds.source import Gap


if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilient_ws.feeds.buffer import Buffer
    from resilient_ws.feeds.evm.connection import NodeCall
    from resilient_ws.feeds.evm.log_query import LogQuery
    from resilient_ws.feeds.evm.steps import Accept, Bypass, TellGap, Undo
    from resilient_ws.feeds.evm.types import Head
    from resilient_ws.feeds.jsonrpc import Client
    from resilient_ws.feeds.pace import Pace
    from resilient_ws.feeds.requests import Requests


logger: Final = logging.getLogger("resilient_ws")

#: What gaps call the stream.
NAME: Final = "logs"
#: Seconds before the tracker looks again at what was replaced meanwhile.
PAUSE: Final = 0.1


class LogTeller:
    """Tells logs.

    Args:
        client: The client.
        query: What is asked for.
        buffer: Where the items wait for the consumer.
        pace: Whose turn it is to ask the node.
        max_reorg: Blocks whose logs are remembered.
        history: Calls another node for final blocks.

    Attributes:
        gaps: How many gaps were told.

    Raises:
        ImportError: The extra ``evm`` is not installed, and ``verify`` needs it.
    """

    def __init__(
        self,
        client: Client,
        query: LogQuery,
        buffer: Buffer[Any],
        *,
        pace: Pace,
        max_reorg: int,
        history: NodeCall | None,
    ) -> None:
        self._client = client
        self._buffer = buffer
        self._requests: Requests | None = None
        calls = NodeCalls(self._call, query.limits, pace=pace)
        self._tracked = TrackedLogs(calls, query)
        self._final = FinalLogs(self._tracked)
        self._history: FinalLogs | None = None
        if history is not None:
            elsewhere = NodeCalls(history, query.limits, pinned=False)
            self._history = FinalLogs(TrackedLogs(elsewhere, query))
        self._retained = RetainedLogs(max_reorg)
        # The block whose logs the last connection did not find.
        self._late: str | None = None
        # How often another connection was tried for them.
        self._lagged = 0
        self.gaps = 0

    async def accept(self, step: Accept, requests: Requests) -> None:
        """Tell blocks with their logs."""
        self._requests = requests
        try:
            async with aclosing(
                self._tracked.of(step.heads[step.told :], live=step.live)
            ) as found:
                async for head, logs in found:
                    if isinstance(logs, BackfillFailed):
                        await self._tell_missing(head, logs)
                    else:
                        self._late = None
                        self._retained.keep(head, logs)
                        await put(
                            self._buffer,
                            BlockLogs(head=head, logs=logs, cursor=head.cursor),
                        )
                    step.told += 1
        except BlockReplaced as replaced:
            await asyncio.sleep(PAUSE)
            raise StartOver from replaced

    async def undo(self, step: Undo) -> None:
        """Tell that blocks are gone, with their logs."""
        reorg = Reorg(
            ancestor=step.ancestor,
            removed=step.removed,
            logs=self._retained.to_undo(step.removed),
            cursor=step.cursor,
        )
        await put(self._buffer, reorg)
        step.told = True
        self._retained.forget(step.removed)

    async def gap(self, step: TellGap) -> None:
        """Tell that blocks are missing."""
        await self._put_gap(step.first, step.until, step.because)
        step.told = True

    async def bypass(self, step: Bypass, requests: Requests) -> None:
        """Tell what is in final blocks."""
        self._requests = requests
        if self._history is not None:
            try:
                await self._tell_final(step, self._history)
            except (NotBackfillable, RPCError):
                raise
            except (ResilientWSError, OSError) as failure:
                logger.warning(
                    "the other endpoint for history cannot be asked (%s); this one is",
                    type(failure).__name__,
                )
        if step.told is None or step.told.number < step.last:
            await self._tell_final(step, self._final)

    async def _tell_final(self, step: Bypass, final: FinalLogs) -> None:
        first = step.first if step.told is None else step.told.number + 1
        try:
            async with aclosing(final.through(first, step.last)) as items:
                async for item in items:
                    if isinstance(item, FinalBlock):
                        cursor = step.cursor_of(item.block)
                        told = BlockLogs(head=item.block, logs=item.logs, cursor=cursor)
                        await put(self._buffer, told)
                        step.told = item.block
                        continue
                    number = item.head.number
                    if isinstance(item, FinalGap):
                        await self._put_gap(item.first, number, item.because)
                    elif step.told is None or step.told.number < number:
                        cursor = step.cursor_of(item.head)
                        await put(self._buffer, Progress(number=number, cursor=cursor))
                    step.told = item.head
        except BlockReplaced as replaced:
            await asyncio.sleep(PAUSE)
            raise StartOver from replaced

    def finish(self, failure: Exception | None) -> None:
        """Take note of the end."""
        self._buffer.finish(failure)

    async def _tell_missing(self, head: Head, because: BackfillFailed) -> None:
        """Tell a gap in place of a block, after another connection was tried."""
        if isinstance(because, BlockLogsLate) and self._late != head.hash:
            self._late = head.hash
            self._lagged += 1
            self._client.channel.warn(
                f"{NAME} lagging",
                "%s: the node does not give out the logs of block %d, which it must "
                "have. Another connection is tried (%d so far)",
                NAME,
                head.number,
                self._lagged,
            )
            self._client.channel.replace("lagging")
            await asyncio.sleep(REPLACED_WITHIN)  # the new connection ends this
            raise StartOver from because
        await self._put_gap(head.number, head.number, because)

    async def _put_gap(self, first: int | None, until: int, because: Any) -> None:
        gap = Gap(key=NAME, first_missing=first, until=until, because=because)
        await put(self._buffer, gap)
        self.gaps += 1

    async def _call(self, method: str, params: Sequence[Any]) -> Any:
        assert self._requests is not None  # noqa: S101 - a step begins with it
        try:
            return await self._client.call_on(self._requests, method, params)
        except CallLost as lost:
            # With the connection, this ends as well. An answer that a full inbox has
            # lost is asked for again.
            await asyncio.sleep(PAUSE)
            raise StartOver from lost
