"""evm.heads on a real anvil that is killed, and over links that are cut."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import Liveness, Reconnect, connect
from resilient_ws.feeds import Gap, ReorgTooDeep, WrongChain
from resilient_ws.feeds.evm import Cursor, Head, Reorg, heads
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import BlackHole, FaultProxy, Refuse, Reset, assert_no_leaks
from tests.feeds.evm.told import Node, Told
from tests.servers.process import HOST


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws import Session
    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire


def session(url: str) -> Session:
    """Reconnects fast, and finds a dead link fast."""
    return connect(
        url,
        reconnect=Reconnect(wait=lambda _: 0.05),
        liveness=Liveness(ping_interval=0.5, ping_timeout=0.5),
    )


async def caught_up(node: Node, told: Told, stream: Any, first: int) -> None:
    """Follow until the chain as told is the node's own, hash by hash."""
    tip = await node.tip()
    await told.follow(
        stream, lambda: told.tip == tip[0] and told.blocks.get(tip[0]) == tip[1]
    )
    assert told.blocks == await node.chain(first)


@pytest.fixture
async def proxy(anvil: Anvil) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(HOST, anvil.port) as proxy:
        yield proxy


async def test_the_blocks_of_a_cut_are_fetched(anvil: Anvil, proxy: FaultProxy) -> None:
    told = Told()
    async with Node(anvil.url) as node, Client(session(proxy.url())) as client:
        await node.mine(2)
        stream = heads(client, after=0)
        await caught_up(node, told, stream, 1)
        for depth in (0, 3):
            proxy.apply(Refuse())
            proxy.connections[-1].apply(Reset())
            await node.mine(20)
            if depth:
                await node.call("anvil_reorg", depth, [])
                await node.mine()
            proxy.heal()
            await caught_up(node, told, stream, 1)
    assert told.gaps == []


async def test_nothing_is_left_behind(anvil: Anvil) -> None:
    async with Node(anvil.url) as node:
        await node.call("anvil_mine", hex(200))
    async with assert_no_leaks(), Client(session(anvil.url)) as client:
        stream = heads(client, after=0)
        assert isinstance(await anext(stream), Head)
        async with heads(client) as another:
            assert isinstance(await anext(another), Head)
        assert [item async for item in another] == []
    # What was fetched before the end is there to be read; then it ends.
    async for item in stream:
        assert isinstance(item, Head)


async def test_the_blocks_of_a_black_hole_are_fetched(
    anvil: Anvil, proxy: FaultProxy
) -> None:
    told = Told()
    async with Node(anvil.url) as node, Client(session(proxy.url())) as client:
        await node.mine(2)
        stream = heads(client, after=0)
        await caught_up(node, told, stream, 1)
        proxy.connections[-1].apply(BlackHole())
        await node.mine(5)
        await caught_up(node, told, stream, 1)
    assert told.gaps == []
    assert told.reorgs == []


async def test_a_node_that_was_killed_and_kept_its_chain(anvil: Anvil) -> None:
    told = Told()
    async with Client(session(anvil.url)) as client:
        async with Node(anvil.url) as node:
            await node.mine(5)
            stream = heads(client, after=0)
            await caught_up(node, told, stream, 1)
        await anvil.dumped()
        await anvil.kill()
        await anvil.start()
        async with Node(anvil.url) as node:
            assert (await node.tip())[0] == 5
            await node.mine(3)
            await caught_up(node, told, stream, 1)
    assert (told.reorgs, told.gaps) == ([], [])


@pytest.mark.parametrize("mined", [0, 2, 6])
async def test_a_node_that_was_killed_and_came_back_shorter(
    anvil: Anvil, mined: int
) -> None:
    told = Told()
    older = anvil.state.with_name("older.json")
    async with Client(session(anvil.url)) as client:
        async with Node(anvil.url) as node:
            await node.mine(5)
            await anvil.dumped()
            shutil.copyfile(anvil.state, older)
            await node.mine(3)
            stream = heads(client, after=0, settle=0.3)
            await caught_up(node, told, stream, 1)
        await anvil.kill()
        shutil.copyfile(older, anvil.state)
        await anvil.start()
        async with Node(anvil.url) as node:
            assert (await node.tip())[0] == 5
            # Other blocks than before: the time is part of the hash.
            for _ in range(mined):
                await node.call("evm_increaseTime", 100)
                await node.mine()
            await caught_up(node, told, stream, 1)
    assert [reorg.depth for reorg in told.reorgs] == [3]
    assert [reorg.ancestor.number for reorg in told.reorgs] == [5]
    assert told.gaps == []


async def test_a_restart_from_a_cursor_tells_what_was_reorganised(anvil: Anvil) -> None:
    told = Told()
    async with Node(anvil.url) as node:
        await node.mine(80)
        async with Client(session(anvil.url)) as client:
            stream = heads(client, after=0)
            await caught_up(node, told, stream, 1)
            kept = str(stream.cursor)
        await node.call("anvil_reorg", 5, [])
        await node.mine(4)
        async with Client(session(anvil.url)) as client:
            stream = heads(client, after=kept)
            first = await anext(stream)
            assert isinstance(first, Reorg)
            assert (first.depth, first.ancestor.number) == (5, 75)
            told.take(first)
            await caught_up(node, told, stream, 1)
        assert Cursor.parse(kept).number == 80


async def test_a_cursor_of_another_chain_ends_the_stream(anvil: Anvil) -> None:
    position = Cursor(chain_id=1, number=0, dense=("0x" + "0" * 64,))
    async with Client(session(anvil.url)) as client:
        with pytest.raises(WrongChain, match="chain 31337"):
            await anext(heads(client, after=position))
        # The client lives on.
        assert await client.call("eth_chainId") == "0x7a69"


async def test_confirmations_hold_blocks_back(anvil: Anvil) -> None:
    told = Told()
    async with Node(anvil.url) as node, Client(session(anvil.url)) as client:
        await node.mine(10)
        stream = heads(client, confirmations=3)
        told.take(await anext(stream))
        assert told.tip == 7
        await node.mine(2)
        await told.follow(stream, lambda: told.tip == 9)
        # One that no one was told of is no news.
        await node.call("anvil_reorg", 2, [])
        await node.mine(3)
        await told.follow(stream, lambda: told.tip == 12)
        chain = await node.chain(7)
        assert told.blocks == {n: chain[n] for n in range(7, 13)}
        assert told.reorgs == []


@pytest.mark.parametrize("tag", ["safe", "finalized"])
async def test_tags_hold_blocks_back(anvil: Anvil, tag: Any) -> None:
    told = Told()
    async with Node(anvil.url) as node, Client(session(anvil.url)) as client:
        await node.call("anvil_mine", hex(100))
        stream = heads(client, confirmations=tag)
        block = await node.call("eth_getBlockByNumber", tag, False)
        told.take(await anext(stream))
        assert told.tip == int(block["number"], 16)
        await node.mine(3)
        await told.follow(stream, lambda: len(told.blocks) == 4)
        block = await node.call("eth_getBlockByNumber", tag, False)
        assert told.blocks[told.tip] == block["hash"]


async def test_a_reorganisation_beyond_memory_is_a_gap(anvil: Anvil) -> None:
    told = Told()
    async with Node(anvil.url) as node, Client(session(anvil.url)) as client:
        await node.mine(30)
        stream = heads(client, after=0, max_reorg=4)
        await caught_up(node, told, stream, 1)
        await node.call("anvil_reorg", 10, [])
        await node.mine()
        await caught_up(node, told, stream, 1)
    (gap,) = told.gaps
    assert gap.first_missing is not None
    assert gap.first_missing <= 21
    assert gap.until == 30


async def test_a_slow_consumer_costs_requests_and_no_block(anvil: Anvil) -> None:
    async with Node(anvil.url) as node, Client(session(anvil.url)) as client:
        await node.mine()
        stream = heads(client, after=0)
        first = await anext(stream)
        assert isinstance(first, Head)
        await node.call("anvil_mine", hex(300))
        await asyncio.sleep(0.5)
        assert stream.lag <= 64
        rest = [await anext(stream) for _ in range(300)]
        assert [head.number for head in rest if not isinstance(head, Gap | Reorg)] == (
            list(range(2, 302))
        )


async def test_a_new_chain_under_the_same_address(anvil: Anvil) -> None:
    """Nothing that was told is left, and the stream says so."""
    told = Told()
    async with Client(session(anvil.url)) as client:
        async with Node(anvil.url) as node:
            await node.mine(5)
            stream = heads(client, settle=0.3)
            told.take(await anext(stream))
            await node.mine(3)
            await caught_up(node, told, stream, 5)
        await anvil.kill()
        anvil.state.unlink(missing_ok=True)
        await anvil.start()
        async with Node(anvil.url) as node:
            await told.follow(stream, lambda: bool(told.reorgs))
            assert told.blocks == {}
            await node.mine(2)
            await told.follow(stream, lambda: len(told.blocks) >= 1)
            tip = await node.tip()
            await told.follow(stream, lambda: told.blocks.get(tip[0]) == tip[1])


async def test_a_new_chain_is_followed_before_its_next_block(anvil: Anvil) -> None:
    """Beyond memory, and nothing more is announced: what there is is told at once."""
    told = Told()
    async with Client(session(anvil.url)) as client:
        async with Node(anvil.url) as node:
            await node.mine(5)
            stream = heads(client, after=2, stale_after=3600)
            await caught_up(node, told, stream, 3)
        await anvil.kill()
        anvil.state.unlink(missing_ok=True)
        await asyncio.sleep(1.1)  # the first block differs by its second
        await anvil.start()
        async with Node(anvil.url) as node:
            await node.mine(4)
            tip = await node.tip()
            await told.follow(stream, lambda: told.blocks.get(tip[0]) == tip[1])
    assert [type(gap.because) for gap in told.gaps] == [ReorgTooDeep]
