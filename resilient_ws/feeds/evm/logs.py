"""``logs``: the logs of a chain, each once, in order, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, get_args

from resilient_ws.feeds.evm.bloom import BloomTest
from resilient_ws.feeds.evm.following import Following
from resilient_ws.feeds.evm.limits import DEFAULT_LIMITS, Limits
from resilient_ws.feeds.evm.log_checks import Verify
from resilient_ws.feeds.evm.log_filter import LogFilter
from resilient_ws.feeds.evm.log_query import LogQuery
from resilient_ws.feeds.evm.log_teller import NAME, LogTeller
from resilient_ws.feeds.evm.log_types import BlockLogs
from resilient_ws.feeds.evm.stream import ChainStream
from resilient_ws.feeds.evm.types import Progress, Reorg
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.feeds.pace import Pace
from resilient_ws.feeds.source import Gap
from resilient_ws.policy._validate import require


if TYPE_CHECKING:
    from resilient_ws.feeds.buffer import Buffer
    from resilient_ws.feeds.evm.connection import NodeCall
    from resilient_ws.feeds.evm.cursor import Cursor
    from resilient_ws.feeds.evm.follower import Follower
    from resilient_ws.feeds.evm.tracker import Confirmations


LogItem: TypeAlias = BlockLogs | Reorg | Gap | Progress

#: Items that may wait to be read.
WAITING: Final = 64
#: Blocks that are told at once while catching up, at most: a range covers as many.
CHUNK: Final = 128


def logs(
    client: Client,
    filter: LogFilter,
    *,
    verify: Verify = "bloom",
    after: int | str | Cursor | None = None,
    confirmations: Confirmations = 0,
    max_reorg: int = 256,
    lag_patience: float = 10.0,
    settle: float = 3.0,
    stale_after: float = 15.0,
    poll_interval: float = 2.0,
    limits: Limits = DEFAULT_LIMITS,
    history: NodeCall | None = None,
) -> ChainStream[LogItem]:
    """Return the logs of a chain: each once, in order, across drops and restarts.

    A consumer needs two actions: apply a ``BlockLogs``, and undo the blocks of a
    ``Reorg``, or its logs from the first to the last. It stores ``item.cursor`` with
    the effect. A ``Progress`` says that there is nothing else through a block; a
    ``Gap`` is what cannot be had, in its place.

    Blocks come with their headers, one ``BlockLogs`` each, but for those that were
    final already when they were fetched: of these only the blocks with logs are told,
    and a ``Progress`` now and then. Answers with many logs need a session with a larger
    ``max_message_size`` than the default.

    Args:
        client: The client, entered.
        filter: Which logs.
        verify: How far they are verified. ``"hash"``: each log is of the block that the
            stream knows. ``"bloom"`` (default): also, an answer without logs is asked
            for again where the bloom of the block speaks against it, and then the
            receipts decide; final blocks are asked for their headers to that end.
            ``"receipts"``: the logs are taken from all receipts of each block, whose
            bloom they must make.
        after: The position to go on from: a cursor, or its text, or the number of the
            last block that you have. With a cursor, what was reorganised meanwhile is
            told first. By default the newest block is the first. A block beyond the
            newest of the node is waited for, with a warning in the log.
        confirmations: How many blocks must follow one before it is told (default 0), or
            ``"safe"`` or ``"finalized"``.
        max_reorg: Blocks that are remembered with their logs, and so the deepest
            reorganisation that is told as one (default 256).
        lag_patience: Seconds that a node may need to find a block that it announced, or
            its logs, before another connection is tried (default 10).
        settle: Seconds between two answers of the node that must agree before a chain
            is believed to have become shorter (default 3).
        stale_after: Seconds without an announcement after which the newest block is
            asked for (default 15).
        poll_interval: The same, where the node announces nothing (default 2).
        limits: How much is asked for at once.
        history: Calls a method of another node, for final blocks: the ``call`` of
            another client, or of an ``HTTPEndpoint``.

    Raises:
        ImportError: ``verify`` needs the extra ``evm``, which is not installed.
        TypeError: A value of another type.
        ValueError: A number is out of range, or the text is not that of a cursor.
    """
    _check(filter, verify)
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
    tracker = following.tracker(chunk=CHUNK, bypass=True)
    pace = Pace(limits.rate)  # one, which the headers and the logs share
    query = LogQuery(wanted=filter, verify=verify, limits=limits, patience=lag_patience)

    def begin(buffer: Buffer[LogItem]) -> Follower:
        teller = LogTeller(
            client, query, buffer, pace=pace, max_reorg=max_reorg, history=history
        )
        return following.follower(client, tracker, teller, name=NAME, pace=pace)

    return ChainStream(begin, WAITING)


def _check(filter: object, verify: object) -> None:
    right = "a LogFilter: LogFilter(address=..., topics=[...])"
    require(filter, LogFilter, "filter", right)
    assert isinstance(filter, LogFilter)  # noqa: S101 - for the type checker
    if verify not in get_args(Verify):
        text = '"hash", "bloom" or "receipts"'
        raise ValueError(f"verify must be {text}, not {verify!r}.")
    if verify != "hash":
        BloomTest(filter)  # raises here, and not in the middle of the stream
