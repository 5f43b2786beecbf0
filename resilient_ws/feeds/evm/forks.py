"""Going back: from a block that does not link, to where the chains meet.

Rules: parents are asked for by hash, so that back ends of a node that lag cannot show a
mixture of two chains. A removal is told once the way from its ancestor is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.feeds.errors import ReorgTooDeep
from resilient_ws.feeds.evm.asking import (
    ask,
    ask_all,
    ask_patiently,
    by_hash,
    by_number,
    by_tag,
)
from resilient_ws.feeds.evm.types import BlockRef


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.chain import ToldChain
    from resilient_ws.feeds.evm.steps import BlockFound, Steps
    from resilient_ws.feeds.evm.types import Head


#: Older blocks that are compared with the node's at once.
COMPARED: Final = 16


def follow_fork(
    chain: ToldChain, head: Head, *, patience: float, limit: int
) -> Steps[BlockFound | None]:
    """Tell the removal of blocks, and those that took their place, through a block.

    Args:
        chain: What was told.
        head: A block of the other chain, at most one above the last that was told.
        patience: Seconds that the node may need to find a parent.
        limit: The height above which nothing is told.

    Returns:
        ``None``, or what came in place of a parent.
    """
    branch = [head]
    while True:
        number, parent = branch[-1].number - 1, branch[-1].parentHash
        if chain.holds(number, parent):
            break
        below = chain.is_before(number)
        if number < 0 or (below and not chain.whole):
            yield from start_over(chain)
            return None
        found = yield from ask_patiently(by_hash(parent), patience)
        if found.head is None or found.head.number != number:
            return found
        if below:
            yield from _replace_all(chain, found.head)
            break
        branch.append(found.head)
    yield from go_back(chain, branch[-1].number - 1)
    new = [block for block in reversed(branch) if block.number <= limit]
    if new:
        yield from chain.accept(new, live=True)
    return None


def _replace_all(chain: ToldChain, ancestor: BlockRef) -> Steps[None]:
    """Tell that all that is kept is gone: the ancestor is just below it."""
    yield from chain.undo(ancestor, removed_above(chain, ancestor.number))


def go_back(chain: ToldChain, number: int) -> Steps[None]:
    """Tell that the blocks above a height are gone, if there are any."""
    ancestor, removed = chain.at(number), removed_above(chain, number)
    if ancestor is not None and removed:
        yield from chain.undo(ancestor, removed)


def removed_above(chain: ToldChain, number: int) -> list[BlockRef]:
    """Return the blocks above a height, the newest first."""
    tip, bottom = chain.tip, chain.bottom
    if tip is None or bottom is None:
        return []
    heights = range(tip.number, max(number, bottom.number - 1), -1)
    kept = (chain.at(height) for height in heights)
    return [block for block in kept if block is not None]


def start_over(chain: ToldChain) -> Steps[None]:
    """Tell that the fork is older than what is kept, and go on below it.

    The newest older block that the node still has is where it goes on; if there is
    none, the newest that is final.
    """
    anchor = yield from _newest_common(chain)
    if anchor is not None and chain.has(anchor):
        yield from go_back(chain, anchor.number)  # it is kept after all
        return
    bottom = chain.bottom
    if anchor is not None and bottom is not None and anchor.number == bottom.number - 1:
        yield from _replace_all(chain, anchor)
        return
    # Without one, how much of what was told is wrong is not known.
    first = None if anchor is None else anchor.number + 1
    if anchor is None:
        anchor = yield from _newest_final(chain)
    text = (
        "The chain was reorganised further back than is remembered; "
        "raise max_reorg= to have the removed blocks told."
    )
    yield from chain.doubt(first, ReorgTooDeep(text), anchor=anchor)


def _newest_final(chain: ToldChain) -> Steps[BlockRef | None]:
    """Return the newest final block below what is kept, or the one just below it."""
    below = -1 if chain.next is None else chain.next - 1
    if chain.bottom is not None:
        below = chain.bottom.number - 1
    final = (yield from ask(by_tag("finalized"))).head
    if final is not None and final.number <= below:
        return final
    return None if below < 0 else (yield from ask(by_number(below))).head


def _newest_common(chain: ToldChain) -> Steps[BlockRef | None]:
    """Return the newest block that was told and that the node has."""
    older = list(chain.older())
    for begin in range(0, len(older), COMPARED):
        part = older[begin : begin + COMPARED]
        found = yield from ask_all([by_number(number) for number, _ in part])
        for (number, known), one in zip(part, found, strict=True):
            if one.head is not None and one.head.hash == known:
                return BlockRef(number=number, hash=known)
    return None
