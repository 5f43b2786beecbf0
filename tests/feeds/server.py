"""A JSON-RPC server in a process of its own, which keeps a ledger of what it did.

``python -m tests.feeds.server PORT LEDGER [--rate ITEMS]``: on the websockets library.

It executes ``do`` and ``get``: a line with their number goes into the ledger before it
answers. Some are answered with an error, late, twice, or never, as their number says.
``sub TOPIC`` subscribes; each topic then counts up, ``--rate`` items a second, whoever
is connected, and ``range TOPIC AFTER UNTIL`` returns what was.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
from typing import Any

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed


#: Seconds between two looks at the clock of the topics.
TICK = 0.02


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

    def __init__(self, ledger: int, rate: float) -> None:
        self.ledger = ledger
        self.rate = rate
        self.newest: dict[str, int] = {}
        #: The keys of each topic, with their connections.
        self.followers: dict[str, dict[str, ServerConnection]] = {}
        self.keys = itertools.count(1)
        self.tasks: set[asyncio.Task[None]] = set()

    def note(self, *words: object) -> None:
        """Write a line into the ledger, all of it or nothing."""
        os.write(self.ledger, (" ".join(map(str, words)) + "\n").encode())

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
            key = f"{params[0]}/{next(self.keys)}"
            self.note("sub", params[0], asyncio.get_running_loop().time())
            self.newest.setdefault(params[0], 0)
            self.followers.setdefault(params[0], {})[key] = peer
            mine.append((params[0], key))
            await answer(peer, number, result=key)
        elif method == "range":
            topic, after, until = params
            end = self.newest[topic] if until is None else until
            await answer(peer, number, result=list(range(after + 1, end + 1)))
        else:
            await answer(peer, number, result=dict(self.newest))

    async def execute(self, peer: ServerConnection, number: Any, param: int) -> None:
        self.note("did", param)
        how = fate(param)
        if how == "error":
            await answer(peer, number, error={"code": param, "message": "no"})
        elif how == "late":
            task = asyncio.create_task(answer_late(peer, number, param))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif how != "never":
            for _ in range(2 if how == "twice" else 1):
                await answer(peer, number, result=param)

    async def count_up(self) -> None:
        """Let the topics go on."""
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        while True:
            await asyncio.sleep(TICK)
            due = int((loop.time() - began) * self.rate) - sent
            sent += due
            for topic in self.newest:
                self.publish(topic, due)

    def publish(self, topic: str, count: int) -> None:
        for _ in range(count):
            self.newest[topic] += 1
            for key, peer in tuple(self.followers[topic].items()):
                params = {"subscription": key, "result": self.newest[topic]}
                news = {"jsonrpc": "2.0", "method": "news", "params": params}
                broadcast([peer], json.dumps(news))


async def answer(peer: ServerConnection, number: Any, **what: Any) -> None:
    await peer.send(json.dumps({"jsonrpc": "2.0", "id": number, **what}))


async def answer_late(peer: ServerConnection, number: Any, param: int) -> None:
    await asyncio.sleep(random.uniform(0, 0.05))
    with contextlib.suppress(ConnectionClosed):
        await answer(peer, number, result=param)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("ledger")
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    server = Server(os.open(options.ledger, flags, 0o600), options.rate)
    async with serve(
        server.serve, "127.0.0.1", options.port, compression=None, max_queue=64
    ):
        await server.count_up()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
