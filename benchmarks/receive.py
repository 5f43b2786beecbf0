"""Client CPU per received message, beside aiohttp, websockets and picows.

    python benchmarks/receive.py [--messages 100000] [--rounds 7] [--loop uvloop]

A server in a process of its own writes the same prebuilt frames, in the same chunks,
to every library, as fast as the socket takes them; only the CPU time of this process
counts, from the request to the last message. A round has each library once, in an
order that turns round with every round, and a ratio is taken within a round. Each
message is compared with what was sent, inside the timed part, at the same cost for
all. resilient_ws runs with its defaults (liveness, statistics, bounded inbox) and an
event callback; compression is off for all; aiohttp and websockets run with their
defaults otherwise. picows has callbacks alone, and so is measured with the queue that
its user would reach for, asyncio's, and with the leanest there is, a bare deque.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gc
import importlib.metadata
import importlib.util
import itertools
import json
import pathlib
import platform
import socket
import statistics
import subprocess
import sys
import time
from base64 import b64encode
from collections import deque
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import aiohttp
import websockets.asyncio.client

import resilient_ws


if TYPE_CHECKING or importlib.util.find_spec("picows") is not None:
    import picows
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Receive: TypeAlias = (
    "Callable[[str, Callable[[], str], int, Stopwatch], Awaitable[None]]"
)

US: Final = "resilient_ws"
SIZES: Final = (64, 256, 1024)
#: (message size, peer): how many times our CPU the peer's has to be, at least.
TARGETS: Final = {
    (64, "aiohttp"): 2.0,
    (64, "websockets"): 4.0,
    (64, "picows"): 1.0,
    (1024, "aiohttp"): 1.3,
    (1024, "websockets"): 4.0,
    (1024, "picows"): 0.85,
}
#: How many different messages there are; they come round and round.
VARIETY: Final = 64
CHUNK: Final = 256 * 1024


def texts(size: int) -> list[str]:
    return [f"{number:<{size}}" for number in range(VARIETY)]


# --- the server, in its own process ------------------------------------------


def serve() -> None:
    """Serve one client after another until the standard input ends with its owner."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                serve_one(connection)


def serve_one(connection: socket.socket) -> None:
    """Shake hands, wait for a message, send what the path asks for, say goodbye."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += connection.recv(4096) or b"\r\n\r\n"
    if not request.startswith(b"GET /"):
        return
    lines = request.decode().split("\r\n")
    _, size, count = lines[0].split()[1].split("/")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:-2])
    keys = [line.split(": ", 1)[1] for line in lines if "websocket-key" in line.lower()]
    assert "websocket" in fields["upgrade"]
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept(keys[0]) + b"\r\n\r\n"
    )
    chunks = chunks_of(int(size), int(count))
    connection.recv(4096)
    for chunk in chunks:
        connection.sendall(chunk)
    connection.recv(4096)
    connection.sendall(bytes.fromhex("880203e8"))


def accept(key: str) -> bytes:
    return b64encode(
        sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    )


def chunks_of(size: int, count: int) -> list[bytes]:
    """Whole frames, a chunk at a time; most chunks are one object."""
    frames = [frame(text.encode()) for text in texts(size)]
    laps = max(1, CHUNK // sum(map(len, frames)))
    full, rest = divmod(count, laps * VARIETY)
    last = b"".join(itertools.islice(itertools.cycle(frames), rest))
    return [b"".join(frames * laps)] * full + [last]


def frame(payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([0x81, size]) if size < 126 else b"\x81\x7e" + size.to_bytes(2)
    return head + payload


class Server:
    """The other process, and where it listens."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def url(self, size: int, count: int) -> str:
        return f"ws://127.0.0.1:{self._port}/{size}/{count}"


# --- the clients --------------------------------------------------------------


class Stopwatch:
    """The CPU time of this process, the kernel's on its behalf included."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        gc.collect()
        self._began = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds = time.process_time() - self._began


async def take(
    messages: AsyncIterator[object], expected: Callable[[], str], count: int
) -> None:
    async for message in messages:
        if message != expected():
            raise AssertionError("a message arrived changed, or not at all")
        count -= 1
        if not count:
            return
    raise AssertionError(f"{count} messages did not arrive")


async def receive_resilient_ws(
    url: str, expected: Callable[[], str], count: int, watch: Stopwatch
) -> None:
    session = resilient_ws.connect(url, compression=None)
    session.on(resilient_ws.ConnectionDropped, print)
    async with session:
        with watch:
            await session.send("go")
            await take(aiter(session), expected, count)
        received = session.statistics().messages_received
        assert received == count, f"{received} messages were counted"


async def receive_aiohttp(
    url: str, expected: Callable[[], str], count: int, watch: Stopwatch
) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket_:
        with watch:
            await socket_.send_str("go")
            # As take() does, but that the text has to be taken out of a tuple.
            async for message in socket_:
                if message.data != expected():
                    raise AssertionError("a message arrived changed, or not at all")
                count -= 1
                if not count:
                    break
        assert not count, f"{count} messages did not arrive"


async def receive_websockets(
    url: str, expected: Callable[[], str], count: int, watch: Stopwatch
) -> None:
    connect = websockets.asyncio.client.connect
    async with connect(url, compression=None, proxy=None) as socket_:
        with watch:
            await socket_.send("go")
            await take(aiter(socket_), expected, count)


class LeanQueue:
    """The shortest way from a callback to a waiting consumer: unbounded, no checks."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def put_nowait(self, message: str) -> None:
        self._waiting.append(message)
        if self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None

    async def get(self) -> str:
        while not self._waiting:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._waiting.popleft()


async def receive_picows(
    url: str,
    expected: Callable[[], str],
    count: int,
    watch: Stopwatch,
    *,
    queue_of: type[LeanQueue | asyncio.Queue[str]] = asyncio.Queue,
) -> None:
    queue = queue_of()

    class Listener(picows.WSListener):
        def on_ws_frame(self, _: picows.WSTransport, frame: picows.WSFrame) -> None:
            queue.put_nowait(frame.get_payload_as_utf8_text())

    transport, _ = await picows.ws_connect(Listener, url)
    with watch:
        transport.send(picows.WSMsgType.TEXT, b"go")
        for _ in range(count):
            if await queue.get() != expected():
                raise AssertionError("a message arrived changed, or not at all")
    transport.disconnect()
    await transport.wait_disconnected()


LIBRARIES: Final[dict[str, Receive]] = {
    US: receive_resilient_ws,
    "aiohttp": receive_aiohttp,
    "websockets": receive_websockets,
}
if importlib.util.find_spec("picows") is not None:
    LIBRARIES["picows"] = receive_picows
    LIBRARIES["picows, deque"] = functools.partial(receive_picows, queue_of=LeanQueue)


# --- the comparison -------------------------------------------------------------


async def measure(library: str, url: str, size: int, count: int) -> float:
    """Return the microseconds of CPU that one message cost."""
    watch = Stopwatch()
    expected = itertools.cycle(texts(size)).__next__
    await LIBRARIES[library](url, expected, count, watch)
    return watch.seconds / count * 1e6


def compare(
    server: Server, size: int, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Return the microseconds per message of each library in each round."""
    factory: Any = asyncio.new_event_loop
    if options.loop == "uvloop":
        import uvloop  # noqa: PLC0415 - an extra

        factory = uvloop.new_event_loop
    taken: dict[str, list[float]] = {name: [] for name in LIBRARIES}
    with asyncio.Runner(loop_factory=factory) as runner:
        for round_ in range(-1, options.rounds):
            names = list(LIBRARIES)
            # The first round warms up, with a tenth of the messages.
            count = options.messages if round_ >= 0 else options.messages // 10 + 1
            for name in names if round_ % 2 else reversed(names):
                url = server.url(size, count)
                cost = runner.run(measure(name, url, size, count))
                if round_ >= 0:
                    taken[name].append(cost)
    return taken


def judge(size: int, taken: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Return one row per library: median, spread, ratio and verdict."""
    rows = []
    for name, costs in taken.items():
        ratio = statistics.median(
            peer / ours for ours, peer in zip(taken[US], costs, strict=True)
        )
        target = TARGETS.get((size, name))
        rows.append(
            {
                "size": size,
                "library": name,
                "microseconds": statistics.median(costs),
                "least": min(costs),
                "most": max(costs),
                "ratio": ratio,
                "target": target,
                "met": None if target is None else ratio >= target,
            }
        )
    return rows


def show(row: dict[str, Any]) -> str:
    verdict = {None: "", True: "met", False: "missed"}[row["met"]]
    target = "" if row["target"] is None else f">= {row['target']:.2f}x"
    ratio = "" if row["library"] == US else f"{row['ratio']:.2f}x"
    return (
        f"{row['size']:>6}  {row['library']:<14}{row['microseconds']:>8.2f}"
        f"   {row['least']:>6.2f} - {row['most']:<6.2f}"
        f"{ratio:>8}  {target:<9} {verdict}"
    ).rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--messages", type=int, default=100_000, help="per library")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--json", type=pathlib.Path, help="a file for the figures")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in LIBRARIES
        if "," not in name
    )
    print(
        f"{platform.python_implementation()} {platform.python_version()},"
        f" {options.loop}; {versions};\n{options.messages} text messages,"
        f" {options.rounds} rounds; client CPU per message, median and range\n"
    )
    print(f"{'bytes':>6}  {'library':<14}{'µs':>8}   {'range':<15}{'ratio':>8}  target")
    rows: list[dict[str, Any]] = []
    with Server() as server:
        for size in SIZES:
            rows += judge(size, compare(server, size, options))
            print("\n".join(show(row) for row in rows if row["size"] == size))
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
