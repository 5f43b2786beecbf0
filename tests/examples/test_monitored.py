"""examples/monitored.py: its page shows the session, and that it has gone."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.examples.program import Program


if TYPE_CHECKING:
    from tests.servers.process import ServerProcess

pytestmark = pytest.mark.wire


async def shown(socket: aiohttp.ClientWebSocketResponse, state: str) -> list[Any]:
    """The row of the session in a state."""
    async with asyncio.timeout(20):
        while True:
            told = json.loads(await socket.receive_str())
            for row in told.get("rows", ()):
                if row[3] == state:
                    return list(row)


async def test_the_page_shows_the_session_and_that_it_has_gone(
    websockets_server: ServerProcess,
) -> None:
    async with Program("monitored.py", f"{websockets_server.url}/feed?n=2") as bot:
        url = (await bot.said("watch at ")).removeprefix("watch at ")
        await bot.said(f"{websockets_server.url}/feed?n=*** 2")
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"{url}live") as socket,
        ):
            row = await shown(socket, "open")
            assert row[1] == f"{websockets_server.url}/feed?n=***"
            await websockets_server.kill()
            await shown(socket, "backoff")
        assert await bot.interrupted() == 0
        assert not bot.all_of("Traceback")
