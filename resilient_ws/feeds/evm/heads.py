"""``heads``: each block of a chain, once, in order, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from resilient_ws.feeds.evm.following import Following
from resilient_ws.feeds.evm.limits import DEFAULT_LIMITS, Limits
from resilient_ws.feeds.evm.stream import ChainStream, put
from resilient_ws.feeds.evm.types import Head, Reorg
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.feeds.source import Gap
from resilient_ws.policy._validate import require


if TYPE_CHECKING:
    from resilient_ws.feeds.buffer import Buffer
    from resilient_ws.feeds.evm.connection import NodeCall
    from resilient_ws.feeds.evm.cursor import Cursor
    from resilient_ws.feeds.evm.follower import Follower
    from resilient_ws.feeds.evm.steps import Accept, Bypass, TellGap, Undo
    from resilient_ws.feeds.evm.tracker import Confirmations
    from resilient_ws.feeds.requests import Requests


HeadItem: TypeAlias = Head | Reorg | Gap

#: What gaps call the stream.
NAME: Final = "heads"
#: Items that may wait to be read.
WAITING: Final = 64


def heads(
    client: Client,
    *,
    after: int | str | Cursor | None = None,
    confirmations: Confirmations = 0,
    max_reorg: int = 256,
    lag_patience: float = 10.0,
    settle: float = 3.0,
    stale_after: float = 15.0,
    poll_interval: float = 2.0,
    limits: Limits = DEFAULT_LIMITS,
    history: NodeCall | None = None,
) -> ChainStream[HeadItem]:
    """Return the blocks of a chain: each once, in order, across drops and restarts.

    A consumer needs two actions: apply a ``Head``, and undo the blocks of a ``Reorg``.
    What cannot be had is a ``Gap``, in its place.

    Args:
        client: The client, entered.
        after: The position to go on from: a cursor, or its text, or the number of the
            last block that you have. With a cursor, what was reorganised meanwhile is
            told first. By default the newest block is the first. A block beyond the
            newest of the node is waited for, with a warning in the log.
        confirmations: How many blocks must follow one before it is told (default 0), or
            ``"safe"`` or ``"finalized"``.
        max_reorg: Blocks that are remembered, and so the deepest reorganisation that is
            told as one (default 256).
        lag_patience: Seconds that a node may need to find a block that it announced,
            before another connection is tried (default 10).
        settle: Seconds between two answers of the node that must agree before a chain
            is believed to have become shorter (default 3).
        stale_after: Seconds without an announcement after which the newest block is
            asked for (default 15).
        poll_interval: The same, where the node announces nothing (default 2).
        limits: How much is asked of the node at once: ``window`` and ``rate`` count.
        history: Calls a method of another node, for finalized blocks that this one has
            deleted: ``await history(method, params)``.

    Raises:
        TypeError: A value of another type.
        ValueError: A number is out of range, or the text is not that of a cursor.
    """
    following = Following(
        after=after,
        confirmations=confirmations,
        max_reorg=max_reorg,
        lag_patience=lag_patience,
        settle=settle,
        stale_after=stale_after,
        poll_interval=poll_interval,
        limits=limits,
        history=history,
    )
    require(client, Client, "client", "a Client of resilient_ws.feeds.jsonrpc")
    tracker = following.tracker()

    def begin(buffer: Buffer[HeadItem]) -> Follower:
        return following.follower(client, tracker, HeadTeller(buffer), name=NAME)

    return ChainStream(begin, WAITING)


class HeadTeller:
    """Tells heads.

    Args:
        buffer: Where they wait for the consumer.
    """

    def __init__(self, buffer: Buffer[HeadItem]) -> None:
        self._buffer = buffer
        self.gaps = 0

    async def accept(self, step: Accept, requests: Requests) -> None:  # noqa: ARG002 - the interface
        """Tell blocks."""
        for head in step.heads:
            await put(self._buffer, head)
            step.told += 1

    async def undo(self, step: Undo) -> None:
        """Tell that blocks are gone."""
        reorg = Reorg(ancestor=step.ancestor, removed=step.removed, cursor=step.cursor)
        await put(self._buffer, reorg)
        step.told = True

    async def gap(self, step: TellGap) -> None:
        """Tell that blocks are missing."""
        gap = Gap(
            key=NAME, first_missing=step.first, until=step.until, because=step.because
        )
        await put(self._buffer, gap)
        step.told = True
        self.gaps += 1

    async def bypass(self, step: Bypass, requests: Requests) -> None:
        """Do nothing: heads need the headers of all blocks."""

    def finish(self, failure: Exception | None) -> None:
        """Take note of the end."""
        self._buffer.finish(failure)
