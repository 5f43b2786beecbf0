from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resilient_ws import connect
from resilient_ws.feeds.buffer import Buffer
from resilient_ws.feeds.errors import BackfillFailed
from resilient_ws.feeds.evm import BlockLogs, Cursor, Limits, LogFilter, Reorg, logs
from resilient_ws.feeds.evm.log_query import LogQuery
from resilient_ws.feeds.evm.log_teller import LogTeller
from resilient_ws.feeds.evm.log_types import log_of
from resilient_ws.feeds.evm.steps import TellGap, Undo
from resilient_ws.feeds.evm.types import BlockRef
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.feeds.pace import Pace
from tests.feeds.evm.desk import NodeDesk
from tests.feeds.evm.fake_node import FakeNode


def teller_of(buffer: Buffer[Any]) -> LogTeller:
    return LogTeller(
        Client(connect("ws://127.0.0.1:8545")),
        LogQuery(wanted=LogFilter(), verify="hash", limits=Limits(), patience=1.0),
        buffer,
        pace=Pace(None),
        max_reorg=8,
        history=None,
    )


async def test_what_the_consumer_was_told_is_told_to_the_tracker() -> None:
    node, buffer = FakeNode([1, 2]), Buffer[Any](8)
    ancestor, removed = [BlockRef(number=n, hash=node.hash(n)) for n in (0, 1)]
    cursor = Cursor(chain_id=1, number=0, dense=(ancestor.hash,))
    teller = teller_of(buffer)
    undo = Undo(ancestor, (removed,), cursor)
    gap = TellGap(2, 3, BackfillFailed("no"))
    await teller.undo(undo)
    await teller.gap(gap)
    assert undo.told
    assert gap.told


async def test_a_reorganisation_that_was_cancelled_keeps_its_logs() -> None:
    node, buffer = FakeNode([1, 2]), Buffer[Any](1)
    ancestor, removed = [BlockRef(number=n, hash=node.hash(n)) for n in (0, 1)]
    teller = teller_of(buffer)
    logs = [log_of(log) for log in node.logs(1)]
    teller._retained.keep(removed, logs)
    buffer.put("a consumer that is slow")
    cursor = Cursor(chain_id=1, number=0, dense=(ancestor.hash,))
    undo = Undo(ancestor, (removed,), cursor)
    telling = asyncio.create_task(teller.undo(undo))
    await asyncio.sleep(0)
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    assert not undo.told
    await buffer.take()
    await teller.undo(undo)
    told = await buffer.take()
    assert isinstance(told, Reorg)
    assert list(told.logs) == logs[::-1]


async def test_logs_that_a_node_never_has_are_told_when_another_connection_is_tried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with NodeDesk() as desk:

        def instead(method: str, _: list[Any]) -> Any:
            if method != "eth_getLogs":
                return ...
            return [] if desk.session.reconnects else None

        desk.instead = instead
        stream = logs(desk.client, LogFilter(), verify="hash")
        item = await anext(stream)
        assert isinstance(item, BlockLogs)
        assert item.head.number == 10
        await stream.aclose()
    said = "logs: the node does not give out the logs of block 10, which it must have"
    assert sum(said in record.getMessage() for record in caplog.records) == 1
