"""A server that floods a client with nonsense: ``python -m tests.feeds.flood``.

It is a process of its own, and sends a good item among each hundred messages that are
of no use. All the good ones must arrive in order, each of the others must be counted,
and the memory of the client must not grow. It ends with 1 if that is not so.

``python -m tests.feeds.flood --serve PORT`` is the server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any

import attrs
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import resilient_ws
from resilient_ws.feeds.jsonrpc import Client
from tests.feeds.hostile import MESSAGES
from tests.servers.process import ServerProcess


if TYPE_CHECKING:
    from collections.abc import Callable


def _item(key: str, value: Any) -> str:
    params = {"subscription": key, "result": value}
    return json.dumps({"jsonrpc": "2.0", "method": "news", "params": params})


def _request(number: int, method: str) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": [1]})


PADDING = "x" * 200

#: What comes between the good items, by a number that counts up.
FLOODS: dict[str, Callable[[int], str]] = {
    "items for nobody": lambda n: _item(f"k{n}", PADDING),
    "answers for nobody": lambda n: json.dumps({"id": n + 10**6, "result": PADDING}),
    "methods that are not there": lambda n: _request(n, "__class__"),
    "methods that take their time": lambda n: _request(n, "slow"),
    "methods that fail": lambda n: _request(n, "fail"),
    "batches of nonsense": lambda n: json.dumps([n, None, {}, [], "x"] * 20),
    "nonsense": lambda n: _sendable(MESSAGES[n % len(MESSAGES)]),
}
#: Items whose subscription may still come are held for a while before they count.
EARLY = 256
#: A good item follows each so many.
EACH = 100


def _sendable(text: str) -> str:
    """Return a message that a server can send: text is UTF-8."""
    return text.encode(errors="replace").decode()


# The server.


async def flood(peer: ServerConnection, name: str, count: int) -> None:
    """Answer the subscription, and pour out the flood; read nothing meanwhile."""
    request = json.loads(await peer.recv())
    # Items of the subscription before its answer.
    await peer.send(_item("mine", 0))
    await peer.send(json.dumps({"id": request["id"], "result": "mine"}))
    for number in range(1, count + 1):
        await peer.send(FLOODS[name](number))
        if number % EACH == 0:
            await peer.send(_item("mine", number // EACH))
    await peer.wait_closed()


async def serve_floods(port: int, count: int) -> None:
    names = list(FLOODS)

    async def handle(peer: ServerConnection) -> None:
        assert peer.request is not None
        name = names[int(peer.request.path.strip("/"))]
        with contextlib.suppress(ConnectionClosed):
            await flood(peer, name, count)

    async with serve(handle, "127.0.0.1", port, compression=None, max_queue=1):
        await asyncio.Event().wait()


# The client.


@attrs.define
class Seen:
    """What a flood did to a client."""

    name: str
    items: list[Any]
    seconds: float
    #: KiB of resident memory after a quarter of the flood, and after all of it.
    memory: list[int]
    statistics: Any

    def faults(self, count: int) -> list[str]:
        """Return what was wrong."""
        faults = []
        if self.items != list(range(count // EACH + 1)):
            faults.append(f"{self.name}: the good items are {self.items}")
        grown = self.memory[-1] - self.memory[0]
        if grown > 4096:
            faults.append(f"{self.name}: the memory grew by {grown} KiB")
        now = self.statistics
        counted = now.unknown + now.unexpected + now.malformed
        if self.name.startswith("methods"):
            # Those in the making and those that wait are bounded.
            if counted:
                faults.append(f"{self.name}: {counted} were odd")
        elif counted < count - (5 * count // len(MESSAGES)) - EARLY:
            faults.append(f"{self.name}: only {counted} of {count} were counted")
        return faults

    def __str__(self) -> str:
        now = self.statistics
        return (
            f"{self.name:30} {self.seconds:5.1f} s, memory {self.memory} KiB, unknown "
            f"{now.unknown}, unexpected {now.unexpected}, malformed {now.malformed}, "
            f"outgoing dropped {now.outgoing_dropped}"
        )


async def endure(server: ServerProcess, number: int, name: str, count: int) -> Seen:
    """Follow the good items through one flood."""
    session = resilient_ws.connect(f"{server.url}/{number}", compression=None)
    client = Client(session)
    client.method("slow", _slow)
    client.method("fail", _fail)
    items: list[Any] = []
    memory: list[int] = []
    began = time.perf_counter()
    async with client:
        async for item in await client.subscribe("mine"):
            items.append(item)
            if item in {count // EACH // 4, count // EACH}:
                memory.append(_memory())
            if item == count // EACH:
                break
        seconds = time.perf_counter() - began
        return Seen(name, items, seconds, memory, client.channel.statistics())


async def _slow(_: int) -> str:
    await asyncio.sleep(60)
    return PADDING


def _fail(_: int) -> str:
    raise KeyError(PADDING)


def _memory() -> int:
    """Resident memory now, in KiB."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * 4


async def endure_all(count: int) -> tuple[list[Seen], list[str]]:
    """Endure every flood; return what was seen, and what was wrong."""
    command = [sys.executable, "-m", "tests.feeds.flood", "--serve", "{port}"]
    async with ServerProcess([*command, "--count", str(count)]) as server:
        seen = [
            await endure(server, number, name, count)
            for number, name in enumerate(FLOODS)
        ]
    return seen, [fault for one in seen for fault in one.faults(count)]


def main() -> int:
    """Run, and tell."""
    parser = argparse.ArgumentParser(prog="tests.feeds.flood", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--serve", type=int, help="a port")
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve_floods(options.serve, options.count))
        return 0
    logging.getLogger("resilient_ws").setLevel(logging.CRITICAL)
    seen, faults = asyncio.run(endure_all(options.count))
    print(*seen, *faults, f"{len(faults)} faults", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
