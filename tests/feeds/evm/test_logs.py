"""evm.logs on a real anvil: what is told equals the node's own logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import connect
from resilient_ws.feeds.evm import LogFilter, Reorg, logs
from resilient_ws.feeds.jsonrpc import Client
from tests.feeds.evm.emitter import EMITTED, Emitter
from tests.feeds.evm.told_logs import ToldLogs


if TYPE_CHECKING:
    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire

LEVELS = ("hash", "bloom", "receipts")


@pytest.mark.parametrize("verify", LEVELS)
async def test_new_logs_come_block_by_block(anvil: Anvil, verify: Any) -> None:
    async with Emitter(anvil.url) as node, Client(connect(anvil.url)) as client:
        told = ToldLogs(1)
        wanted = LogFilter(address=node.address, topics=[EMITTED])
        stream = logs(client, wanted, verify=verify, after=1)
        await node.emit(3)
        told.take(await anext(stream))
        for count in (1, 0, 5, 0, 0, 200):
            await node.emit(count)
            told.take(await anext(stream))
        assert told.logs == await node.logs(1)
        assert len(told.logs) == 209
        assert told.blocks == 7


@pytest.mark.parametrize("verify", LEVELS)
async def test_what_came_before_is_caught_up_with(anvil: Anvil, verify: Any) -> None:
    async with Emitter(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.emit(*(n % 4 for n in range(200)))
        stream = logs(client, LogFilter(address=node.address), verify=verify, after=0)
        told = ToldLogs(0)
        await told.follow(stream, lambda: told.through == 201)
        assert told.logs == await node.logs()
        await node.emit(2)
        await told.follow(stream, lambda: told.through == 202)
        assert told.logs == await node.logs()
        assert told.gaps == []


@pytest.mark.parametrize("depth", range(1, 6))
async def test_removed_logs_are_undone_in_reverse(anvil: Anvil, depth: int) -> None:
    async with Emitter(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.emit(1, 2, 3)
        snapshot = {}
        for count in (3, 0, 1, 2, 4):
            snapshot[await node.tip()] = await node.call("evm_snapshot")
            await node.emit(count)
        before = await node.logs()
        told = ToldLogs(0)
        stream = logs(client, LogFilter(address=node.address), after=0)
        tip, _ = await node.tip()
        await told.follow(stream, lambda: told.through == tip)
        assert told.logs == before
        (fork, hash_), back = list(snapshot.items())[-depth]
        assert await node.call("evm_revert", back)
        await node.emit(*range(1, depth + 3))
        tip, newest = await node.tip()
        await told.follow(stream, lambda: told.hash == newest)
        assert told.logs == await node.logs()
        (reorg,) = told.reorgs
        assert isinstance(reorg, Reorg)
        assert (reorg.ancestor.number, reorg.ancestor.hash) == (fork, hash_)
        assert reorg.depth == depth
        assert [
            (log.blockNumber, log.blockHash, log.logIndex) for log in reorg.logs
        ] == [one for one in reversed(before) if one[0] > fork]


async def test_a_topic_that_does_not_fit_brings_nothing(anvil: Anvil) -> None:
    async with Emitter(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.emit(*[3] * 5)
        wanted = LogFilter(address=node.address, topics=[None, f"0x{2:064x}"])
        told = ToldLogs(0)
        stream = logs(client, wanted, after=0)
        await told.follow(stream, lambda: told.through == 6)
        assert [index for _, _, index in told.logs] == [1] * 5
