"""Pending transactions of a real anvil: a drop is always a gap."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import connect
from resilient_ws.feeds import Gap
from resilient_ws.feeds.evm import pending_transactions
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import FaultProxy, Reset
from tests.feeds.evm.told import Node
from tests.servers.process import HOST


if TYPE_CHECKING:
    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire


async def sent(node: Node) -> Any:
    one, two, *_ = await node.call("eth_accounts")
    return await node.call(
        "eth_sendTransaction", {"from": one, "to": two, "value": "0x1"}
    )


async def begin(stream: Any, node: Node, hash_of: Any = str) -> None:
    """Wait for the subscription: what is sent before, it does not tell."""
    first = asyncio.ensure_future(anext(stream))
    hashes = []
    while not first.done():
        hashes.append(await sent(node))
        await asyncio.wait({first}, timeout=0.05)
    begun = hashes.index(hash_of(first.result()))
    rest = hashes[begun + 1 :]
    assert [hash_of(await anext(stream)) for _ in rest] == rest


async def test_each_transaction_is_told_and_a_drop_is_a_gap(anvil: Anvil) -> None:
    async with (
        FaultProxy(HOST, anvil.port) as proxy,
        Node(anvil.url) as node,
        Client(connect(proxy.url())) as client,
        pending_transactions(client) as stream,
    ):
        await begin(stream, node)
        proxy.connections[-1].apply(Reset())
        assert isinstance(await anext(stream), Gap)
        await begin(stream, node)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_whole_transactions_are_told_as_they_are(anvil: Anvil) -> None:
    async with (
        asyncio.timeout(60),
        Node(anvil.url) as node,
        Client(connect(anvil.url)) as client,
    ):
        stream = pending_transactions(client, full=True)
        await begin(stream, node, lambda sent: sent["hash"])


@pytest.mark.parametrize("steps", range(12))
async def test_ending_it_ends_whoever_reads_also_while_it_begins(
    anvil: Anvil, steps: int
) -> None:
    async with Client(connect(anvil.url)) as client:
        stream = pending_transactions(client)
        first = asyncio.ensure_future(anext(stream))
        for _ in range(steps):
            await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(first, 5)
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(stream), 5)
        assert client.channel.statistics().subscriptions == 0


@pytest.mark.parametrize("steps", range(12))
async def test_cancelling_whoever_reads_leaves_the_stream_usable(
    anvil: Anvil, steps: int
) -> None:
    async with (
        Node(anvil.url) as node,
        Client(connect(anvil.url)) as client,
        pending_transactions(client) as stream,
    ):
        first = asyncio.ensure_future(anext(stream))
        for _ in range(steps):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        await begin(stream, node)
        assert client.channel.statistics().subscriptions == 1


async def test_a_buffer_without_room_is_refused(anvil: Anvil) -> None:
    async with Client(connect(anvil.url)) as client:
        with pytest.raises(ValueError, match="buffer must be a positive whole number"):
            pending_transactions(client, buffer=0)
