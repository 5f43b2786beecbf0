"""Chains of the Ethereum kind: heads that follow the chain through everything.

The seam, for what is built on heads: a ``Tracker`` (pure) says what to do, as ``Step``;
a ``Follower`` has it done on the connection that announced the block, in one task (a
``Drive``), which hands what is to be told to a ``Teller``::

    class Teller(Protocol):
        async def accept(self, step: Accept, requests: Requests) -> None: ...
        async def undo(self, step: Undo) -> None: ...
        async def gap(self, step: TellGap) -> None: ...
        async def bypass(self, step: Bypass, requests: Requests) -> None: ...

``step.live`` says whether blocks were just announced (ask by ``blockHash``) or are
being caught up with (ask by range; with ``chunk=`` they come many at once). Whatever a
teller asks, it asks with ``client.call_on(requests, ...)``: that is the connection. It
counts in ``step.told`` what the consumer was given (how many blocks, or whether), at
the moment at which it is given: when the connection ends, the teller is cancelled, and
the rest comes again on the next.
What a teller raises ends the stream. With ``bypass=True``, finalized blocks are left to
the teller, by ranges and without headers; it sets ``step.told`` to the header through
which all was told.

Needs ``pip install 'resilient-ws[evm]'``.
"""

from resilient_ws.feeds.evm.cursor import Cursor
from resilient_ws.feeds.evm.heads import HeadItem, heads
from resilient_ws.feeds.evm.http_endpoint import HTTPEndpoint
from resilient_ws.feeds.evm.limits import Limits
from resilient_ws.feeds.evm.log_filter import LogFilter
from resilient_ws.feeds.evm.log_types import BlockLogs, Log
from resilient_ws.feeds.evm.logs import LogItem, logs
from resilient_ws.feeds.evm.pending import PendingTransactions, pending_transactions
from resilient_ws.feeds.evm.stream import ChainStream
from resilient_ws.feeds.evm.types import BlockRef, Head, Progress, Reorg


__all__ = [
    "BlockLogs",
    "BlockRef",
    "ChainStream",
    "Cursor",
    "HTTPEndpoint",
    "Head",
    "HeadItem",
    "Limits",
    "Log",
    "LogFilter",
    "LogItem",
    "PendingTransactions",
    "Progress",
    "Reorg",
    "heads",
    "logs",
    "pending_transactions",
]
