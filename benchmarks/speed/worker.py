"""One library on one event loop in a process of its own, told what to do line by line.

Libraries that shared a process would each find the heap as the others left it, which
can double what a large message costs.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import itertools
import json
import pathlib
import ssl
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import resilient_ws
from benchmarks.speed.clients import Changed, without_twin
from benchmarks.speed.frames import messages
from benchmarks.speed.plan import CONTESTANTS
from benchmarks.speed.traders import Trader


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import CodeType

    from benchmarks.speed.clients import Client


class Stopwatch:
    """The CPU time of this process, the kernel's on its behalf included, and time."""

    def __enter__(self) -> Self:
        gc.collect()
        self._wall = time.perf_counter()
        self._cpu = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu = time.process_time() - self._cpu
        self.wall = time.perf_counter() - self._wall

    def figures(self, count: int) -> dict[str, Any]:
        """Microseconds for each of ``count`` messages."""
        return {"cpu": self.cpu / count * 1e6, "wall": self.wall / count * 1e6}


async def receive(client: Client, order: dict[str, Any]) -> dict[str, Any]:
    expected = itertools.cycle(messages(order["kind"], order["size"])).__next__
    with Stopwatch() as watch:
        await client.send("go")
        await client.take(expected, order["count"])
    return watch.figures(order["count"])


async def batch(client: Client, order: dict[str, Any]) -> dict[str, Any]:
    expected = itertools.cycle(messages(order["kind"], order["size"])).__next__
    with Stopwatch() as watch:
        await client.send("go")
        await client.take_many(expected, order["count"])
    return watch.figures(order["count"])


async def follow(client: Client, order: dict[str, Any]) -> dict[str, Any]:
    assert isinstance(client, Trader)
    with Stopwatch() as watch:
        await client.trades(order["count"])
    return watch.figures(order["count"])


async def drip(client: Client, order: dict[str, Any]) -> dict[str, Any]:
    expected = iter(messages("binary", order["size"] * order["count"])).__next__
    with Stopwatch() as watch:
        await client.send("go")
        await client.take(expected, 1)
    return watch.figures(order["count"])


async def send(client: Client, order: dict[str, Any]) -> dict[str, Any]:
    stream = itertools.cycle(messages(order["kind"], order["size"]))
    with Stopwatch() as watch:
        await client.put(itertools.islice(stream, order["count"]))
        arrived = await client.receive()
    if arrived != "got" or await client.receive() != "ok":
        raise Changed
    return watch.figures(order["count"])


async def echo(client: Client, order: dict[str, Any]) -> dict[str, Any]:
    stream = itertools.cycle(messages(order["kind"], order["size"]))
    with Stopwatch() as watch:
        await client.exchange(itertools.islice(stream, order["count"]))
    return watch.figures(order["count"])


async def feed(client: Client, order: dict[str, Any]) -> dict[str, Any]:
    with Stopwatch() as watch:
        await client.send("go")
        ages = await client.ages(order["count"])
    return {**watch.figures(order["count"]), "ages": percentiles(ages)}


def percentiles(ages: list[int]) -> dict[str, float]:
    """Microseconds that half, 99 % and 99.9 % of the messages stayed below."""
    ages.sort()
    return {
        str(share): ages[min(len(ages) - 1, int(len(ages) * share / 100))] / 1e3
        for share in (50, 99, 99.9)
    }


SCENARIOS: dict[str, Callable[[Client, dict[str, Any]], Awaitable[dict[str, Any]]]] = {
    "receive": receive,
    "batch": batch,
    "follow": follow,
    "segment": receive,
    "drip": drip,
    "send": send,
    "echo": echo,
    "feed": feed,
}


async def perform(name: str, order: dict[str, Any]) -> dict[str, Any]:
    context = None
    if order["link"] == "tls":
        context = ssl.create_default_context(cafile=order["ca"])
    compress = order["link"] == "deflate"
    client = CONTESTANTS[without_twin(name)]
    async with (
        asyncio.timeout(90),
        client.open(order["url"], context=context, compress=compress) as link,
    ):
        return await SCENARIOS[order["scenario"]](link, order)


def profiled(run: Callable[[], object]) -> dict[str, Any]:
    """The functions that took most of the time themselves, and their share of it."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(run)
    entries = sorted(profile.getstats(), key=lambda entry: -entry.inlinetime)
    whole = sum(entry.inlinetime for entry in entries if not waits(entry.code))
    return {
        "profile": [
            [named(entry.code), entry.inlinetime / whole]
            for entry in entries
            if not waits(entry.code)
        ][:6]
    }


def waits(code: CodeType | str) -> bool:
    return isinstance(code, str) and ("poll" in code or "collect" in code)


def named(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code.strip("<>")
    return f"{pathlib.PurePath(code.co_filename).stem}.{code.co_qualname}"


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "uvloop":
        import uvloop  # noqa: PLC0415 - an extra

        return uvloop.new_event_loop
    return asyncio.new_event_loop


def main() -> None:
    client, loop = sys.argv[1:]
    # Said by the process itself: what it was asked for proves nothing.
    print(json.dumps({"compiled": resilient_ws.__compiled__}), flush=True)
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        for line in sys.stdin:
            order = json.loads(line)

            def run(order: dict[str, Any] = order) -> dict[str, Any]:
                return runner.run(perform(client, order))

            figures = profiled(run) if order.get("profile") else run()
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
