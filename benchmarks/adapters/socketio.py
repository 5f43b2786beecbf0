"""python-socketio: its asyncio client, which polls first and upgrades to a WebSocket.

The server is python-socketio's own, on aiohttp.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any, Final

import aiohttp
import socketio
from aiohttp import web

from benchmarks.adapters.contest import Contest
from benchmarks.adapters.program import now_number, say


CONTEST: Final = Contest(
    name="socketio",
    title="python-socketio",
    packages=("python-socketio", "python-engineio", "aiohttp"),
    program="Two event handlers and `connect`, with polling and the upgrade from it; "
    "the library reconnects by itself.",
    scheme="http",
)
RATE: Final = 10.0


async def server(port: int) -> None:
    hub = socketio.AsyncServer(
        async_mode="aiohttp", ping_interval=2, ping_timeout=2, namespaces=["/"]
    )

    @hub.on("report")  # type: ignore[untyped-decorator]
    async def report(_: str, data: dict[str, int]) -> None:
        say("got", data["number"])

    app = web.Application()
    hub.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=0.5).start()
    while True:
        await asyncio.sleep(1 / RATE)
        number = now_number(RATE)
        say("sent", number)
        await hub.emit("tick", {"number": number})


async def program(way: str, url: str) -> None:
    async with aiohttp.ClientSession() as http:
        # The one line that differs.
        if way == "ours":
            from resilient_ws.adapters.aiohttp import resilient  # noqa: PLC0415

            client = socketio.AsyncClient(http_session=resilient(http))
        else:
            client = socketio.AsyncClient(http_session=http)

        @client.event  # type: ignore[untyped-decorator]
        async def connect() -> None:
            await client.emit("hello", {})

        @client.on("tick")  # type: ignore[untyped-decorator]
        async def tick(data: dict[str, Any]) -> None:
            say("got", data["number"])

        await client.connect(url)
        while True:
            number = now_number(RATE)
            with contextlib.suppress(socketio.exceptions.SocketIOError):
                await client.emit("report", {"number": number})
                say("sent", number)
            await asyncio.sleep(1 / RATE)


if __name__ == "__main__":
    role, where = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server(int(where)) if role == "server" else program(role, where))
