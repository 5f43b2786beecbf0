"""Large messages in linear time, and floods that stay in bounds.

    python benchmarks/linear.py [--quick] [--write docs/linear.md]

First the parsers alone, fed in chunks of an exact size: one message of 16 MiB against
one of 1 MiB, text and binary, in one frame and in fragments (4,096 of the large one,
and as large ones of the small). Linear means a ratio of 1.0: sixteen times the bytes
in sixteen times the time. For chunks of one byte it is 1 MiB against 64 KiB, because
16 MiB of them take half a minute.

Then floods, of which each client gets one over a socket, in a process of its own: a
million empty fragments, pings, or unsolicited pongs, and a message at the end. What
counts is by how much the client's memory grew at its peak, and the longest time that
its event loop was held. CPU time of this process is what is measured everywhere else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib.metadata
import json
import pathlib
import platform
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from base64 import b64encode
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp.base_protocol import BaseProtocol

import resilient_ws
from resilient_ws.protocol.engine import Engine
from resilient_ws.testing.frames import frame


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


KIB: Final = 1024
MIB: Final = 1024 * 1024
US: Final = "resilient_ws"
CLIENTS: Final = (US, "aiohttp")
FRAGMENTS: Final = 4096
#: A byte, an Ethernet segment, and what one read of a socket gives.
CHUNKS: Final = (1, 1460, 64 * KIB, 256 * KIB)
LIMIT: Final = 64 * MIB
FLOOD: Final = 1_000_000
#: Seconds between two looks at the clock.
TICK: Final = 0.001


# --- the parsers alone ---------------------------------------------------------------


def body(kind: str, size: int) -> bytes:
    """Payload that does not repeat; a text has characters of one and two bytes."""
    if kind == "binary":
        return random.Random(size).randbytes(size)
    # Of odd length, so that fragments and chunks end within characters.
    pattern = "abcdefghé".encode() * 13
    return (pattern * (size // len(pattern) + 1))[: size - 1] + b"z"


def stream(kind: str, payload: bytes, step: int) -> bytes:
    """The frames of one message, of so many bytes each."""
    opcode = 1 if kind == "text" else 2
    starts = range(0, len(payload), step)
    return b"".join(
        frame(
            opcode if start == 0 else 0,
            payload[start : start + step],
            fin=start + step >= len(payload),
        )
        for start in starts
    )


def whole_characters(payload: bytes) -> bytes:
    """The payload without what is left of a character before its last byte."""
    text = payload[:-1].decode(errors="ignore").encode()
    return text + b"z" * (len(payload) - len(text))


def parse_ours(chunks: list[bytes]) -> object:
    engine, messages = Engine(max_message_size=LIMIT), list[Any]()
    for chunk in chunks:
        engine.receiver.receive(memoryview(chunk), messages.append, 1)
    [message] = messages
    return message


def parse_aiohttp(chunks: list[bytes]) -> object:
    loop = asyncio.new_event_loop()
    try:
        queue = WebSocketDataQueue(BaseProtocol(loop), LIMIT, loop=loop)
        reader = WebSocketReader(queue, LIMIT, compress=False, decode_text=True)
        for chunk in chunks:
            reader.feed_data(chunk)
        [(message, _)] = queue._buffer
        return message.data
    finally:
        loop.close()


PARSERS: Final[dict[str, Callable[[list[bytes]], object]]] = {
    US: parse_ours,
    "aiohttp": parse_aiohttp,
}


def seconds(client: str, kind: str, size: int, step: int, chunk: int) -> float:
    """The CPU time that a client's parser takes for one message: the least of some."""
    payload = body(kind, size)
    if kind == "text":
        payload = whole_characters(payload)
    data = stream(kind, payload, step)
    chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    expected: object = payload.decode() if kind == "text" else payload
    taken: list[float] = []
    # Short ones often, for they are the more disturbed.
    while len(taken) < 3 or (sum(taken) < 0.2 and len(taken) < 20):
        gc.collect()
        began = time.process_time()
        message = PARSERS[client](chunks)
        taken.append(time.process_time() - began)
        assert message == expected, f"{client} gave something else"
    return min(taken)


def compare_parsers(
    kind: str, size: int, step: int, chunk: int, *, turns: int
) -> dict[str, float]:
    """The least time of each parser, in turns, each turn in a process of its own.

    In one process each would find the heap as the other one left it, which can double
    the cost of a large message.
    """
    taken: dict[str, list[float]] = {client: [] for client in CLIENTS}
    for _ in range(turns):
        for client in CLIENTS:
            arguments = [client, kind, str(size), str(step), str(chunk)]
            done = subprocess.run(
                [sys.executable, __file__, "--parser", *arguments],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                timeout=120,
            )
            taken[client].append(float(done.stdout))
    return {client: min(costs) for client, costs in taken.items()}


def measure_parsers(*, quick: bool) -> list[dict[str, Any]]:
    rows = []
    chunks, turns = (CHUNKS[::2], 1) if quick else (CHUNKS, 2)
    for kind in ("text", "binary"):
        for fragments in (1, FRAGMENTS):
            for chunk in chunks:
                large, small = (16 * MIB, MIB) if chunk > 1 else (MIB, 64 * KIB)
                if quick:
                    large, small = large // 16, small // 16
                step = large // fragments
                row: dict[str, Any] = {
                    "kind": kind,
                    "frames": fragments,
                    "chunk": chunk,
                    "small": small,
                    "large": large,
                }
                short = compare_parsers(kind, small, step, chunk, turns=turns)
                long = compare_parsers(kind, large, step, chunk, turns=turns)
                for client in CLIENTS:
                    row[client] = {
                        "small": short[client],
                        "large": long[client],
                        "ratio": long[client] / short[client] / (large / small),
                    }
                rows.append(row)
    return rows


# --- floods, from this process to a client in another --------------------------------

FLOODS: Final = {
    "empty fragments": (
        frame(1, b"", fin=False),
        frame(0, b"", fin=False),
        frame(0, b"done"),
    ),
    "pings": (b"", frame(9, b""), frame(1, b"done")),
    "unsolicited pongs": (b"", frame(10, b""), frame(1, b"done")),
}


def serve_flood(listener: socket.socket, flood: str, count: int) -> None:
    """Flood one client, while what it answers is read and forgotten."""
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += connection.recv(4096)
        lines = request.decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines)
        [key] = [v.strip() for k, _, v in fields if k.lower() == "sec-websocket-key"]
        answer = sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
            + b64encode(answer.digest())
            + b"\r\n\r\n"
        )
        # The client begins, so that its handshake is not part of it.
        connection.recv(4096)
        drain = threading.Thread(target=forget, args=(connection,), daemon=True)
        drain.start()
        first, item, last = FLOODS[flood]
        connection.sendall(first)
        for sent in range(0, count, 10_000):
            connection.sendall(item * min(10_000, count - sent))
        connection.sendall(last + frame(8, b"\x03\xe8"))
        connection.shutdown(socket.SHUT_WR)
        drain.join(60.0)


def forget(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while connection.recv(256 * KIB):
            pass


class Ticker:
    """Looks at the clock, and so notices when the loop is held."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._tick()

    def _tick(self) -> None:
        self._due = self.look() + TICK
        self._loop.call_at(self._due, self._tick)

    def look(self) -> float:
        """Count what the loop is late by now; return the time."""
        now = self._loop.time()
        self.longest = max(self.longest, now - self._due)
        return now


async def wait_ours(url: str) -> dict[str, Any]:
    session = resilient_ws.connect(url, max_message_size=LIMIT, compression=None)
    async with session:
        before, ticker, began = begin()
        await session.send("go")
        message = await session.receive()
        return results(message, before, ticker, began)


async def wait_aiohttp(url: str) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url, max_msg_size=LIMIT) as link,
    ):
        before, ticker, began = begin()
        await link.send_str("go")
        message = await link.receive()
        return results(message.data, before, ticker, began)


def memory(name: str) -> int:
    """A figure of this process from the kernel, in bytes.

    Not getrusage's: its peak is inherited from the process that started this one.
    """
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * KIB


def begin() -> tuple[int, Ticker, float]:
    """Let the peak of memory begin at what is in use now, and start the clocks."""
    gc.collect()
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS"), Ticker(), time.process_time()


def results(
    message: object, before: int, ticker: Ticker, began: float
) -> dict[str, Any]:
    # This may have been woken in the very turn that was the longest.
    ticker.look()
    return {
        "ended": "done" if message == "done" else f"gave up: {message}",
        "memory": memory("VmHWM") - before,
        "held": ticker.longest,
        "cpu": time.process_time() - began,
    }


WAIT: Final[dict[str, Callable[[str], Any]]] = {US: wait_ours, "aiohttp": wait_aiohttp}


def flood_client(client: str, flood: str, count: int) -> dict[str, Any]:
    """Run a client in a process of its own, and flood it from here."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        server = threading.Thread(
            target=serve_flood, args=(listener, flood, count), daemon=True
        )
        server.start()
        done = subprocess.run(
            [sys.executable, __file__, "--client", client, "--url", url],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=120,
        )
        server.join(5.0)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_floods(*, quick: bool) -> list[dict[str, Any]]:
    count, rounds = (20_000, 1) if quick else (FLOOD, 3)
    rows = []
    for flood in FLOODS:
        for client in CLIENTS:
            runs = [flood_client(client, flood, count) for _ in range(rounds)]
            row: dict[str, Any] = {"flood": flood, "client": client, "count": count}
            row["ended"] = runs[0]["ended"]
            for name in ("memory", "held", "cpu"):
                row[name] = statistics.median(run[name] for run in runs)
            rows.append(row)
    return rows


# --- what is written -----------------------------------------------------------------


def size_of(count: int) -> str:
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count:,} B"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def slower(rows: list[dict[str, Any]]) -> str:
    """What costs more than aiohttp does, the worst first, in sentences."""
    ratios = [(row[US]["large"] / row["aiohttp"]["large"], row) for row in rows]
    worst = sorted((it for it in ratios if it[0] > 1), key=lambda it: -it[0])
    items = [
        f"- {row['kind']}, {size_of(row['large'])} in {row['frames']:,} frame"
        f"{'s' if row['frames'] > 1 else ''}, chunks of {size_of(row['chunk'])}:"
        f" {ratio:.2f} times aiohttp's time"
        for ratio, row in worst
    ]
    head = f"Slower than aiohttp's parser in {len(worst)} of {len(rows)} rows"
    return f"{head}:\n\n" + "\n".join(items) if items else f"{head}."


def parser_table(rows: list[dict[str, Any]]) -> Iterator[list[str]]:
    yield [
        "message",
        "frames",
        "chunks of",
        "sizes",
        *(f"{client}: ms, ratio" for client in CLIENTS),
    ]
    for row in rows:
        costs = [
            f"{row[client]['small'] * 1e3:.2f} → {row[client]['large'] * 1e3:.1f},"
            f" **{row[client]['ratio']:.2f}**"
            for client in CLIENTS
        ]
        sizes = f"{size_of(row['small'])} → {size_of(row['large'])}"
        chunk = size_of(row["chunk"])
        yield [row["kind"], f"{row['frames']:,}", chunk, sizes, *costs]


def flood_table(rows: list[dict[str, Any]]) -> Iterator[list[str]]:
    yield ["flood", "client", "ended", "memory grew by", "loop held for", "CPU"]
    for row in rows:
        yield [
            f"{row['count']:,} {row['flood']}",
            row["client"],
            row["ended"],
            f"{row['memory'] / MIB:.1f} MiB",
            f"{row['held'] * 1e3:.0f} ms",
            f"{row['cpu']:.2f} s",
        ]


def page(parsers: list[dict[str, Any]], floods: list[dict[str, Any]]) -> str:
    version = importlib.metadata.version
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"""# Linear in what it receives

Written by `make linear` with {python} and aiohttp {version("aiohttp")}.

{slower(parsers)}

## Large messages

CPU time of the parser alone for one message of each of two sizes, fed in chunks of an
exact size; the least of at least six runs, in two processes of its own that take turns
with aiohttp's. The ratio is 1.00 when sixteen times the bytes take sixteen times the
time; below, a fixed cost weighs on the small message. Fragments are as large in the
small message as in the large one, which has 4,096.
aiohttp's parser is compiled, ours is Python: what each chunk costs by itself weighs
where chunks are small. A text is decoded with each chunk, so that it is refused as soon
as it cannot become UTF-8; aiohttp does it once, at the end.

{markdown(list(parser_table(parsers)))}

## Floods

One connection over loopback, with a message at the end, each client in a process of
its own; the median of three. Memory is the peak of the
resident size above what it was before.

{markdown(list(flood_table(floods)))}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="some of it, smaller")
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    parser.add_argument("--json", type=pathlib.Path, help="a file for the figures")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--parser", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.parser is not None:
        client, kind, *numbers = options.parser
        print(seconds(client, kind, *map(int, numbers)))
        return
    if options.client is not None:
        print(json.dumps(asyncio.run(WAIT[options.client](options.url))))
        return
    parsers = measure_parsers(quick=options.quick)
    floods = measure_floods(quick=options.quick)
    text = page(parsers, floods)
    print(text)
    if options.write is not None:
        options.write.parent.mkdir(exist_ok=True)
        options.write.write_text(text)
    if options.json is not None:
        figures = {"parsers": parsers, "floods": floods}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
