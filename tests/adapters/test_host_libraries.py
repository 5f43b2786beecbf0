"""The libraries that ``resilient(client)`` is for, unchanged, over a real fault.

``make adapters`` has them in processes of their own, killed and frozen; this pins what
they need of the client. ``test_lowest`` runs it with the lowest versions.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import socketio
from hass_client import HomeAssistantClient
from jsonrpc_base import TransportError
from jsonrpc_websocket import Server

from resilient_ws.adapters.aiohttp import resilient
from resilient_ws.testing import FaultProxy, Reset
from tests.adapters.host import HomeAssistant, JsonRpc, SocketIO


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


pytestmark = pytest.mark.wire
PATIENCE = 20.0


@contextlib.asynccontextmanager
async def behind_proxy(port: int) -> AsyncIterator[tuple[Any, FaultProxy]]:
    """Our client, and the proxy that stands before a server."""
    async with (
        asyncio.timeout(PATIENCE),
        FaultProxy("127.0.0.1", port) as proxy,
        aiohttp.ClientSession() as http,
    ):
        yield resilient(http), proxy


@pytest.mark.parametrize("transports", [None, ["websocket"]])
async def test_socketio_upgrades_calls_and_comes_back(
    transports: list[str] | None,
) -> None:
    async with (
        SocketIO().serving() as server,
        behind_proxy(server.port) as (http, proxy),
    ):
        client = socketio.AsyncClient(http_session=http, reconnection_delay=0.1)
        told: asyncio.Queue[str] = asyncio.Queue()
        client.on("connect", lambda: told.put_nowait("connect"))
        client.on("tick", lambda data: told.put_nowait(f"tick {data}"))
        await client.connect(proxy.url(scheme="http"), transports=transports)
        assert await told.get() == "connect"
        # Where it polled first, it has upgraded by now.
        assert client.transport() == "websocket"
        assert server.transport() == "websocket"
        assert await client.call("add", [1, 2]) == 3
        proxy.apply(Reset())
        assert await told.get() == "connect"
        await server.hub.emit("tick", 5)
        assert await told.get() == "tick 5"
        assert await client.call("add", [3, 4]) == 7
        await client.disconnect()
        await client.shutdown()


async def test_jsonrpc_websocket_calls_and_hears() -> None:
    async with (
        JsonRpc().serving() as server,
        behind_proxy(server.port) as (http, proxy),
    ):
        remote = Server(proxy.url("/"), session=http, heartbeat=30)
        told: asyncio.Queue[int] = asyncio.Queue()
        remote.tick = told.put_nowait
        reading = await remote.ws_connect()
        assert await remote.add(1, 2) == 3
        await server.notify("tick", 7)
        assert await told.get() == 7
        proxy.apply(Reset())
        await asyncio.wait([reading])
        assert not remote.connected
        with pytest.raises(TransportError):
            await remote.add(1, 2)
        await remote.ws_connect()
        assert await remote.add(3, 4) == 7
        await remote.close()


async def test_jsonrpc_websocket_is_told_of_a_failure_in_its_own_words() -> None:
    async with aiohttp.ClientSession() as http, JsonRpc().serving() as server:
        url = f"ws://127.0.0.1:{server.port}/missing"
        with pytest.raises(TransportError, match="Error connecting to server"):
            await Server(url, session=resilient(http)).ws_connect()


async def test_home_assistant_logs_in_calls_and_hears() -> None:
    async with (
        HomeAssistant().serving() as server,
        behind_proxy(server.port) as (http, proxy),
    ):
        url = proxy.url("/api/websocket")
        for number in (1, 2):
            told: asyncio.Queue[Any] = asyncio.Queue()
            async with HomeAssistantClient(url, "token", http) as client:
                await client.subscribe_events(told.put_nowait, "tick")
                await client.call_service("light", "turn_on", {"number": number})
                await server.fire(number)
                assert (await told.get())["data"] == {"number": number}
                assert client.connected
                proxy.apply(Reset())
                while client.connected:  # noqa: ASYNC110 - it has no event for it
                    await asyncio.sleep(0.01)
        assert server.tokens == ["token", "token"]
        assert [call["service_data"]["number"] for call in server.called] == [1, 2]
