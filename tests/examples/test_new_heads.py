"""examples/new_heads.py: the heads go on after the node was killed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.examples.program import Program


if TYPE_CHECKING:
    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire


async def call(node: Anvil, method: str, *params: object) -> Any:
    """Ask the node on a connection of another library."""
    async with connect(node.url, proxy=None) as connection:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        await connection.send(json.dumps(call))
        return json.loads(await connection.recv())["result"]


async def mined(node: Anvil) -> str:
    """Mine a block; return what the example should say of it."""
    await call(node, "evm_mine")
    block = await call(node, "eth_getBlockByNumber", "latest", False)
    return f"head {int(block['number'], 16)} {block['hash']}"


async def test_heads_go_on_after_the_node_was_killed_and_started_again(
    anvil: Anvil,
) -> None:
    async with Program("new_heads.py", anvil.url) as follower:
        await follower.said("head")  # the newest
        told = [await mined(anvil) for _ in range(2)]
        assert await follower.said("head", count=3) == told[-1]

        await anvil.dumped()  # or it comes back with fewer blocks
        await anvil.kill()
        await anvil.start()
        told += [await mined(anvil) for _ in range(2)]

        assert await follower.said("head", count=5) == told[-1]
        heads = [line for line in follower.lines if line.startswith("head")]
        assert heads[1:] == told
        assert await follower.interrupted() == 0


async def test_a_reorganisation_is_told(anvil: Anvil) -> None:
    async with Program("new_heads.py", anvil.url) as follower:
        await follower.said("head")
        old = [await mined(anvil) for _ in range(2)]
        await follower.said("head", count=3)
        await call(anvil, "anvil_reorg", 2, [])
        new = await mined(anvil)
        assert await follower.said("head", count=6) == new
        undone = [line for line in follower.lines if line.startswith("undo")]
        assert undone == [line.replace("head", "undo") for line in reversed(old)]
        assert await follower.interrupted() == 0


async def test_a_node_without_subscriptions_is_polled(anvil: Anvil) -> None:
    # An application that is no chain node: it refuses subscriptions, and else asks one.
    async def refuse(connection: ServerConnection) -> None:
        async with connect(anvil.url, proxy=None) as node:
            async for text in connection:
                request = json.loads(text)
                if request["method"] == "eth_subscribe":
                    error = {"code": -32601, "message": "method not found"}
                    answer = {"jsonrpc": "2.0", "id": request["id"], "error": error}
                    await connection.send(json.dumps(answer))
                else:
                    await node.send(text)
                    await connection.send(await node.recv())

    async with serve(refuse, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with Program("new_heads.py", f"ws://127.0.0.1:{port}") as follower:
            await follower.said("head")
            head = await mined(anvil)
            assert await follower.said("head", count=2) == head
