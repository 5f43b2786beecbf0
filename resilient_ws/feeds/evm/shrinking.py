"""A node whose newest block is below the last one that was told.

By itself that means nothing: back ends behind one address lag each other. Blocks are
removed only where the node does not know the last one, and says so twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.feeds.evm.asking import ask, by_hash, by_tag
from resilient_ws.feeds.evm.forks import go_back, removed_above, start_over
from resilient_ws.feeds.evm.steps import AwaitHint


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.evm.chain import ToldChain
    from resilient_ws.feeds.evm.steps import Steps
    from resilient_ws.feeds.evm.types import Head


def judge_shorter(
    chain: ToldChain,
    newest: Head,
    *,
    settle: float,
    is_fresh: Callable[[], bool],
) -> Steps[Head | None]:
    """Find out whether a chain became shorter, and tell the removal if it did.

    Args:
        chain: What was told.
        newest: The newest block of the node, below the last one that was told.
        settle: Seconds between two answers that must agree.
        is_fresh: Returns whether something was announced meanwhile.

    Returns:
        A block of the node that is to be looked at instead; ``None`` if there is none.
    """
    while True:
        tip = chain.tip
        if tip is None or newest.number >= tip.number:
            return newest
        if not chain.is_before(newest.number) and not chain.has(newest):
            return newest  # of another chain: a fork like any other
        if (yield from _is_known(tip.hash)):
            return None
        if is_fresh() or (yield AwaitHint(settle)):
            return None  # what was announced is to be looked at first
        again = yield from ask(by_tag("latest"))
        if again.head is None:
            return None
        if again.head.hash == newest.hash and not (yield from _is_known(tip.hash)):
            yield from _shorten(chain, newest)
            return None
        newest = again.head


def _shorten(chain: ToldChain, newest: Head) -> Steps[None]:
    if not chain.is_before(newest.number):
        yield from go_back(chain, newest.number)
    elif chain.whole:
        yield from chain.undo(newest, removed_above(chain, newest.number))
    else:
        yield from start_over(chain)


def _is_known(block: str) -> Steps[bool]:
    """Whether the node knows a block, or cannot say."""
    found = yield from ask(by_hash(block))
    return found.head is not None or found.failure is not None
