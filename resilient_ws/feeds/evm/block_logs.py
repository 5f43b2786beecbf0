"""The logs of one block, asked for by its hash and verified.

Rules: logs are asked for by hash, so a node that does not have the block says so, and
one that has another at that height cannot mix them up. A node that lags is asked again;
what looks wrong is asked for again; and where blooms and answers disagree, the receipts
decide. What cannot be had is an error that says why, never an empty answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from resilient_ws.feeds.errors import (
    BackfillFailed,
    BackfillLimit,
    CallTimeout,
    FeedError,
    HistoryPruned,
    NotBackfillable,
    RPCError,
    Undecodable,
)
from resilient_ws.feeds.evm.log_checks import LogChecks, Plausibility, Verify
from resilient_ws.feeds.evm.log_types import Log, logs_of
from resilient_ws.feeds.evm.node_calls import header
from resilient_ws.feeds.evm.refusals import Refusal, understood
from resilient_ws.feeds.evm.types import head_of


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resilient_ws.feeds.evm.log_filter import LogFilter
    from resilient_ws.feeds.evm.node_calls import NodeCalls
    from resilient_ws.feeds.evm.types import Head


#: Seconds before logs are asked for again; doubled each time.
FIRST_PAUSE: Final = 0.1
#: How often an empty answer is asked for again that the bloom speaks against.
ASKED_AGAIN: Final = 2

A = TypeVar("A")


class BlockLogsLate(BackfillFailed):
    """A node that gave a block did not give its logs in time, or gave wrong ones."""


class BlockReplaced(FeedError):
    """The node has another block at this height by now."""


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
            BlockReplaced: The block is not of the chain any more.
            CallLost: The connection ended.
            NotBackfillable: The node does not know how to give receipts.
            RPCError: The node refuses such requests.

        Cancellation:
            The answers are no longer expected.
        """
        if self._verify == "receipts":
            return await self._by_receipts(head)
        try:
            found = await self._patiently(self._by_hash, head)
        except RPCError as error:
            if understood(error).refusal not in (Refusal.TOO_WIDE, Refusal.TOO_MUCH):
                raise
            return await self._too_many(head, error)
        # None: the bloom speaks against an answer that is empty.
        return await self._deciding(head) if found is None else found

    async def _by_hash(self, head: Head) -> tuple[Log, ...] | None:
        criteria = {**self._criteria, "blockHash": head.hash}
        for again in range(ASKED_AGAIN + 1):
            logs = logs_of(await self._calls.ask("eth_getLogs", criteria))
            plausibility = self.checks.of_block(head, logs)
            if plausibility is Plausibility.WRONG:
                raise Undecodable("The node sent logs that were not asked for.")
            if plausibility is Plausibility.SOUND:
                return tuple(logs)
            if again < ASKED_AGAIN:
                await asyncio.sleep(FIRST_PAUSE * 2**again)
        return None

    async def _receipts(self, head: Head) -> tuple[Log, ...]:
        receipts = await self._calls.ask("eth_getBlockReceipts", head.hash)
        if receipts is None:
            raise Undecodable("The node has no receipts of a block that it gave.")
        logs = self.checks.from_receipts(head, receipts)
        if logs is None:
            raise Undecodable("The node sent receipts of another block, or not all.")
        return tuple(logs)

    async def _by_receipts(self, head: Head) -> tuple[Log, ...]:
        """Return the logs of a block from its receipts, as was asked for."""
        try:
            return await self._patiently(self._receipts, head)
        except RPCError as error:
            if understood(error).refusal is Refusal.REFUSED:
                text = (
                    "The node does not give the receipts of blocks "
                    '(eth_getBlockReceipts), which verify="receipts" needs; choose '
                    'verify="bloom".'
                )
                raise NotBackfillable(text) from error
            text = f"The node does not give the receipts of block {head.number}."
            raise BackfillLimit(text) from error

    async def _deciding(self, head: Head) -> tuple[Log, ...]:
        """Return the logs from the receipts, where bloom and answer disagree."""
        try:
            return await self._patiently(self._receipts, head)
        except RPCError as error:
            text = (
                f"The node says that block {head.number} has no such logs, its bloom "
                "says that there may be some, and the node does not give the receipts "
                "that would decide (eth_getBlockReceipts)."
            )
            raise BackfillFailed(text) from error

    async def _too_many(self, head: Head, refusal: RPCError) -> tuple[Log, ...]:
        """Return the logs from the receipts, where the node refuses them as such."""
        try:
            return await self._patiently(self._receipts, head)
        except RPCError:
            text = (
                f"Block {head.number} has more logs than the node gives, and it does "
                "not give the receipts either; narrow the filter."
            )
            raise BackfillLimit(text) from refusal

    async def _patiently(self, ask: Callable[[Head], Awaitable[A]], head: Head) -> A:
        """Ask until there is an answer, or the patience is over."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self._patience, FIRST_PAUSE
        while True:
            try:
                return await ask(head)
            except (CallTimeout, RPCError, Undecodable) as failure:
                _check_pruned(failure, head)
                if _is_busy(failure):  # and was asked as often as it may be
                    raise _late(head) from failure
                if isinstance(failure, RPCError) and not _is_absent(failure):
                    raise
                late = failure
            await self._check_replaced(head)
            left = end - loop.time()
            if left <= 0:
                raise _late(head) from late
            await asyncio.sleep(min(pause, left))
            pause *= 2

    async def _check_replaced(self, head: Head) -> None:
        """Look whether the block is still there, because its logs are not.

        Raises:
            BlockReplaced: Another is at its height.
        """
        try:
            sent = await self._calls.ask("eth_getBlockByNumber", *header(head.number))
            found = None if sent is None else head_of(sent)
        except (CallTimeout, RPCError, Undecodable):
            return
        if found is not None and found.hash != head.hash:
            raise BlockReplaced(f"Block {head.number} was replaced.")


def _late(head: Head) -> BlockLogsLate:
    return BlockLogsLate(
        f"The node did not give the logs of block {head.number} in time."
    )


def _is_busy(failure: Exception) -> bool:
    return isinstance(failure, RPCError) and understood(failure).refusal is Refusal.BUSY


def _is_absent(error: RPCError) -> bool:
    return understood(error).refusal is Refusal.ABSENT


def _check_pruned(failure: Exception, head: Head) -> None:
    if not isinstance(failure, RPCError):
        return
    if understood(failure).refusal is Refusal.PRUNED:
        text = f"The node does not have the logs of block {head.number} any more."
        raise HistoryPruned(text) from failure
