"""A JSON-RPC server in a process of its own, which keeps a ledger of what it did.

``python -m tests.feeds.endurance.server PORT LEDGER [--rate 1] [--began T] [--late S]``.

It executes ``do`` and ``get``: a line with their number goes into the ledger before it
answers. Some are answered with an error, late, twice, or never, as their number says.
``sub TOPIC`` subscribes. Each topic counts up, ``--rate`` items a second since
``--began``, whoever is connected and however often the server is killed; ``range TOPIC
AFTER UNTIL`` returns what was. An item is its number and the time at which it is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import time
import zlib
from typing import Any

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed


#: Seconds between two looks at the clock of the topics.
TICK = 0.02
#: Seconds before a late answer, at most.
LATE = 0.05


def fate(number: int) -> str:
    """Tell how a request with a number is answered."""
    if number % 499 == 7:
        return "never"
    if number % 11 == 3:
        return "error"
    if number % 101 == 5:
        return "twice"
    return "late" if number % 5 == 0 else "at once"


class Server:
    """What the connections share."""

    def __init__(self, ledger: int, options: argparse.Namespace) -> None:
        self.ledger = ledger
        self.rate: float = options.rate
        self.began: float = options.began
        self.late: float = options.late
        self.newest: dict[str, int] = {}
        #: The keys of each topic, with their connections.
        self.followers: dict[str, dict[str, ServerConnection]] = {}
        self.keys = itertools.count(1)
        self.tasks: set[asyncio.Task[None]] = set()

    def note(self, *words: object) -> None:
        """Write a line into the ledger, all of it or nothing."""
        os.write(self.ledger, (" ".join(map(str, words)) + "\n").encode())

    def count_of(self, topic: str) -> int:
        """Return the number of the newest item; topics do not count in step."""
        phase = zlib.crc32(topic.encode()) / 2**32
        return max(0, int((time.time() - self.began) * self.rate + phase))

    async def serve(self, peer: ServerConnection) -> None:
        mine: list[tuple[str, str]] = []
        with contextlib.suppress(ConnectionClosed):
            async for message in peer:
                await self.take(peer, json.loads(message), mine)
        for topic, key in mine:
            self.followers[topic].pop(key, None)

    async def take(
        self, peer: ServerConnection, request: dict[str, Any], mine: list[Any]
    ) -> None:
        method, params, number = (request[name] for name in ("method", "params", "id"))
        if method in {"do", "get"}:
            await self.execute(peer, number, params[0])
        elif method == "sub":
            await answer(peer, number, result=self.subscribe(peer, params[0], mine))
        elif method == "range":
            topic, after, until = params
            self.publish(topic)
            end = self.newest[topic] if until is None else until
            missing = [[n, None] for n in range(after + 1, end + 1)]
            await answer(peer, number, result=missing)

    def subscribe(self, peer: ServerConnection, topic: str, mine: list[Any]) -> str:
        key = f"{topic}/{next(self.keys)}"
        self.note("sub", topic, time.monotonic())
        self.newest.setdefault(topic, self.count_of(topic))
        self.followers.setdefault(topic, {})[key] = peer
        mine.append((topic, key))
        return key

    async def execute(self, peer: ServerConnection, number: Any, param: int) -> None:
        self.note("did", param)
        how = fate(param)
        if how == "error":
            await answer(peer, number, error={"code": param, "message": "no"})
        elif how == "late":
            task = asyncio.create_task(self.answer_late(peer, number, param))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif how != "never":
            for _ in range(2 if how == "twice" else 1):
                await answer(peer, number, result=param)

    async def answer_late(
        self, peer: ServerConnection, number: Any, param: int
    ) -> None:
        await asyncio.sleep(random.uniform(0, self.late))
        with contextlib.suppress(ConnectionClosed):
            await answer(peer, number, result=param)

    async def count_up(self) -> None:
        """Let the topics go on."""
        while True:
            await asyncio.sleep(TICK)
            for topic in self.newest:
                self.publish(topic)

    def publish(self, topic: str) -> None:
        """Send what is new of a topic."""
        newest = self.count_of(topic)
        for number in range(self.newest[topic] + 1, newest + 1):
            for key, peer in tuple(self.followers[topic].items()):
                item = [number, time.monotonic_ns()]
                params = {"subscription": key, "result": item}
                news = {"jsonrpc": "2.0", "method": "news", "params": params}
                broadcast([peer], json.dumps(news))
        self.newest[topic] = newest


async def answer(peer: ServerConnection, number: Any, **what: Any) -> None:
    await peer.send(json.dumps({"jsonrpc": "2.0", "id": number, **what}))


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("ledger")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--began", type=float, default=time.time())
    parser.add_argument("--late", type=float, default=LATE)
    options = parser.parse_args()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    server = Server(os.open(options.ledger, flags, 0o600), options)
    async with serve(
        server.serve,
        "127.0.0.1",
        options.port,
        compression=None,
        max_queue=64,
        ping_interval=None,
    ):
        await server.count_up()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
