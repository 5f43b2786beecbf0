"""What watching costs the process that is watched.

    python -m benchmarks.monitor [--write docs/monitor.md] [--sessions 500]

A program holds sessions, each of which receives one message a second from a server in
another process. The CPU time of the program is measured alone, with the monitor on, and
with one browser's worth of viewer that reads all that the page is told. The three take
turns, round after round, so that a machine that grows busy hurts them alike; each
figure is the median of the rounds. Memory is counted by tracemalloc, for histories that
are full.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import multiprocessing
import pathlib
import platform
import statistics
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import web

import resilient_ws
from resilient_ws import AttemptFailed, ConnectFailed, ConnectionReplaced, monitor
from resilient_ws.monitor.chronicle import KEPT
from resilient_ws.monitor.history import History
from resilient_ws.monitor.series import LENGTH, SPANS, Sample


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from multiprocessing.connection import Connection

    from resilient_ws import Session


#: Seconds of one measurement, and before it, for what has just begun to settle.
SECONDS: Final = 15.0
SETTLE: Final = 3.0
ROUNDS: Final = 3
VIEWER: Final = (sys.executable, "-m", "benchmarks.monitor", "--view")
BEGIN: Final = "<!-- figures: make bench-monitor -->"
END: Final = "<!-- /figures -->"


def serve_ticks(port: Connection) -> None:
    """Send every client one message a second, in a process of its own."""

    async def tick(socket: web.WebSocketResponse) -> None:
        while True:
            await socket.send_str("a reading of about forty characters")
            await asyncio.sleep(1)

    async def greet(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async with in_background(tick(socket)):
            # Whoever does not read answers no close frame.
            async for _ in socket:
                pass
        return socket

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", greet)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
        port.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


async def read(session: Session) -> None:
    async for _ in session:
        pass


async def look(url: str) -> None:
    """Read all that the page is told."""
    async with aiohttp.ClientSession() as client, client.ws_connect(url) as socket:
        async for _ in socket:
            pass


@contextlib.asynccontextmanager
async def in_background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def percent() -> float:
    """The share of a core that this process uses, for a while."""
    await asyncio.sleep(SETTLE)
    cpu, wall = time.process_time(), time.monotonic()
    await asyncio.sleep(SECONDS)
    return 100 * (time.process_time() - cpu) / (time.monotonic() - wall)


async def costs(port: int, count: int) -> dict[str, float]:
    """The share of a core without a monitor, with it, and with a viewer."""
    found: dict[str, list[float]] = {"alone": [], "watched": [], "viewed": []}
    async with contextlib.AsyncExitStack() as stack:
        sessions = [
            resilient_ws.connect(f"ws://127.0.0.1:{port}", name=f"meter-{at:03}")
            for at in range(count)
        ]
        for session in sessions:
            await stack.enter_async_context(session)
        await stack.enter_async_context(in_background(*map(read, sessions)))
        for _ in range(ROUNDS):
            found["alone"].append(await percent())
            async with monitor.serve(sessions) as page:
                found["watched"].append(await percent())
                # Another process, so that the viewer's own work is not counted.
                viewer = await asyncio.create_subprocess_exec(
                    *VIEWER, f"{page.url}live"
                )
                found["viewed"].append(await percent())
                assert viewer.returncode is None, "the viewer has ended"
                viewer.kill()
                await viewer.wait()
            print({name: [round(one, 2) for one in of] for name, of in found.items()})
    return {name: statistics.median(values) for name, values in found.items()}


def memory() -> int:
    """The bytes that one session's history takes when it is full."""
    session = resilient_ws.connect("wss://example.com")
    fields = dict.fromkeys(Sample._fields, 0.5)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    history = History(1, session, clock=time.monotonic)
    for turn in range(math.prod(SPANS.values()) * LENGTH):
        history.series.add(Sample(**{**fields, "at": float(turn)}))
    for number in range(KEPT):
        lost = ConnectFailed(f"Attempt {number} failed as they do", stage="connect")
        for event in (
            AttemptFailed(attempt=number, endpoint="", because=lost, elapsed=1.0),
            ConnectionReplaced(epoch=1, reason=f"{number}", close=None, uptime=1.0),
        ):
            history.chronicle.note(event)
    history.look(1, now=1.0, wall=1.0)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken


def paragraph(found: dict[str, float], taken: int, count: int) -> str:
    watched = found["watched"] - found["alone"]
    viewed = found["viewed"] - found["alone"]
    return (
        f"| {count} sessions, one message a second each | % of a core |\n"
        "| --- | ---: |\n"
        f"| the program, without a monitor | {found['alone']:.1f} |\n"
        f"| with `monitor.serve`, nobody looks | {found['watched']:.1f} |\n"
        f"| with one viewer | {found['viewed']:.1f} |\n"
        f"| **watching costs** | **{watched:.1f}** |\n"
        f"| **watching and one viewer cost** | **{viewed:.1f}** |\n\n"
        f"The history of one session takes {taken / 1024:.0f} KiB once it is full, "
        f"after a day ({platform.python_implementation()} {platform.python_version()}, "
        f"medians of {ROUNDS} rounds of {SECONDS:.0f} s)."
    )


def put_into(path: pathlib.Path, text: str) -> None:
    """Put the figures in their place in a page."""
    head, _, rest = path.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


async def main(write: pathlib.Path | None, count: int) -> None:
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    server = context.Process(target=serve_ticks, args=(theirs,), daemon=True)
    server.start()
    try:
        found = await costs(await asyncio.to_thread(ours.recv), count)
    finally:
        server.kill()
    text = paragraph(found, memory(), count)
    print(text)
    if write is not None:
        put_into(write, text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("--sessions", dest="count", type=int, default=500)
    parser.add_argument("--view", help=argparse.SUPPRESS)
    arguments = vars(parser.parse_args())
    url = arguments.pop("view")
    asyncio.run(look(url) if url else main(**arguments))
