"""The logs of one block, asked for by its hash and verified.

Rules: logs are asked for by hash, so a node that does not have the block says so, and
one that has another at that height cannot mix them up. A node that lags is asked again;
what looks wrong is asked for again; and where blooms and answers disagree, the receipts
decide. What cannot be had is an error that says why, never an empty answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from resilient_ws.feeds.errors import (
    BackfillFailed,
    BackfillLimit,
    CallTimeout,
    FeedError,
    HistoryPruned,
    RPCError,
    Undecodable,
)
from resilient_ws.feeds.evm.log_checks import LogChecks, Verdict, Verify
from resilient_ws.feeds.evm.log_types import Log, logs_of
from resilient_ws.feeds.evm.refusals import Refusal, understood


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resilient_ws.feeds.evm.log_filter import LogFilter
    from resilient_ws.feeds.evm.node_calls import NodeCalls
    from resilient_ws.feeds.evm.types import Head


#: Seconds before logs are asked for again; doubled each time.
FIRST_PAUSE = 0.1
#: How often an empty answer is asked for again that the bloom speaks against.
ASKED_AGAIN = 2


class BlockLogsLate(BackfillFailed):
    """A node that gave a block did not give its logs in time, or gave wrong ones."""


class LogsByHash:
    """Asks for the logs of single blocks.

    Args:
        calls: The node.
        wanted: The filter.
        verify: How far logs are verified.
        patience: Seconds that the node may take to have what it should have.
    """

    def __init__(
        self,
        calls: NodeCalls,
        wanted: LogFilter,
        verify: Verify,
        *,
        patience: float,
    ) -> None:
        self._calls = calls
        self._criteria = wanted.criteria()
        self._verify = verify
        self._patience = patience
        self.checks = LogChecks(wanted, verify)

    async def of(self, head: Head) -> tuple[Log, ...]:
        """Return the logs of a block.

        Args:
            head: The block.

        Raises:
            BackfillFailed: The node does not give them; ``BackfillLimit`` where they
                are too many for it, and ``HistoryPruned`` where they are too old.
            CallLost: The connection ended.
            RPCError: The node refuses such requests.

        Cancellation:
            The answers are no longer expected.
        """
        if self._verify == "receipts":
            return await self._by_receipts(head)
        try:
            found = await self._patiently(lambda: self._once(head), head)
        except RPCError as error:
            if understood(error).refusal not in (Refusal.TOO_WIDE, Refusal.TOO_MUCH):
                raise
            return await self._too_many(head, error)
        # None: the bloom speaks against an answer that is empty.
        return await self._by_receipts(head) if found is None else found

    async def _once(self, head: Head) -> tuple[Log, ...] | None:
        criteria = {**self._criteria, "blockHash": head.hash}
        for again in range(ASKED_AGAIN + 1):
            logs = logs_of(await self._calls.ask("eth_getLogs", criteria))
            verdict = self.checks.of_block(head, logs)
            if verdict is Verdict.WRONG:
                raise Undecodable("The node sent logs that were not asked for.")
            if verdict is Verdict.SOUND:
                return tuple(logs)
            if again < ASKED_AGAIN:
                await asyncio.sleep(FIRST_PAUSE * 2**again)
        return None

    async def _by_receipts(self, head: Head) -> tuple[Log, ...]:
        try:
            return await self._patiently(lambda: self._receipts(head), head)
        except RPCError as error:
            text = (
                f"The logs of block {head.number} could not be verified, because the "
                "node does not give its receipts (eth_getBlockReceipts)."
            )
            raise BackfillFailed(text) from error

    async def _too_many(self, head: Head, refusal: RPCError) -> tuple[Log, ...]:
        try:
            return await self._by_receipts(head)
        except BackfillFailed:
            text = (
                f"Block {head.number} has more logs than the node gives, and it does "
                "not give the receipts either; narrow the filter."
            )
            raise BackfillLimit(text) from refusal

    async def _receipts(self, head: Head) -> tuple[Log, ...]:
        receipts = await self._calls.ask("eth_getBlockReceipts", head.hash)
        if receipts is None:
            raise Undecodable("The node has no receipts of a block that it gave.")
        logs = self.checks.from_receipts(head, receipts)
        if logs is None:
            raise Undecodable("The node sent receipts of another block, or not all.")
        return tuple(logs)

    async def _patiently(self, ask: Callable[[], Awaitable[Any]], head: Head) -> Any:
        """Ask until there is an answer, or the patience is over."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self._patience, FIRST_PAUSE
        while True:
            try:
                return await ask()
            except (CallTimeout, Undecodable) as failure:
                late: FeedError = failure
            except RPCError as error:
                refusal = understood(error).refusal
                if refusal is Refusal.PRUNED:
                    text = f"The node has no logs of block {head.number} any more."
                    raise HistoryPruned(text) from error
                if refusal is not Refusal.ABSENT:
                    raise
                late = error
            left = end - loop.time()
            if left <= 0:
                text = f"The node did not give the logs of block {head.number} in time."
                raise BlockLogsLate(text) from late
            await asyncio.sleep(min(pause, left))
            pause *= 2
