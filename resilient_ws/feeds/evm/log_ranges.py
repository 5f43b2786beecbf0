"""The logs of many blocks, by ranges that adapt to what the node gives.

Rules: answers come in order, without a hole between them. One range at a time is asked
for until it is known how wide they may be, and later only one at a time is wider than
any that was given before, so a limit that is met costs one call. Behind each request
goes one for the last block of the range, because a node that lags answers with less,
and not with an error: the block proves that the node had the range. What is fetched
ahead of the consumer is bounded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import attrs

from resilient_ws.feeds.errors import CallTimeout, RPCError, Undecodable
from resilient_ws.feeds.evm.log_types import Log, logs_of
from resilient_ws.feeds.evm.node_calls import header
from resilient_ws.feeds.evm.refusals import Refusal, Understood, understood
from resilient_ws.feeds.evm.types import Head, head_of


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from resilient_ws.feeds.evm.limits import Limits
    from resilient_ws.feeds.evm.log_filter import LogFilter
    from resilient_ws.feeds.evm.node_calls import NodeCalls


@attrs.frozen
class RangeOfLogs:
    """What a node answered for a range.

    Attributes:
        first: The height of its first block.
        last: The height of its last.
        logs: The logs, as they came.
        head: The last block; ``None`` where the node does not have it, refuses even a
            single block, or answered with something else: so there may be more logs.
    """

    first: int
    last: int
    logs: list[Log] = attrs.field(factory=list[Log])
    head: Head | None = None


@attrs.frozen
class _Asked:
    first: int
    last: int
    answer: asyncio.Task[RangeOfLogs]

    @property
    def blocks(self) -> int:
        return self.last - self.first + 1


class LogRanges:
    """Asks for the logs of ranges.

    Args:
        calls: The node.
        wanted: The filter.
        limits: How much is asked for, and fetched ahead.
    """

    def __init__(self, calls: NodeCalls, wanted: LogFilter, limits: Limits) -> None:
        self._calls = calls
        self._criteria = wanted.criteria()
        self._limits = limits
        self._stride = calls.stride
        self._asked: deque[_Asked] = deque()

    async def through(self, first: int, last: int) -> AsyncGenerator[RangeOfLogs, None]:
        """Yield what the node answers for ranges, one after the other.

        Args:
            first: The height of the first block.
            last: The height of the last.

        Yields:
            Ranges without a hole between them, through ``last``.

        Raises:
            CallLost: The connection ended.
            RPCError: The node refuses, and not because of the range or of what it
                has to do.

        Cancellation:
            The answers are no longer expected.
        """
        ahead = first
        try:
            while first <= last:
                ahead = self._ask_ahead(ahead, last)
                asked = self._asked.popleft()
                answer = await asked.answer
                if answer.last != asked.last:
                    # What was asked for behind it does not begin where it ends.
                    self._drop()
                    ahead = answer.last + 1
                yield answer
                first = answer.last + 1
        finally:
            self._drop()

    def _ask_ahead(self, ahead: int, last: int) -> int:
        """Ask for as much as may be asked for; return the height after it."""
        while ahead <= last and (blocks := self._next_width()):
            end = min(ahead + blocks - 1, last)
            answer = asyncio.create_task(self._given(ahead, end))
            self._asked.append(_Asked(ahead, end, answer))
            ahead = end + 1
        return ahead

    def _next_width(self) -> int:
        """Return how many blocks to ask for next; 0 for none until an answer comes."""
        blocks, proven = self._stride.blocks, self._stride.proven
        if not self._asked:
            return blocks
        if not self._stride.settled:
            return 0
        if len(self._asked) >= self._limits.window or self._full():
            return 0
        tried = any(each.blocks > proven for each in self._asked)
        return proven if tried else blocks

    def _full(self) -> bool:
        """Whether as many logs as are allowed were fetched, or will be."""
        expected = sum(
            len(each.answer.result().logs)
            if _succeeded(each.answer)
            else each.blocks * self._stride.density
            for each in self._asked
        )
        return expected >= self._limits.max_results

    async def _given(self, first: int, last: int) -> RangeOfLogs:
        """Return the logs of a range, or of as much of it as the node gives."""
        while True:
            blocks = last - first + 1
            try:
                answer = await self._ask(first, last)
            except CallTimeout:
                said = Understood(Refusal.TOO_MUCH)
            except RPCError as error:
                said = understood(error)
                if said.refusal is Refusal.BUSY:
                    # It was asked as often as it may be: block by block it turns out
                    # which of them are missing.
                    return RangeOfLogs(first, last)
                if said.refusal not in (Refusal.TOO_WIDE, Refusal.TOO_MUCH):
                    raise
            except Undecodable:
                return RangeOfLogs(first, last)
            else:
                self._stride.given(blocks, len(answer.logs))
                return answer
            self._stride.refused(blocks, said)
            if blocks == 1:
                return RangeOfLogs(first, last)
            last = first + self._stride.blocks - 1

    async def _ask(self, first: int, last: int) -> RangeOfLogs:
        criteria = {
            **self._criteria,
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        logs, block = await self._calls.ask_together(
            ("eth_getLogs", [criteria]), ("eth_getBlockByNumber", header(last))
        )
        head = None if block is None else head_of(block)
        return RangeOfLogs(first, last, logs_of(logs), head)

    def _drop(self) -> None:
        """Expect no more answers."""
        for asked in self._asked:
            asked.answer.cancel()
            asked.answer.add_done_callback(noticed)
        self._asked.clear()


def _succeeded(task: asyncio.Task[RangeOfLogs]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def noticed(task: asyncio.Task[Any]) -> None:
    """Look at a failure that is of no interest, or asyncio would log it."""
    if not task.cancelled():
        task.exception()
