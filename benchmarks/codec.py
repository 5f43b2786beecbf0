"""What ``resilient_ws.codec`` costs a message beside decoding by hand.

The command: ``python -m benchmarks.codec [--write docs/codec-speed.md]``. A server in a
process of its own sends the same messages to each way in turn; what counts is the CPU
time of the client a message, from the socket to the decoded object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pathlib
import platform
import statistics
import struct
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pydantic
from websockets.asyncio.server import ServerConnection, serve

import resilient_ws
from benchmarks.ways import batched, coded, iterated
from resilient_ws import Inbox, Reconnect
from resilient_ws.codec import JSON, of
from tests.servers.process import ServerProcess


if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.ways import Way


MESSAGES: Final = 100_000
ROUNDS: Final = 7
_AT_ONCE: Final = 500


class Trade(msgspec.Struct, tag="trade"):
    symbol: str
    price: float
    size: float
    at: int


class Book(msgspec.Struct, tag="book"):
    symbol: str
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


class TradeModel(pydantic.BaseModel):
    type: str
    symbol: str
    price: float
    size: float
    at: int


class BookModel(pydantic.BaseModel):
    type: str
    symbol: str
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


def message(number: int) -> str:
    """Return a trade, or every tenth time a book."""
    if number % 10:
        item = {"type": "trade", "symbol": "BTC-EUR", "price": 91234.5, "size": 0.25}
        return json.dumps({**item, "at": number})
    level = [[91234.5 + step, 0.5] for step in range(5)]
    book = {"type": "book", "symbol": "BTC-EUR", "bids": level, "asks": level}
    return json.dumps(book)


def frame(text: str) -> bytes:
    data = text.encode()
    if len(data) < 126:
        return struct.pack("!BB", 0x81, len(data)) + data
    return struct.pack("!BBH", 0x81, 126, len(data)) + data


async def server(port: int) -> None:
    frames = [frame(message(number)) for number in range(MESSAGES)]
    pieces = [
        b"".join(frames[start : start + _AT_ONCE])
        for start in range(0, MESSAGES, _AT_ONCE)
    ]

    async def send_all(connection: ServerConnection) -> None:
        await connection.recv()
        for piece in pieces:
            # Frames made beforehand: the server must not be what is measured.
            connection.transport.write(piece)
            await connection.drain()
        await connection.recv()

    async with serve(send_all, "127.0.0.1", port, compression=None):
        await asyncio.Event().wait()


# The ways.


_TYPED: Final = msgspec.json.Decoder(Trade | Book).decode
_MODELS: Final[Any] = pydantic.TypeAdapter(TradeModel | BookModel).validate_json

WAYS: Final[Mapping[str, Mapping[str, Way]]] = {
    "not decoded": {"by hand, `async for`": iterated(len)},
    "json": {
        "by hand, `async for`": iterated(json.loads),
        "by hand, `receive_many`": batched(json.loads),
        "`Coded(session, JSON)`": coded(JSON),
    },
    "msgspec": {
        "by hand, `async for`": iterated(_TYPED),
        "by hand, `receive_many`": batched(_TYPED),
        "`Coded(session, of(Trade, Book))`": coded(of(Trade, Book)),
    },
    "pydantic": {
        "by hand, `async for`": iterated(_MODELS),
        "by hand, `receive_many`": batched(_MODELS),
        "`Coded(session, of(TradeModel, BookModel))`": coded(of(TradeModel, BookModel)),
    },
}


async def measured(url: str, way: Way) -> float:
    """Return the CPU time of one run, in microseconds a message."""
    async with resilient_ws.connect(
        url,
        compression=None,
        reconnect=Reconnect.once(),
        inbox=Inbox(max_messages=4 * _AT_ONCE),
    ) as session:
        await session.send("go")
        began = time.process_time()
        await way(session, MESSAGES)
        used = time.process_time() - began
        await session.send("done")
    return used / MESSAGES * 1e6


async def run() -> dict[tuple[str, str], list[float]]:
    """Measure each way in turn, several times."""
    found: dict[tuple[str, str], list[float]] = {}
    command = [sys.executable, "-m", "benchmarks.codec", "--server", "{port}"]
    async with ServerProcess(command) as process:
        for _ in range(ROUNDS):
            for decoder, ways in WAYS.items():
                for name, way in ways.items():
                    spent = await measured(process.url, way)
                    found.setdefault((decoder, name), []).append(spent)
    return found


def page(found: Mapping[tuple[str, str], list[float]]) -> str:
    size = statistics.mean(len(message(number)) for number in range(100))
    how = (
        "CPU time of the client a message, from the socket to the decoded object: "
        f"the median of {ROUNDS} alternating runs of {MESSAGES:,} messages, and the "
        f"least and the most. A message has {size:.0f} bytes on average; every tenth "
        "is a book of ten levels, the others are trades."
    )
    packages = (f"{name} {version(name)}" for name in ("msgspec", "pydantic"))
    versions = ", ".join((f"Python {platform.python_version()}", *packages))
    lines = [
        "# The cost of a codec",
        "",
        "Written by `make bench-codec`. Do not edit: it is overwritten.",
        "",
        how,
        "",
        f"{versions}, {platform.system()} {platform.machine()}.",
        "",
        "| decoder | way | µs a message | least to most |",
        "| --- | --- | ---: | --- |",
    ]
    for (decoder, name), times in found.items():
        lines.append(
            f"| {decoder} | {name} | {statistics.median(times):.2f} | "
            f"{min(times):.2f} to {max(times):.2f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.codec")
    parser.add_argument("--server", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=pathlib.Path, help="the page to write")
    options = parser.parse_args()
    if options.server is not None:
        asyncio.run(server(options.server))
        return
    text = page(asyncio.run(run()))
    print(text)
    if options.write is not None:
        options.write.write_text(text)


if __name__ == "__main__":
    main()
