"""The chain as it was told: the last blocks, each linked to the one before it.

Rules: a block is here when it was told, and not before; the last block is the one that
the consumer was told last. There are at most ``max_reorg`` of them, and their numbers
follow each other. Only the methods of this class write here: those that tell, when the
consumer was told, and two that say where the chain begins.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from resilient_ws.feeds.evm.cursor import Cursor
from resilient_ws.feeds.evm.steps import Accept, Bypass, TellGap, Undo
from resilient_ws.feeds.evm.types import BlockRef, Head


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resilient_ws.feeds.errors import FeedError
    from resilient_ws.feeds.evm.steps import Steps


class ToldChain:
    """The last blocks that were told.

    Args:
        max_reorg: How many are kept.
        after: The position to go on from: a cursor, or the number of the last block
            that the consumer has; ``None`` to begin with the newest block.

    Attributes:
        chain_id: The chain; ``None`` until it is known.
        next: The height of the block to tell next; ``None`` until it is known.
        cursor: The position of the last block that was told, if any was.
        whole: Whether all blocks that the consumer has are here.
    """

    def __init__(self, max_reorg: int, after: int | Cursor | None = None) -> None:
        self._max = max_reorg
        self._blocks: deque[BlockRef] = deque()
        self.chain_id: int | None = None
        self.next: int | None = None
        self.cursor: Cursor | None = None
        self.whole = after is None
        if isinstance(after, Cursor):
            self._resume(after)
        elif after is not None:
            self.next = after + 1

    def _resume(self, cursor: Cursor) -> None:
        self.chain_id, self.cursor, self.next = (
            cursor.chain_id,
            cursor,
            cursor.number + 1,
        )
        blocks = [
            BlockRef(number=cursor.first + at, hash=one)
            for at, one in enumerate(cursor.dense)
        ]
        self._blocks.extend(blocks[-self._max :])

    # Looking.

    @property
    def tip(self) -> BlockRef | None:
        """The last block, if there is one to link the next to."""
        return self._blocks[-1] if self._blocks else None

    @property
    def bottom(self) -> BlockRef | None:
        """The oldest block that is kept."""
        return self._blocks[0] if self._blocks else None

    @property
    def is_unbegun(self) -> bool:
        """Whether the consumer has no block at all, and wants none in particular."""
        return self.whole and not self._blocks

    def at(self, number: int) -> BlockRef | None:
        """Return the block at a height, if it is kept."""
        if self._blocks:
            place = number - self._blocks[0].number
            if 0 <= place < len(self._blocks):
                return self._blocks[place]
        return None

    def has(self, block: BlockRef) -> bool:
        """Whether a block is one of those that are kept."""
        return self.holds(block.number, block.hash)

    def holds(self, number: int, hash: str) -> bool:
        """Whether the block at a height has a hash."""
        kept = self.at(number)
        return kept is not None and kept.hash == hash

    def is_before(self, number: int) -> bool:
        """Whether a height is below all that is kept."""
        return bool(self._blocks) and number < self._blocks[0].number

    def older(self) -> Iterator[tuple[int, str]]:
        """Return numbers and hashes of blocks that were told, the newest first."""
        yield from ((one.number, one.hash) for one in reversed(self._blocks))
        if self.cursor is not None:
            lowest = self._blocks[0].number if self._blocks else self.cursor.number + 1
            dense = zip(
                range(self.cursor.first, self.cursor.number + 1),
                self.cursor.dense,
                strict=True,
            )
            known = (*self.cursor.sparse, *dense)
            yield from (one for one in reversed(known) if one[0] < lowest)

    # Where it begins.

    def of_chain(self, chain_id: int) -> None:
        """Take note of the chain that the node is of."""
        self.chain_id = chain_id

    def begin_at(self, number: int) -> None:
        """Tell the block at a height next."""
        self.next = number

    # Telling.

    def accept(self, heads: Sequence[Head], *, live: bool) -> Steps[None]:
        """Tell blocks that follow the last one."""
        cursor = self.cursor
        for head in heads:
            cursor = self._after(cursor, head)
            head.place(cursor)
        step = Accept(tuple(heads), live)
        try:
            yield step
        finally:
            for head in step.heads[: step.told]:
                self._append(head)

    def undo(self, ancestor: BlockRef, removed: Sequence[BlockRef]) -> Steps[None]:
        """Tell that the last blocks are not of the chain any more."""
        step = Undo(ancestor, tuple(removed), self._cursor_of(ancestor))
        try:
            yield step
        finally:
            if step.told:
                self._remove(step)

    def gap(self, first: int | None, until: int, because: FeedError) -> Steps[None]:
        """Tell that blocks are missing; go on behind them."""
        step = TellGap(first, until, because)
        try:
            yield step
        finally:
            if step.told:
                self._blocks.clear()
                self.next, self.whole = until + 1, False

    def doubt(
        self, first: int | None, because: FeedError, *, anchor: BlockRef | None
    ) -> Steps[None]:
        """Tell that blocks may be wrong; go on behind one that is not.

        Args:
            first: The height of the first of them, ``None`` where it is not known.
            because: Why.
            anchor: The block to go on behind; ``None`` to go on with the first of all.
        """
        step = TellGap(first, -1 if self.next is None else self.next - 1, because)
        try:
            yield step
        finally:
            if step.told:
                self._rebase(anchor)

    def bypass(self, last: int) -> Steps[None]:
        """Tell what is in finalized blocks, from the next one through another."""
        assert self.next is not None  # noqa: S101 - for the type checker
        step = Bypass(self.next, last, lambda block: self._after(self.cursor, block))
        try:
            yield step
        finally:
            if step.told is not None:
                self._rebase(step.told)

    def anchor(self, block: BlockRef) -> None:
        """Link the next block to one that need not have been told by us."""
        self._blocks.clear()
        self._blocks.append(block)
        self.next, self.whole = block.number + 1, False

    def _rebase(self, block: BlockRef | None) -> None:
        """Go on behind a block, wherever it is."""
        if block is None:
            self._blocks.clear()
            self.cursor, self.next, self.whole = None, 0, False
        else:
            self.cursor = self._after(self.cursor, block)
            self.anchor(block)

    def _remove(self, step: Undo) -> None:
        for _ in step.removed:
            self._blocks.pop()
        self.cursor, self.next = step.cursor, step.ancestor.number + 1
        # One that was never told is not kept: nobody could undo it.
        was_told = not self.whole
        if was_told and not self._blocks:
            self.anchor(step.ancestor)

    def _append(self, head: Head) -> None:
        self._blocks.append(head)
        self.cursor, self.next = head.cursor, head.number + 1
        if len(self._blocks) > self._max:
            self._blocks.popleft()
            self.whole = False

    def _after(self, cursor: Cursor | None, block: BlockRef) -> Cursor:
        if cursor is not None:
            return cursor.then(block.number, block.hash)
        assert self.chain_id is not None  # noqa: S101 - for the type checker
        sparse: tuple[tuple[int, str], ...] = ()
        if isinstance(block, Head) and block.number > 0:
            # It was never told, but is where the chain goes on if this is replaced.
            sparse = ((block.number - 1, block.parentHash),)
        return Cursor(
            chain_id=self.chain_id,
            number=block.number,
            dense=(block.hash,),
            sparse=sparse,
        )

    def _cursor_of(self, block: BlockRef) -> Cursor:
        """Return the position of a block to which the chain goes back."""
        kept = self.at(block.number)
        if isinstance(kept, Head) and kept.is_placed:
            return kept.cursor
        cursor = self.cursor
        if kept is None or cursor is None or block.number < cursor.first:
            return self._after(cursor, block)
        return cursor.back_to(block.number)
