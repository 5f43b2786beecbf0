"""An outbox of 100,000 messages, filled while offline and drained when the link opens.

The loop is watched by a task that wants to run every millisecond.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
import time
from typing import Any, Final

import resilient_ws
from benchmarks.speed.compare import Arena, Process
from benchmarks.speed.frames import messages
from benchmarks.speed.holders import resident


COUNT: Final = 100_000
SIZE: Final = 64
#: Seconds that the loop may be held.
HELD: Final = 0.020
TICK: Final = 0.001


def measure(*, quick: bool) -> dict[str, Any]:
    count = COUNT // 50 if quick else COUNT
    runs = []
    for _ in range(1 if quick else 3):
        with Arena() as arena:
            url = f"{arena.origins['plain']}/sink/text/{SIZE}/{count}"
            with Process("drain", url, str(count)) as process:
                runs.append(process.heard())
    runs.sort(key=lambda run: run["held"])
    return {"count": count, "size": SIZE, **runs[len(runs) // 2]}


class Ticker:
    """The longest time that the loop let nobody else run."""

    held = 0.0

    async def run(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            self.held = max(self.held, now - before - TICK)
            before = now


async def drain(url: str, count: int) -> dict[str, Any]:
    outbox = resilient_ws.Outbox(max_messages=count, max_bytes=count * SIZE)
    gate = asyncio.Event()

    async def url_of(_: resilient_ws.Attempt) -> str:
        await gate.wait()
        return url

    timeouts = resilient_ws.Timeouts(open=60)
    session = resilient_ws.connect(
        url_of, outbox=outbox, wait_open=False, compression=None, timeouts=timeouts
    )
    stream = itertools.cycle(messages("text", SIZE))
    async with session:
        empty = resident()
        for message in itertools.islice(stream, count):
            await session.send(message)
        filled = resident()
        ticker = Ticker()
        watching = asyncio.ensure_future(ticker.run())
        began, cpu = time.perf_counter(), time.process_time()
        gate.set()
        got = await session.receive()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        assert (got, await session.receive()) == ("got", "ok")
    return {
        "seconds": seconds,
        "cpu": cpu / count * 1e6,
        "held": ticker.held,
        "memory": (filled - empty) / count,
        "met": ticker.held <= HELD,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(drain(sys.argv[1], int(sys.argv[2])))), flush=True)
