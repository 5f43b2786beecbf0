"""Chains of the Ethereum kind: heads and logs, across drops and reorganisations.

How they come about: a ``Tracker``, which is pure, says what to ask the node and what to
tell (``steps``). A ``Follower`` has that done on one connection after the other, by a
``Drive`` on each, in one task. What is to be told goes to a teller: ``HeadTeller`` for
``heads``, ``LogTeller`` for ``logs``. Another stream of a chain is another teller:
``driving.Teller`` says what is expected of it.

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
