"""Servers for the libraries that adapters are for, in the loop of the test."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import socketio
from aiohttp import web


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def _serving(app: web.Application) -> AsyncIterator[int]:
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        assert site._server is not None
        yield site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


class SocketIO:
    """python-socketio's own server; it answers ``add`` and notes its transports."""

    def __init__(self) -> None:
        self.hub = socketio.AsyncServer(async_mode="aiohttp")
        self.port = 0
        self.sids: list[str] = []
        self.hub.on("connect", self._connected)
        self.hub.on("add", self._add)

    async def _connected(self, sid: str, *_: object) -> None:
        self.sids.append(sid)

    async def _add(self, _: str, numbers: list[int]) -> int:
        return sum(numbers)

    def transport(self) -> str:
        """What the newest client uses: polling, until it has upgraded."""
        return str(self.hub.transport(self.sids[-1]))

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[SocketIO]:
        """Serve until the end of the block."""
        app = web.Application()
        self.hub.attach(app)
        async with _serving(app) as self.port:
            yield self
            await self.hub.shutdown()


class JsonRpc:
    """Answers calls with the sum of their parameters, and can notify."""

    def __init__(self) -> None:
        self.port = 0
        self.sockets: list[web.WebSocketResponse] = []

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            call = json.loads(message.data)
            answer = {"id": call["id"], "result": sum(call["params"])}
            await socket.send_json({"jsonrpc": "2.0", **answer})
        return socket

    async def notify(self, method: str, *params: object) -> None:
        """Send a notification to the newest client."""
        note = {"jsonrpc": "2.0", "method": method, "params": params}
        await self.sockets[-1].send_json(note)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[JsonRpc]:
        """Serve until the end of the block."""
        app = web.Application()
        app.router.add_get("/", self._serve)
        async with _serving(app) as self.port:
            yield self
            for socket in self.sockets:
                await socket.close()


class HomeAssistant:
    """Speaks as the documentation of Home Assistant's WebSocket API says."""

    def __init__(self) -> None:
        self.port = 0
        self.sockets: list[web.WebSocketResponse] = []
        self.called: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self._subscribed: dict[web.WebSocketResponse, int] = {}

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        version = {"ha_version": "2026.11.0"}
        await socket.send_json({"type": "auth_required", **version})
        login = await socket.receive_json()
        self.tokens.append(login["access_token"])
        await socket.send_json({"type": "auth_ok", **version})
        async for message in socket:
            asked = json.loads(message.data)
            if asked["type"] == "subscribe_events":
                self._subscribed[socket] = asked["id"]
            else:
                self.called.append(asked)
            answer = {"id": asked["id"], "type": "result", "success": True}
            await socket.send_json({**answer, "result": None})
        return socket

    async def fire(self, number: int) -> None:
        """Send an event to the newest client."""
        socket = self.sockets[-1]
        event = {"event_type": "tick", "data": {"number": number}}
        key = self._subscribed[socket]
        await socket.send_json({"id": key, "type": "event", "event": event})

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[HomeAssistant]:
        """Serve until the end of the block."""
        app = web.Application()
        app.router.add_get("/api/websocket", self._serve)
        async with _serving(app) as self.port:
            yield self
            for socket in self.sockets:
                await socket.close()
