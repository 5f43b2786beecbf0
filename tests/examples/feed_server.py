"""The server of the how-tos: ``stream.example.com``, as the tests have it.

Each path is a server of the documentation. A path that breaks its connections does so
with an RST, after three prices.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Self

from aiohttp import WSMsgType, web

from tests.servers.process import HOST


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: How long a connection stands after its third price, in seconds.
_LIFE = 0.3


class FeedServer:
    """Prices, readings and echoes over WebSocket."""

    def __init__(self) -> None:
        self.prices = itertools.count(100)
        self.readings: list[str] = []
        #: The ``Authorization`` of every request.
        self.authorizations: list[str | None] = []
        application = web.Application()
        for path, handler in {
            "/feed": self._feed,
            "/private": self._private,
            "/readings": self._readings,
            "/echo": self._echo,
            "/busy": self._busy,
        }.items():
            application.router.add_get(path, handler)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def local(self, text: str) -> str:
        """A program of a page, with our address in the place of the examples'."""
        for name in ("stream", "backup", "collector"):
            text = text.replace(f"wss://{name}.example.com", f"ws://{HOST}:{self.port}")
        return text

    async def _open(self, request: web.Request) -> web.WebSocketResponse:
        self.authorizations.append(request.headers.get("Authorization"))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        return socket

    async def _feed(self, request: web.Request) -> web.WebSocketResponse:
        """Prices, for those who subscribe."""
        socket = await self._open(request)
        async for message in self._texts(socket):
            assert json.loads(message)["op"] == "subscribe"
            for price in itertools.islice(self.prices, 3):
                await socket.send_str(json.dumps({"price": price}))
            await asyncio.sleep(_LIFE)
            assert request.transport is not None
            request.transport.abort()
        return socket

    async def _private(self, request: web.Request) -> web.StreamResponse:
        """The same, for the bearer of the second token."""
        if request.headers.get("Authorization") != "Bearer token-2":
            self.authorizations.append(request.headers.get("Authorization"))
            return web.Response(status=401)
        return await self._feed(request)

    async def _readings(self, request: web.Request) -> web.WebSocketResponse:
        """Acknowledges each reading by its id, if it has one."""
        socket = await self._open(request)
        async for message in self._texts(socket):
            self.readings.append(message)
            if (number := json.loads(message).get("id")) is not None:
                await socket.send_str(json.dumps({"ack": number}))
        return socket

    async def _echo(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self._open(request)
        async for message in self._texts(socket):
            await socket.send_str(message)
        return socket

    async def _busy(self, _: web.Request) -> web.Response:
        return web.Response(status=503)

    async def _texts(self, socket: web.WebSocketResponse) -> AsyncIterator[str]:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                yield message.data
