"""Asking a node for blocks, with patience: what it does not have yet, it may have soon.

A node that announced a block may be one of several behind one address, and the others
may lag. So where ``null`` comes for a block that must exist, it is asked for again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from resilient_ws.feeds.errors import HistoryPruned, RPCError, Undecodable
from resilient_ws.feeds.evm.refusals import Refusal, understood
from resilient_ws.feeds.evm.steps import (
    BlockFound,
    BlockQuery,
    DropQueries,
    Pause,
    SendQuery,
    TakeAnswer,
)


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.steps import Steps, Ticket


#: Seconds before a block is asked for again; doubled each time.
FIRST_PAUSE: Final = 0.1


def by_number(number: int) -> BlockQuery:
    """Ask for the block at a height."""
    return BlockQuery("number", number)


def by_hash(hash: str) -> BlockQuery:
    """Ask for a block, whether or not it is of the chain."""
    return BlockQuery("hash", hash)


def by_tag(tag: str) -> BlockQuery:
    """Ask for the newest block, or the newest that is safe, or finalized."""
    return BlockQuery("tag", tag)


def send(query: BlockQuery) -> Steps[Ticket]:
    """Send a request, and return its ticket."""
    ticket: Ticket = yield SendQuery(query)
    return ticket


def take(query: BlockQuery, ticket: Ticket) -> Steps[BlockFound]:
    """Return what a request brings. A block that was not asked for is none."""
    found: BlockFound = yield TakeAnswer(ticket)
    head = found.head
    if head is None or query.by == "tag":
        return found
    if query.what == (head.number if query.by == "number" else head.hash):
        return found
    failure = Undecodable("The node sent another block than it was asked for.")
    return BlockFound(None, failure, found.at)


def ask(query: BlockQuery) -> Steps[BlockFound]:
    """Ask once."""
    ticket = yield from send(query)
    return (yield from take(query, ticket))


def ask_all(queries: list[BlockQuery]) -> Steps[list[BlockFound]]:
    """Ask for several blocks at once; return what came of each."""
    tickets: deque[Ticket] = deque()
    found: list[BlockFound] = []
    for query in queries:
        tickets.append((yield from send(query)))
    for query in queries:
        found.append((yield from take(query, tickets.popleft())))  # noqa: PERF401
    return found


def drop(tickets: list[Ticket]) -> Steps[None]:
    """Expect no answers any more."""
    if tickets:
        yield DropQueries(tuple(tickets))


def ask_patiently(query: BlockQuery, patience: float) -> Steps[BlockFound]:
    """Ask until there is a block, or it is pruned, or the patience is over.

    Args:
        query: The block.
        patience: Seconds, counted from the first answer.
    """
    found = yield from ask(query)
    end, pause = found.at + patience, FIRST_PAUSE
    while found.head is None and not is_refused(found):
        left = end - found.at
        if left <= 0:
            break
        yield Pause(min(pause, left))
        pause *= 2
        found = yield from ask(query)
    return found


def first_present(missing: int, there: int, *, window: int) -> Steps[int]:
    """Return the first height, after one that is missing, that the node has.

    Args:
        missing: A height that the node does not have.
        there: A greater one that it has.
        window: Blocks that are asked for at once before the rest is bisected.
    """
    near = range(missing + 1, min(missing + 1 + window, there))
    found = yield from ask_all([by_number(number) for number in near])
    for number, one in zip(near, found, strict=True):
        if one.head is not None:
            return number
    missing = max([missing, *near])
    while missing + 1 < there:
        middle = (missing + there) // 2
        if (yield from ask(by_number(middle))).head is None:
            missing = middle
        else:
            there = middle
    return there


def is_refused(found: BlockFound) -> bool:
    """Whether asking again is no use."""
    failure = found.failure
    invalid = isinstance(failure, RPCError) and failure.code == _INVALID_PARAMS
    return invalid or is_pruned(found)


#: The code of JSON-RPC for parameters that the node does not take.
_INVALID_PARAMS: Final = -32602


def is_pruned(found: BlockFound) -> bool:
    """Whether the node says that it does not have a block any more."""
    failure = found.failure
    if isinstance(failure, RPCError):
        return understood(failure).refusal is Refusal.PRUNED
    return isinstance(failure, HistoryPruned)
