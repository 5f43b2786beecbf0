"""What is measured, each in a process: ``python -m benchmarks.feeds.clients``.

It is told what to do line by line, as JSON, and answers with figures. Each client
subscribes and takes the items in one loop, as a program does.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import aiohttp
import msgspec

import resilient_ws
from benchmarks.feeds.wire import number_of
from resilient_ws.feeds import Gap, consecutive
from resilient_ws.feeds.jsonrpc import Client


Loads: TypeAlias = Callable[[Any], Any]
DECODERS: dict[str, Loads] = {"json": json.loads, "msgspec": msgspec.json.decode}


class Watch:
    """Begins when a client has subscribed, and ends with the last item."""

    def __init__(self, count: int) -> None:
        self.count = self.left = count

    def begin(self) -> None:
        gc.collect()
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def done(self, item: Any) -> bool:  # noqa: ANN401 - decoded JSON
        """Count an item; return whether it was the last."""
        self.left -= 1
        if self.left:
            return False
        self.cpu = time.process_time() - self.cpu
        self.wall = time.perf_counter() - self.wall
        assert number_of(item) == self.count - 1, item
        return True

    def figures(self) -> dict[str, float]:
        """Microseconds for each item."""
        each = 1e6 / self.count
        return {"cpu": self.cpu * each, "wall": self.wall * each}


class LateWatch(Watch):
    """Looks how late each item is."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.delays: list[int] = []

    def done(self, item: Any) -> bool:  # noqa: ANN401 - decoded JSON
        self.delays.append(time.monotonic_ns() - item["sent"])
        return super().done(item)

    def figures(self) -> dict[str, float]:
        """Microseconds of delay, too."""
        self.delays.sort()
        return {
            **super().figures(),
            "p50": self.delays[self.count // 2] / 1000,
            "p99": self.delays[self.count * 99 // 100] / 1000,
        }


def subscription(number: int) -> str:
    request = {"jsonrpc": "2.0", "id": number, "method": "eth_subscribe", "params": []}
    return json.dumps(request)


# resilient_ws.feeds.


async def feeds(url: str, loads: Loads, watch: Watch) -> None:
    """The subject: items, in order, with holes told."""
    session = resilient_ws.connect(url, compression=None)
    async with Client(session, loads=loads) as client:
        items = await client.subscribe(
            "eth_subscribe",
            ["logs"],
            cursor_of=number_of,
            follows=consecutive(number_of),
        )
        watch.begin()
        async for item in items:
            assert not isinstance(item, Gap), item
            if watch.done(item):
                return


# The session alone, and a decoder.


async def bare(url: str, loads: Loads, watch: Watch) -> None:
    """No calls, no keys, no order: what it costs at least."""
    async with resilient_ws.connect(url, compression=None) as session:
        await session.send(subscription(1))
        await session.receive()
        watch.begin()
        async for message in session:
            if watch.done(loads(message)["params"]["result"]):
                return


# By hand over aiohttp, as a program has it that follows a feed: calls by their ids,
# subscriptions by their keys, a queue for each, and a look at the numbers.


class ByHand:
    """Sixty lines that many programs have."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, loads: Loads) -> None:
        self.socket = socket
        self.loads = loads
        self.ids = itertools.count(1)
        self.pending: dict[int, asyncio.Future[Any]] = {}
        self.queues: dict[str, asyncio.Queue[Any]] = {}
        self.last: dict[str, int] = {}
        self.task = asyncio.create_task(self.read())

    async def read(self) -> None:
        async for message in self.socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            data = self.loads(message.data)
            if "id" in data:
                future = self.pending.pop(data["id"], None)
                if future is not None and not future.done():
                    future.set_result(data["result"])
                    if isinstance(data["result"], str):
                        self.queues[data["result"]] = asyncio.Queue(1024)
            elif data.get("method") == "eth_subscription":
                params = data["params"]
                key, item = params["subscription"], params["result"]
                number = number_of(item)
                last = self.last.get(key)
                if last is not None and number != last + 1:
                    print("missing", last, number, file=sys.stderr)
                self.last[key] = number
                await self.queues[key].put(item)

    async def call(self, method: str, params: Any) -> Any:  # noqa: ANN401 - JSON
        number = next(self.ids)
        future = asyncio.get_running_loop().create_future()
        self.pending[number] = future
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        await self.socket.send_str(json.dumps(request))
        async with asyncio.timeout(30):
            return await future


async def by_hand(url: str, loads: Loads, watch: Watch) -> None:
    """The same code by hand, without reconnecting."""
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        client = ByHand(socket, loads)
        key = await client.call("eth_subscribe", ["logs"])
        queue = client.queues[key]
        watch.begin()
        while not watch.done(await queue.get()):
            pass
        client.task.cancel()


# The peers.


async def web3(url: str, _loads: Loads, watch: Watch) -> None:
    """web3.py, whose provider decodes, and makes bytes of hashes."""
    from web3 import AsyncWeb3, WebSocketProvider  # noqa: PLC0415 - a peer

    async with AsyncWeb3(WebSocketProvider(url)) as client:
        await client.eth.subscribe("logs", {})
        watch.begin()
        async for payload in client.socket.process_subscriptions():
            if watch.done(payload["result"]):
                return


async def socketio(url: str, _loads: Loads, watch: Watch) -> None:
    """python-socketio, which calls a handler in a task for each event."""
    import socketio as peer  # noqa: PLC0415 - a peer

    origin, _query, order = url.rpartition("?")
    client = peer.AsyncClient()
    queue: asyncio.Queue[Any] = asyncio.Queue()
    client.on("item", queue.put)
    await client.connect(origin, transports=["websocket"])
    watch.begin()
    kind, count, _rate = order.split("/")
    await client.emit("go", {"kind": kind, "count": int(count)})
    while not watch.done(await queue.get()):
        pass
    await client.disconnect()


Take: TypeAlias = Callable[[str, Loads, Watch], Coroutine[Any, Any, None]]
CLIENTS: dict[str, tuple[Take, str]] = {
    "feeds, msgspec": (feeds, "msgspec"),
    "feeds, json": (feeds, "json"),
    "bare session, msgspec": (bare, "msgspec"),
    "bare session, json": (bare, "json"),
    "by hand over aiohttp, msgspec": (by_hand, "msgspec"),
    "by hand over aiohttp, json": (by_hand, "json"),
    "web3.py": (web3, "json"),
    "python-socketio": (socketio, "json"),
}


def main() -> None:
    # A server that sends as fast as it can fills every inbox, and the session says so.
    logging.getLogger("resilient_ws").setLevel(logging.ERROR)
    for line in sys.stdin:
        order = json.loads(line)
        take, decoder = CLIENTS[order["name"]]
        watch = (LateWatch if order["late"] else Watch)(order["count"])
        asyncio.run(take(order["url"], DECODERS[decoder], watch))
        print(json.dumps(watch.figures()), flush=True)


if __name__ == "__main__":
    main()
