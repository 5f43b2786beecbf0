"""jsonrpc-websocket: calls, and notifications that the server sends.

The library does not reconnect; its user writes the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Final

import aiohttp
from aiohttp import web
from jsonrpc_base import TransportError
from jsonrpc_websocket import Server

from benchmarks.adapters.contest import Contest
from benchmarks.adapters.program import now_number, say


CONTEST: Final = Contest(
    name="jsonrpc_websocket",
    title="jsonrpc-websocket",
    packages=("jsonrpc-websocket", "aiohttp"),
    program="A handler for notifications, a call ten times a second, and a user's loop "
    "that connects again at once, for the library does not.",
)
RATE: Final = 10.0


async def server(port: int) -> None:
    clients: set[web.WebSocketResponse] = set()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=2)
        await socket.prepare(request)
        clients.add(socket)
        try:
            async for message in socket:
                call = json.loads(message.data)
                say("got", call["params"][0])
                answer = {"jsonrpc": "2.0", "id": call["id"], "result": True}
                await socket.send_json(answer)
        finally:
            clients.discard(socket)
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=0.5).start()
    while True:
        await asyncio.sleep(1 / RATE)
        number = now_number(RATE)
        say("sent", number)
        note = {"jsonrpc": "2.0", "method": "tick", "params": [number]}
        for socket in tuple(clients):
            with contextlib.suppress(ConnectionResetError):
                await socket.send_json(note)


async def program(way: str, url: str) -> None:
    async with aiohttp.ClientSession() as http:
        # The one line that differs.
        if way == "ours":
            from resilient_ws.adapters.aiohttp import resilient  # noqa: PLC0415

            remote = Server(url, session=resilient(http), heartbeat=2, timeout=5)
        else:
            remote = Server(url, session=http, heartbeat=2, timeout=5)
        remote.tick = lambda number: say("got", number)
        while True:
            # A loop that everybody writes first.
            reading = None
            try:
                reading = await remote.ws_connect()
                while not reading.done():
                    number = now_number(RATE)
                    await remote.count(number)
                    say("sent", number)
                    await asyncio.sleep(1 / RATE)
            except TransportError:
                pass
            finally:
                await remote.close()
                if reading is not None:
                    await asyncio.wait([reading])
                    if not reading.cancelled():
                        reading.exception()


if __name__ == "__main__":
    role, where = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server(int(where)) if role == "server" else program(role, where))
