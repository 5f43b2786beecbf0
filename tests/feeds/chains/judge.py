"""The chain as it was told, beside the chain that the node has.

Rules: a block is applied on its parent, or behind a gap; what is undone is the newest.
Nothing here asks the library: the truth is the node's, as ``World`` read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from resilient_ws.feeds import Gap
from resilient_ws.feeds.evm import BlockLogs, Head, Progress, Reorg
from tests.servers.chains import Block


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resilient_ws.feeds.evm import BlockRef, Log


@attrs.frozen
class Hole:
    """Blocks that were said to be missing."""

    first: int | None
    until: int | None
    because: str

    def covers(self, number: int) -> bool:
        """Whether a block is one of them."""
        return (self.first is None or self.first <= number) and (
            self.until is None or number <= self.until
        )


@attrs.define
class Told:
    """What a consumer was told, as its two actions leave it.

    Attributes:
        blocks: The blocks that are applied, by their number.
        quiet: Numbers of blocks that were told to hold nothing, and are not in
            ``blocks``: of finalized blocks only those with logs are told.
        holes: The gaps, in their order.
        undone: The hashes that each reorganisation removed.
        violations: What contradicts itself.
        applied: How often a block was applied.
    """

    blocks: dict[int, Block] = attrs.Factory(dict[int, Block])
    quiet: set[int] = attrs.Factory(set[int])
    holes: list[Hole] = attrs.Factory(list[Hole])
    undone: list[tuple[str, ...]] = attrs.Factory(list[tuple[str, ...]])
    violations: list[str] = attrs.Factory(list[str])
    applied: int = 0
    #: The height through which everything was told: at first, where it was to begin;
    #: ``None`` behind a gap of which the end is not known.
    position: int | None = None

    @property
    def tip(self) -> Block | None:
        """The newest block that is applied."""
        return self.blocks[max(self.blocks)] if self.blocks else None

    def take(self, item: Head | BlockLogs | Reorg | Gap | Progress) -> None:
        """Take what a stream yields."""
        if isinstance(item, Gap):
            self.miss(item.first_missing, item.until, type(item.because).__name__)
        elif isinstance(item, Reorg):
            logs = [(log.blockHash, log.logIndex) for log in item.logs]
            removed = [block.hash for block in item.removed]
            self.undo(item.ancestor.number, item.ancestor.hash, removed, logs)
        elif isinstance(item, Progress):
            self.reach(item.number)
        elif isinstance(item, BlockLogs):
            self.apply(block_of(item.head, item.logs))
        else:
            self.apply(block_of(item, ()))

    def apply(self, block: Block) -> None:
        """Apply a block. One without a parent comes alone of those around it."""
        if list(block.logs) != sorted(block.logs):
            self._wrong(f"the logs of block {block.number} are not in order")
        if block.number in self.blocks:
            self._wrong(f"block {block.number} was applied twice")
        if not block.parent:
            self.reach(block.number - 1)
        if self.position is not None:
            if block.number != self.position + 1:
                self._wrong(f"block {block.number} came behind {self.position}")
            before = self.blocks.get(block.number - 1)
            if block.parent and before is not None and before.hash != block.parent:
                self._wrong(f"block {block.number} is no child of the one before")
        self.blocks[block.number] = block
        self.position = block.number
        self.applied += 1

    def reach(self, number: int) -> None:
        """Everything through a height was told, and there was nothing more."""
        if self.position is not None:
            if number < self.position:
                self._wrong(f"the position went from {self.position} to {number}")
            self.quiet.update(range(self.position + 1, number + 1))
        self.position = number

    def undo(
        self,
        number: int,
        ancestor: str,
        removed: Sequence[str],
        logs: Sequence[tuple[str, int]] = (),
    ) -> None:
        """Undo blocks, newest first, down to an ancestor."""
        self.undone.append(tuple(removed))
        if not removed:
            self._wrong("a reorganisation removed nothing")
        expected: list[tuple[str, int]] = []
        for gone in removed:
            tip = self.tip
            if tip is None or tip.hash != gone:
                self._wrong(f"block {gone} was undone, and is not the newest")
                break
            expected += [(tip.hash, index) for index, _ in reversed(tip.logs)]
            del self.blocks[tip.number]
        if logs and list(logs) != expected:
            self._wrong("the logs of a reorganisation are not those told, in reverse")
        known = self.blocks.get(number)
        if known is not None and known.hash != ancestor:
            self._wrong(f"the ancestor {number} is not what was told")
        if any(n > number for n in self.blocks):
            self._wrong(f"blocks above the ancestor {number} were not undone")
        self._cut_above(number)
        self.position = number

    def miss(self, first: int | None, until: int | None, because: str) -> None:
        """Blocks are told to be missing."""
        self.holes.append(Hole(first, until, because))
        if first is not None:
            if self.position is not None and first > self.position + 1:
                self._wrong(f"a gap from {first} came behind {self.position}")
            # A reorganisation that is too deep takes back what is in the gap.
            self._cut_above(first - 1)
        self.position = until

    def _cut_above(self, number: int) -> None:
        self.blocks = {n: block for n, block in self.blocks.items() if n <= number}
        self.quiet = {n for n in self.quiet if n <= number}

    def _wrong(self, what: str) -> None:
        self.violations.append(what)


def block_of(head: BlockRef, logs: Sequence[Log]) -> Block:
    """Return a block as it was told; one of which only the hash is known has no parent."""
    parent = head.parentHash if isinstance(head, Head) else ""
    found = tuple((log.logIndex, log.data) for log in logs)
    return Block(head.number, head.hash, parent, found)


def compared(told: Told, chain: Mapping[int, Block], after: int) -> list[str]:
    """Return what the chain as told has wrong, above the height ``after``."""
    found = list(told.violations)
    for number in sorted(n for n in chain if n > after):
        block = told.blocks.get(number)
        if block is None:
            found += _absent(told, chain[number])
        elif block.hash != chain[number].hash:
            found.append(f"block {number} is another than the node's")
        elif block.logs != chain[number].logs:
            count = len(block.logs), len(chain[number].logs)
            found.append(f"block {number} has {count[0]} logs instead of {count[1]}")
    found += [f"block {n} is not the node's" for n in told.blocks if n not in chain]
    return found


def _absent(told: Told, block: Block) -> list[str]:
    """Return what is wrong with a block that is not applied."""
    if block.number in told.quiet:
        logs = len(block.logs)
        return [f"block {block.number} has {logs} logs that were not told"] * bool(logs)
    holes = sum(hole.covers(block.number) for hole in told.holes)
    return [f"block {block.number} is missing, with {holes} gaps"] * (holes != 1)


def reorganised(
    told: Told, removed: Sequence[frozenset[str]], *, in_parts: bool = False
) -> list[str]:
    """Return what is wrong in how often reorganisations were told.

    Each removal from the node's chain is told in one reorganisation at most: one may
    tell of several, where they came while nobody could look. A reorganisation that
    removes what never left the node's chain is invented.

    Args:
        told: What was told.
        removed: The hashes of each removal from the node's chain.
        in_parts: Whether one may be told in parts, of which each is true: a node that
            answers from two back ends looks shorter before it looks different.
    """
    found: list[str] = []
    for hashes in removed:
        undone = [hashes & set(one) for one in told.undone]
        times = sum(1 for one in undone if one)
        apart = sum(map(len, undone)) == len(frozenset[str]().union(*undone))
        if times > 1 and not (in_parts and apart):
            found.append(f"a reorganisation was told {times} times")
    gone = frozenset[str]().union(*removed)
    found += ["a reorganisation was invented" for u in told.undone if not gone & set(u)]
    return found
