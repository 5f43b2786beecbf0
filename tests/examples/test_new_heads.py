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
        await follower.said("subscribed on connection 1")
        head = await mined(anvil)
        assert await follower.said("head") == head

        await anvil.kill()
        await anvil.start()

        await follower.said("subscribed on connection 2")
        head = await mined(anvil)
        assert await follower.said("head", count=2) == head
        # The gap is told between the two: where blocks may be missing.
        told = [line for line in follower.lines if line.startswith(("head", "gap"))]
        assert [line.split()[0] for line in told] == ["head", "gap", "head"]
        assert await follower.interrupted() == 0


async def test_a_server_without_subscriptions_ends_it_with_the_reason() -> None:
    # An application that is no chain node, but answers in its language.
    async def refuse(connection: ServerConnection) -> None:
        async for text in connection:
            error = {"code": -32601, "message": "method not found"}
            answer = {"id": json.loads(text)["id"], "error": error}
            await connection.send(json.dumps(answer))

    async with serve(refuse, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with Program("new_heads.py", f"ws://127.0.0.1:{port}") as follower:
            assert await follower.ended() == 1
    assert "method not found" in follower.lines[-1]
