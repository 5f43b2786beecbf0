"""The same requests and replies over HTTP, connections new or kept, and a session.

aiohttp serves all of them and is the client of HTTP, so what differs is the way.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import web

import resilient_ws
from benchmarks.speed.compare import Process
from benchmarks.speed.frames import messages


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COUNT: Final = 1_000
SIZE: Final = 128
#: How many times more exchanges a second than HTTP with a new connection for each.
TARGET: Final = 3.0


def measure(*, quick: bool) -> dict[str, Any]:
    count = COUNT // 20 if quick else COUNT
    with Process("exchange", "serve") as server:
        port = server.hear().strip()
        with Process("exchange", port, str(count), "1" if quick else "5") as client:
            taken: dict[str, list[float]] = client.heard()
    # The least: what disturbs adds, and the server shares the machine.
    seconds = {way: min(times) for way, times in taken.items()}
    gain = seconds["HTTP, new connections"] / seconds["session"]
    return {
        "count": count,
        "size": SIZE,
        "rate": {way: count / time_ for way, time_ in seconds.items()},
        "ratio": {way: time_ / seconds["session"] for way, time_ in seconds.items()},
        "met": gain >= TARGET,
    }


async def answer(request: web.Request) -> web.Response:
    return web.Response(text=await request.text())


async def talk(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def serve() -> None:
    app = web.Application()
    app.router.add_post("/http", answer)
    app.router.add_get("/ws", talk)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def over_http(url: str, count: int, *, keep: bool) -> float:
    connector = aiohttp.TCPConnector(force_close=not keep)
    stream = messages("text", SIZE)
    async with aiohttp.ClientSession(connector=connector) as http:
        began = time.perf_counter()
        for number in range(count):
            message = str(stream[number % len(stream)])
            async with http.post(f"http://{url}/http", data=message) as response:
                assert await response.text() == message
        return time.perf_counter() - began


async def over_session(url: str, count: int) -> float:
    stream = messages("text", SIZE)
    began = time.perf_counter()  # its one handshake counts
    async with resilient_ws.connect(f"ws://{url}/ws") as session:
        for number in range(count):
            message = stream[number % len(stream)]
            await session.send(message)
            assert await session.receive() == message
        return time.perf_counter() - began


async def compare(port: str, count: int, rounds: int) -> dict[str, list[float]]:
    url = f"127.0.0.1:{port}"
    ways: dict[str, Callable[[], Awaitable[float]]] = {
        "HTTP, new connections": lambda: over_http(url, count, keep=False),
        "HTTP, keep-alive": lambda: over_http(url, count, keep=True),
        "session": lambda: over_session(url, count),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            taken[way].append(await run())
    return taken


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        where, count_, rounds_ = sys.argv[1:]
        print(json.dumps(asyncio.run(compare(where, int(count_), int(rounds_)))))
