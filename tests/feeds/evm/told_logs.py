"""A consumer of logs, with its two actions: apply a block, undo a block."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from resilient_ws.feeds import Gap
from resilient_ws.feeds.evm import BlockLogs, Head, Progress, Reorg


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.evm import ChainStream, Cursor


class ToldLogs:
    """The logs as they were told; every item is checked as it comes.

    Attributes:
        logs: Their places, in order: height, hash and index.
        through: The height through which everything was told.
    """

    def __init__(self, through: int = -1) -> None:
        self.logs: list[tuple[int, str, int]] = []
        self.through = through
        self.hash: str | None = None
        self.reorgs: list[Reorg] = []
        self.gaps: list[Gap] = []
        self.blocks = 0
        self.cursor: Cursor | None = None

    def take(self, item: Any) -> None:
        if isinstance(item, Gap):
            assert item.first_missing == self.through + 1, item
            self.gaps.append(item)
            self.through = item.until
            return
        if isinstance(item, BlockLogs):
            self._apply(item)
        elif isinstance(item, Reorg):
            self._undo(item)
        else:
            assert isinstance(item, Progress)
            assert item.number > self.through
            self.through, self.hash = item.number, item.cursor.hash
        self.cursor = item.cursor
        assert item.cursor.number == self.through
        assert item.cursor.hash == self.hash

    def _apply(self, item: BlockLogs) -> None:
        head = item.head
        assert head.number > self.through, f"{head.number} was told twice"
        if isinstance(head, Head):
            assert head.number == self.through + 1 or self.through < 0, "a hole"
        else:
            assert item.logs
        for log in item.logs:
            assert log.block == (head if type(head) is type(log.block) else log.block)
            assert (log.blockNumber, log.blockHash) == (head.number, head.hash)
            self.logs.append((log.blockNumber, log.blockHash, log.logIndex))
        assert self.logs == sorted(self.logs, key=lambda one: (one[0], one[2]))
        self.through, self.hash = head.number, head.hash
        self.blocks += 1

    def _undo(self, item: Reorg) -> None:
        self.reorgs.append(item)
        for log in item.logs:
            # From the first to the last: each is the newest that is there.
            newest = self.logs.pop()
            assert newest == (log.blockNumber, log.blockHash, log.logIndex), (
                f"{newest} is newer than {log}, of {[b.number for b in item.removed]}"
            )
        gone = {block.hash for block in item.removed}
        assert not any(hash_ in gone for _, hash_, _ in self.logs)
        assert item.removed[0].number == self.through
        self.through, self.hash = item.ancestor.number, item.ancestor.hash

    async def follow(
        self, stream: ChainStream[Any], until: Callable[[], bool], within: float = 60
    ) -> None:
        """Take items until a condition holds."""
        async with asyncio.timeout(within):
            while not until():
                self.take(await anext(stream))
