"""evm.heads on a real anvil: what is told equals the node's own chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resilient_ws import connect
from resilient_ws.feeds.evm import heads
from resilient_ws.feeds.jsonrpc import Client
from tests.feeds.evm.told import Node, Told


if TYPE_CHECKING:
    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire


async def test_new_blocks_come_one_by_one(anvil: Anvil) -> None:
    told = Told()
    async with Node(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.mine(3)
        stream = heads(client)
        told.take(await anext(stream))
        assert told.tip == 3
        for _ in range(5):
            await node.mine()
            told.take(await anext(stream))
        assert told.blocks == await node.chain(3)
        assert stream.cursor is not None
        assert stream.cursor.number == 8


async def test_what_came_before_is_caught_up_with(anvil: Anvil) -> None:
    told = Told()
    async with Node(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.call("anvil_mine", hex(100))
        stream = heads(client, after=20)
        await told.follow(stream, lambda: told.tip == 100)
        assert told.blocks == await node.chain(21)


@pytest.mark.parametrize("depth", range(1, 6))
async def test_a_reorganisation_is_told_once(anvil: Anvil, depth: int) -> None:
    told = Told()
    async with Node(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.mine(10)
        stream = heads(client, after=0)
        await told.follow(stream, lambda: told.tip == 10)
        await node.call("anvil_reorg", depth, [])
        await node.mine()
        tip = await node.tip()
        await told.follow(stream, lambda: told.blocks.get(tip[0]) == tip[1])
        assert told.blocks == await node.chain(1)
        assert [reorg.depth for reorg in told.reorgs] == [depth]
        assert told.gaps == []
