"""The logs of the last blocks that were told, to be undone when the blocks are."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from resilient_ws.feeds.evm.log_types import Log
    from resilient_ws.feeds.evm.types import BlockRef


class RetainedLogs:
    """Logs by the hash of their block.

    Args:
        max_blocks: How many blocks are remembered.
    """

    def __init__(self, max_blocks: int) -> None:
        self._max = max_blocks
        self._logs: OrderedDict[str, Sequence[Log]] = OrderedDict()

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self._logs)

    def keep(self, block: BlockRef, logs: Sequence[Log]) -> None:
        """Remember the logs of a block that was told."""
        self._logs[block.hash] = logs
        if len(self._logs) > self._max:
            self._logs.popitem(last=False)

    def to_undo(self, removed: Iterable[BlockRef]) -> tuple[Log, ...]:
        """Return the logs of blocks in the exact reverse of the order.

        Args:
            removed: The blocks, newest first.
        """
        return tuple(
            log for block in removed for log in reversed(self._logs.get(block.hash, ()))
        )

    def forget(self, removed: Iterable[BlockRef]) -> None:
        """Forget blocks, which have been undone."""
        for block in removed:
            self._logs.pop(block.hash, None)
