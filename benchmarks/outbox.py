"""The outbox on disk beside persist-queue and litequeue, and in memory.

    python benchmarks/outbox.py [--write docs/outbox.md] [--rounds 5] [--quick]

All keep a message in SQLite with the same durability, which is read back from each
connection. In every round each library has its turn, in an order that turns round; what
comes out is compared with what went in before a figure counts. A rate is of wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gc
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import litequeue
import persistqueue

import resilient_ws
from resilient_ws.testing import frames


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


Figures: TypeAlias = dict[str, float]

SIZE: Final = 64
SENDERS: Final = 100
IN_MEMORY: Final = 100_000
#: Messages a second out of memory, and seconds that the loop may be held up.
MEMORY_RATE: Final = 100_000
LONGEST_TURN: Final = 0.020

PERSIST: Final = "persist-queue, SQLiteQueue"
PERSIST_ACK: Final = "persist-queue, SQLiteAckQueue"
LITE: Final = "litequeue"
AT_MOST: Final = "resilient_ws, at most once"
AT_LEAST: Final = "resilient_ws, at least once"
#: Whom each of ours is compared with: as few commits for a message, and as many.
RIVALS: Final = {AT_MOST: (PERSIST,), AT_LEAST: (PERSIST_ACK, LITE)}

_SCHEDSTAT: Final = pathlib.Path("/proc/thread-self/schedstat")
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def text_of(number: int) -> str:
    return f"{number:<{SIZE}}"


def check(numbers: Sequence[int], count: int, senders: int) -> None:
    """Raise unless all are there once, those of each sender in their order."""
    if sorted(numbers) != list(range(count)):
        raise AssertionError(f"{len(numbers)} messages of {count} came out, or others")
    for sender in range(senders):
        own = [number for number in numbers if number % senders == sender]
        if own != sorted(own):
            raise AssertionError(f"the messages of sender {sender} changed their order")


# --- a server in a process of its own ---------------------------------------------


async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take as many messages as the path says; say how long that took, and which."""
    request = await reader.readuntil(b"\r\n\r\n")
    _, answers, count = request.split(b" ")[1].decode().split("/")
    [key] = [
        line.split(b": ")[1]
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key")
    ]
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    began = time.monotonic()
    client = frames.ClientFrames()
    numbers: list[int] = []

    def parse(data: bytes) -> None:
        for opcode, payload in client.feed(data):
            if opcode == frames.TEXT:
                numbers.append(int(payload))
            elif opcode == frames.PING:
                writer.write(frames.frame(frames.PONG, payload))

    if answers == "bulk":
        # Parsed afterwards: parsing costs more than the outbox does.
        chunks: list[bytes] = []
        missing = int(count) * (2 + 4 + SIZE)
        while missing > 0:
            chunks.append(await reader.read(1 << 20))
            missing -= len(chunks[-1])
        took = time.monotonic() - began
        for chunk in chunks:
            parse(chunk)
    else:
        while len(numbers) < int(count):
            parse(await reader.read(1 << 20))
        took = time.monotonic() - began
    writer.write(frames.message(json.dumps({"took": took, "numbers": numbers})))
    while (data := await reader.read(1 << 16)) and b"\x88" not in data[:1]:
        parse(data)
    writer.write(frames.close_frame(1000))
    writer.close()


async def serve() -> None:
    server = await asyncio.start_server(take, "127.0.0.1", 0, limit=1 << 22)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Server:
    """The other process."""

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

    def url(self, answers: str, count: int) -> str:
        return f"ws://127.0.0.1:{self._port}/{answers}/{count}"


# --- ours -------------------------------------------------------------------------


def waited() -> float:
    """The seconds for which this thread was ready to run and others did instead."""
    try:
        return int(_SCHEDSTAT.read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


class Turns:
    """The longest turn of the loop, by a callback that is in every one of them.

    On a busy machine a turn takes long because other programs run: ``own`` leaves out
    the time that the scheduler gave to them. Waiting for the store's thread is in it.
    """

    def __init__(self) -> None:
        self.wall = 0.0
        self.own = 0.0

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._last = time.perf_counter()
        self._last_waited = waited()
        self._handle = self._loop.call_soon(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.cancel()

    def _look(self) -> None:
        now, others = time.perf_counter(), waited()
        took = now - self._last
        self.wall = max(self.wall, took)
        self.own = max(self.own, took - (others - self._last_waited))
        self._last, self._last_waited = time.perf_counter(), others
        self._handle = self._loop.call_soon(self._look)


async def through_session(
    server: Server,
    store: resilient_ws.MemoryStore | resilient_ws.SQLiteStore,
    *,
    count: int,
    senders: int,
    answers: str = "bulk",
) -> Figures:
    """Send while offline, then open; return what both cost."""
    gate = asyncio.Event()

    async def where(_: resilient_ws.Attempt) -> str:
        await gate.wait()
        return server.url(answers, count)

    again = answers == "pongs"
    outbox = resilient_ws.Outbox(
        store=store,
        max_messages=count,
        max_bytes=1 << 30,
        confirm="pong" if again else "write",
        resend=again,
    )
    session = resilient_ws.connect(
        where,
        outbox=outbox,
        wait_open=False,
        compression=None,
        timeouts=resilient_ws.Timeouts(open=3600),
        max_message_size=None,
    )

    async def sends(sender: int) -> None:
        for number in range(sender, count, senders):
            await session.send(text_of(number))

    async with session:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        began = time.monotonic()
        await asyncio.gather(*map(sends, range(senders)))
        accepted = count / (time.monotonic() - began)
        grown = tracemalloc.get_traced_memory()[0] - before
        gc.collect()
        with Turns() as turns:
            gate.set()
            said = json.loads(await session.receive())
        check(said["numbers"], count, senders)
    return {
        "accepted": accepted,
        "drained": count / said["took"],
        "turn": turns.own,
        "turn_wall": turns.wall,
        "memory": grown / count,
    }


def ours(server: Server, folder: pathlib.Path, answers: str, **sizes: int) -> Figures:
    store = resilient_ws.SQLiteStore(folder / "outbox.db", max_file_size=1 << 30)
    return asyncio.run(through_session(server, store, answers=answers, **sizes))


# --- theirs -----------------------------------------------------------------------


def theirs(
    put: Callable[[str], object],
    pop: Callable[[], str | None],
    *,
    count: int,
    senders: int,
) -> Figures:
    """Put from as many threads as there are senders, then pop from one."""

    def sends(sender: int) -> None:
        for number in range(sender, count, senders):
            put(text_of(number))

    threads = [threading.Thread(target=sends, args=(one,)) for one in range(senders)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = count / (time.monotonic() - began)
    numbers: list[int] = []
    began = time.monotonic()
    while (text := pop()) is not None:
        numbers.append(int(text))
    drained = count / (time.monotonic() - began)
    check(numbers, count, senders)
    return {"accepted": accepted, "drained": drained}


def persist_queue(folder: pathlib.Path, **sizes: int) -> Figures:
    queue = persistqueue.SQLiteQueue(str(folder), multithreading=True)

    def pop() -> str | None:
        try:
            return str(queue.get(block=False))
        except persistqueue.Empty:
            return None

    with contextlib.closing(queue):
        return theirs(queue.put, pop, **sizes)


def persist_ack_queue(folder: pathlib.Path, **sizes: int) -> Figures:
    queue = persistqueue.SQLiteAckQueue(str(folder), multithreading=True)

    def pop() -> str | None:
        try:
            text = queue.get(block=False)
        except persistqueue.Empty:
            return None
        queue.ack(text)
        return str(text)

    with contextlib.closing(queue):
        return theirs(queue.put, pop, **sizes)


def lite_queue(folder: pathlib.Path, **sizes: int) -> Figures:
    queue = litequeue.LiteQueue(folder / "queue.db")
    # It sets NORMAL, which may lose what was accepted when the power fails.
    queue.conn.execute("PRAGMA synchronous = FULL")

    def pop() -> str | None:
        message = queue.pop()
        if message is None:
            return None
        queue.done(message.message_id)
        return str(message.data)

    try:
        return theirs(queue.put, pop, **sizes)
    finally:
        queue.close()


# --- what each does for durability --------------------------------------------------


def _pragmas(connection: sqlite3.Connection) -> str:
    (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
    (level,) = connection.execute("PRAGMA synchronous").fetchone()
    return f"{journal}, synchronous={('OFF', 'NORMAL', 'FULL', 'EXTRA')[level]}"


def durability(folder: pathlib.Path) -> dict[str, str]:
    """Read back from each one's own connection how it writes."""

    async def of_ours() -> str:
        store = resilient_ws.SQLiteStore(folder / "outbox.db")
        url = "ws://127.0.0.1:8080/"
        outbox = resilient_ws.Outbox(store=store)
        async with resilient_ws.connect(url, wait_open=False, outbox=outbox) as session:
            supervisor = session._supervisor
            assert supervisor is not None
            ledger: Any = supervisor.outbox._ledger
            ask = ledger._thread.submit(_pragmas, ledger._database._connection)
            return str(ask.result())

    found = {AT_MOST: asyncio.run(of_ours())}
    found[AT_LEAST] = found[AT_MOST]
    for name, kind in (
        (PERSIST, persistqueue.SQLiteQueue),
        (PERSIST_ACK, persistqueue.SQLiteAckQueue),
    ):
        with contextlib.closing(kind(str(folder / name), multithreading=True)) as queue:
            putter: Any = queue._putter
            found[name] = _pragmas(putter)
    lite = litequeue.LiteQueue(folder / "queue.db")
    default = _pragmas(lite.conn)
    lite.conn.execute("PRAGMA synchronous = FULL")
    found[LITE] = f"{_pragmas(lite.conn)} (set here; by default {default})"
    lite.close()
    wrong = [name for name, how in found.items() if "wal, synchronous=FULL" not in how]
    if wrong:
        raise AssertionError(f"{wrong} do not write as the others: {found}")
    return found


COMMITS: Final = {
    AT_MOST: "a commit for what is sent in one turn of the loop or while the last"
    " commit ran; one for what leaves in one write (64 KiB at most), before it does",
    AT_LEAST: "the same; their transmission is counted before they leave, and they are"
    " deleted when a pong has come back",
    PERSIST: "a commit for each put, one for each get, which deletes",
    PERSIST_ACK: "a commit for each put, one for each get, one for each ack; nothing is"
    " deleted",
    LITE: "a commit for each put, one for each pop, one for each done; nothing is"
    " deleted",
}


# --- rounds ------------------------------------------------------------------------


def measure_disk(server: Server, options: argparse.Namespace) -> list[dict[str, Any]]:
    runs: dict[str, Callable[..., Figures]] = {
        AT_MOST: lambda folder, **sizes: ours(server, folder, "bulk", **sizes),
        AT_LEAST: lambda folder, **sizes: ours(server, folder, "pongs", **sizes),
        PERSIST: persist_queue,
        PERSIST_ACK: persist_ack_queue,
        LITE: lite_queue,
    }
    rows: list[dict[str, Any]] = []
    # What a flush costs changes from second to second: one sender often and briefly.
    for senders, our_count, their_count, times in (
        (1, 50, 50, 3),
        (SENDERS, 10_000, 200, 1),
    ):
        taken: dict[str, list[Figures]] = {name: [] for name in runs}
        for round_ in range(times * options.rounds):
            for name in list(runs)[:: 1 if round_ % 2 else -1]:
                count = our_count if name in RIVALS else their_count
                if options.quick:
                    count = max(senders, count // 10)
                with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                    figures = runs[name](
                        pathlib.Path(folder), count=count, senders=senders
                    )
                taken[name].append(figures)
                print(f"{senders} senders, {name}: {figures}", flush=True)
        rows += [
            {"senders": senders, "library": name, "rounds": figures}
            for name, figures in taken.items()
        ]
    return rows


def measure_memory(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    count = IN_MEMORY // 10 if options.quick else IN_MEMORY
    rounds = []
    for _ in range(options.rounds):
        store = resilient_ws.MemoryStore()
        run = through_session(server, store, count=count, senders=1)
        rounds.append(asyncio.run(run))
        print(f"in memory: {rounds[-1]}", flush=True)
    # Counting memory costs time, so by itself.
    tracemalloc.start()
    store = resilient_ws.MemoryStore()
    counted = asyncio.run(through_session(server, store, count=count, senders=1))
    tracemalloc.stop()
    return {"count": count, "rounds": rounds, "memory": counted["memory"]}


# --- the page ----------------------------------------------------------------------


def median(rounds: Sequence[Figures], name: str) -> float:
    return statistics.median(figures[name] for figures in rounds)


def spread(rounds: Sequence[Figures], name: str, factor: float = 1.0) -> str:
    values = [figures[name] * factor for figures in rounds]
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"


def targets(disk: list[dict[str, Any]], memory: dict[str, Any]) -> Iterator[str]:
    """Each target, the missed ones first."""
    rate = median(memory["rounds"], "drained")
    turn = median(memory["rounds"], "turn")
    told: list[tuple[bool, str]] = []

    def tell(text: str, *, met: bool) -> None:
        told.append((met, text))

    tell(
        f"{memory['count']:,} messages in memory are drained at {MEMORY_RATE:,} a"
        f" second or more: {rate:,.0f}",
        met=rate >= MEMORY_RATE,
    )
    tell(
        f"the loop is never held longer than {LONGEST_TURN * 1e3:.0f} ms meanwhile:"
        f" {turn * 1e3:.1f} ms",
        met=turn <= LONGEST_TURN,
    )
    rows = {(row["senders"], row["library"]): row["rounds"] for row in disk}
    for (senders, name), rounds in rows.items():
        for rival in RIVALS.get(name, ()):
            for what in ("accepted", "drained"):
                ratio = statistics.median(
                    our[what] / their[what]
                    for our, their in zip(rounds, rows[senders, rival], strict=True)
                )
                tell(
                    f"on disk, {senders} sender{'s' * (senders > 1)}: {name} has {what}"
                    f" as many a second as {rival}, or more: {ratio:.1f}x",
                    met=ratio >= 1,
                )
    for met, text in sorted(told, key=lambda one: one[0]):
        yield f"- {'met' if met else '**missed**'}: {text}"


def page(figures: dict[str, Any]) -> str:
    disk, memory, how = figures["disk"], figures["memory"], figures["durability"]
    version = importlib.metadata.version
    table = ["| senders | library | accepted / s | drained / s | longest turn, ms |"]
    table.append("| --- | --- | --- | --- | --- |")
    for row in disk:
        rounds = row["rounds"]
        turn = spread(rounds, "turn", 1e3) if "turn" in rounds[0] else "-"
        table.append(
            f"| {row['senders']} | {row['library']} | {spread(rounds, 'accepted')}"
            f" | {spread(rounds, 'drained')} | {turn} |"
        )
    ways = [f"- **{name}**: {how[name]}; {COMMITS[name]}." for name in how]
    rounds = memory["rounds"]
    defaults = resilient_ws.Outbox()
    in_flight = defaults.max_in_flight / defaults.confirm_interval
    return f"""# The outbox, in figures

Written by `make bench-outbox`, which puts each single round into
[outbox.json](outbox.json). Messages of {SIZE} bytes; medians of {len(rounds)} rounds
({len(disk[0]["rounds"])} where there is one sender), with the least and the most in
brackets. The load average of the machine was {figures["load"][0]:.1f} at the beginning
and {figures["load"][1]:.1f} at the end, on {os.cpu_count()} cores.

## Targets

{chr(10).join(targets(disk, memory))}

## On disk

A flush of the disk took {figures["fsync"] * 1e3:.1f} ms here. All write with the same
durability, as read back from each connection:

{chr(10).join(ways)}

{chr(10).join(table)}

A message is *accepted* when it is on disk: `send` has returned, `put` has returned (the
senders are tasks of one loop for resilient_ws, threads for the others). resilient_ws is
*drained* when a server in another process has received all of it over a WebSocket; the
others when all was popped, and sent nowhere. One sender waits for a flush of the disk
with each message, and with resilient_ws for the thread that does it as well. At least
once, no more than `max_in_flight` messages are written in a `confirm_interval`:
{in_flight:,.0f} a second with the defaults. The longest turn is of the event loop while
it drains, without the time that other programs had the processor.

## In memory

{memory["count"]:,} messages, sent while offline, then received by a server:
{spread(rounds, "drained")} a second. The longest turn of the loop meanwhile took
{spread(rounds, "turn", 1e3)} ms, and {spread(rounds, "turn_wall", 1e3)} ms with the
time that other programs had the processor. A message that waits takes
{memory["memory"]:.0f} bytes, its {SIZE} bytes and its `Delivery` included.

## The run

{platform.python_implementation()} {platform.python_version()}, SQLite
{sqlite3.sqlite_version}, persist-queue {version("persist-queue")}, litequeue
{version("litequeue")}.
"""


def flush_time(folder: pathlib.Path) -> float:
    """The median seconds that one flush of the disk takes."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            began = time.monotonic()
            os.fsync(file.fileno())
            taken.append(time.monotonic() - began)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    parser.add_argument("--folder", type=pathlib.Path, help="on which disk")
    parser.add_argument("--write", type=pathlib.Path, help="the page; JSON beside it")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    if options.folder is None:
        options.folder = pathlib.Path(tempfile.gettempdir())
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        how = durability(pathlib.Path(folder))
    with Server() as server:
        memory = measure_memory(server, options)
        disk = measure_disk(server, options)
    figures = {
        "load": [load, os.getloadavg()[0]],
        "fsync": flush_time(options.folder),
        "durability": how,
        "memory": memory,
        "disk": disk,
    }
    text = page(figures)
    print(text)
    if options.write is not None:
        options.write.write_text(text)
        beside = options.write.with_suffix(".json")
        beside.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
