"""Going up: the blocks from the last one that was told to a target, in order.

Rules: blocks are asked for by number, 16 at once, and told as each links to the one
before it. What does not link discards the rest of what was asked for; a block that the
node does not have is where it ends.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from resilient_ws.feeds.evm.asking import by_number, drop, send, take


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.chain import ToldChain
    from resilient_ws.feeds.evm.steps import BlockFound, Steps, Ticket
    from resilient_ws.feeds.evm.types import BlockRef, Head


#: Requests for blocks that wait for an answer at once.
WINDOW: Final = 16


def climb(
    chain: ToldChain, target: int, *, window: int = WINDOW, chunk: int = 1
) -> Steps[Head | BlockFound | None]:
    """Tell the blocks through a target.

    Args:
        chain: What was told.
        target: The height of the last block.
        window: Requests that wait for an answer at once.
        chunk: How many blocks are told at once, at most.

    Returns:
        ``None`` if all were told; the block that does not link to the last one; or what
        came in place of the next block.
    """
    assert chain.next is not None  # noqa: S101 - for the type checker
    first = asked = chain.next
    alone = first == target
    tickets: deque[Ticket] = deque()
    ready: list[Head] = []
    last: BlockRef | None = chain.tip
    for number in range(first, target + 1):
        while asked <= target and len(tickets) < window:
            tickets.append((yield from send(by_number(asked))))
            asked += 1
        found = yield from take(by_number(number), tickets.popleft())
        head = found.head
        linked = head is not None and (last is None or head.parentHash == last.hash)
        if head is not None and linked:
            last = head
            ready.append(head)
        if ready and (not linked or len(ready) >= chunk or number == target):
            yield from chain.accept(ready, live=alone)
            ready = []
        if not linked:
            yield from drop(list(tickets))
            return found if head is None else head
    return None
