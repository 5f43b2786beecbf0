"""Many connections of one library in one process, told line by line what to do.

    grow N    hold so many
    rest S    do nothing for so many seconds; say what that cost, and what they weigh
    back S    say when each connection has its next message, within so many seconds

A connection that is lost comes back by what its library has for that: our session, and
websockets' iterator over connections. aiohttp and picows have nothing.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pathlib
import resource
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import websockets.asyncio.client

import resilient_ws
from benchmarks.speed.worker import loop_factory


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Seconds between two pings of one connection.
PING: Final = 1.0
#: Dials under way at one time.
DIALS: Final = 50


class Crowd:
    """The connections, and when each got its messages."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.tasks: list[asyncio.Task[None]] = []
        self.heard: list[float] = []
        self.dialling = asyncio.Semaphore(DIALS)
        self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    def said(self, message: Any) -> None:  # noqa: ANN401 - each library calls it otherwise
        assert message == "hello", message
        self.heard.append(time.monotonic())

    async def grow(self, hold: Callable[[Crowd], Awaitable[None]], total: int) -> None:
        for _ in range(total - len(self.tasks)):
            self.tasks.append(asyncio.ensure_future(hold(self)))
            await asyncio.sleep(0)
        await self.all_heard(within=120)

    async def all_heard(self, *, within: float) -> None:
        deadline = time.monotonic() + within
        # Looked at from time to time: an event for each would be part of the cost.
        while len(self.heard) < len(self.tasks) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.http.close()


async def hold_resilient_ws(crowd: Crowd) -> None:
    liveness = resilient_ws.Liveness(ping_interval=PING, ping_timeout=20.0)
    session = resilient_ws.connect(crowd.url, liveness=liveness)
    # Entering waits, and so holds a place; coming back is for the session to pace.
    await crowd.dialling.acquire()
    async with session:
        crowd.dialling.release()
        async for message in session:
            crowd.said(message)


async def hold_aiohttp(crowd: Crowd) -> None:
    await crowd.dialling.acquire()
    async with crowd.http.ws_connect(crowd.url, heartbeat=PING) as socket:
        crowd.dialling.release()
        async for message in socket:
            crowd.said(message.data)


async def hold_websockets(crowd: Crowd) -> None:
    connect = websockets.asyncio.client.connect
    await crowd.dialling.acquire()
    first = True
    async for socket in connect(crowd.url, proxy=None, ping_interval=PING):
        if first:
            crowd.dialling.release()
            first = False
        try:
            async for message in socket:
                crowd.said(message)
        except websockets.ConnectionClosed:
            continue


HOLD: Final[dict[str, Callable[[Crowd], Awaitable[None]]]] = {
    "resilient_ws": hold_resilient_ws,
    "aiohttp": hold_aiohttp,
    "websockets": hold_websockets,
}


def resident() -> int:
    """The memory of this process, in bytes."""
    gc.collect()
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def obey(crowd: Crowd, name: str, order: list[Any]) -> dict[str, Any]:
    match order:
        case ["grow", count]:
            await crowd.grow(HOLD[name], count)
            return {"up": len(crowd.heard)}
        case ["rest", seconds]:
            before = time.process_time()
            await asyncio.sleep(seconds)
            taken = time.process_time() - before
            return {"memory": resident(), "cpu": taken}
        case ["forget"]:
            crowd.heard.clear()
            return {}
        case ["back", seconds]:
            await crowd.all_heard(within=seconds)
            return {"heard": sorted(crowd.heard)}
        case _:
            raise ValueError(order)


async def main(name: str, url: str) -> None:
    loop = asyncio.get_running_loop()
    # What is loaded and set up once is not of one connection.
    warm = Crowd(url)
    await warm.grow(HOLD[name], 1)
    await warm.end()
    crowd = Crowd(url)
    print(json.dumps({"memory": resident()}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await obey(crowd, name, json.loads(line))), flush=True)
    await crowd.end()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=loop_factory("asyncio")) as runner:
        runner.run(main(*sys.argv[1:]))
