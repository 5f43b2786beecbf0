"""A client that meets the hostile server, in a process of its own, and is measured.

    python -m tests.hostile.client KIND --url URL --loop asyncio --first 0 --count 100

Each case is a session that may fail once. What is counted against us: an error that is
not of our tree, whatever reaches the loop's handler of exceptions, a warning, a line of
the log at ERROR, a text that is not printable, a task, socket or thread that is left.
What is measured: the peak of the resident memory above what it was before, and the
longest that one turn of the loop took, in CPU time of the thread and on the clock.
The figures are one line of JSON on stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import gc
import json
import logging
import pathlib
import threading
import time
import traceback
import warnings
from typing import TYPE_CHECKING, Final

import attrs
import uvloop

import resilient_ws
from resilient_ws import (
    Event,
    GaveUp,
    HandlerFailed,
    Inbox,
    Reconnect,
    ResilientWSError,
    SessionClosed,
    Timeouts,
)
from resilient_ws.testing.leaks import open_sockets, pending_tasks


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


LOOPS: Final[dict[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
#: Seconds for the opening: what has no end ends there.
OPEN: Final = {"answers": 0.5, "streams": 5.0, "named": 5.0}
#: Seconds after which a case is a hang, and counts against us.
HANG: Final = 60.0

ONCE: Final = Reconnect(stop=lambda _: True)
INBOXES: Final = (
    Inbox(),
    Inbox(overflow="drop_oldest"),
    Inbox(max_messages=1, overflow="drop_newest"),
)


class Watch:
    """The longest turn of the loop, while it runs."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    async def run(self) -> None:
        """Look at the clocks in every turn."""
        wall, cpu = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(0)
            wall_now, cpu_now = time.perf_counter(), time.thread_time()
            self.wall = max(self.wall, wall_now - wall)
            self.cpu = max(self.cpu, cpu_now - cpu)
            wall, cpu = wall_now, cpu_now


class Log(logging.Handler):
    """What was logged at ERROR, and what could not be seen."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__()
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a line that stands against us."""
        text = record.getMessage()
        if record.levelno >= logging.ERROR or record.name == "py.warnings":
            said = "".join(traceback.format_exception(*record.exc_info or (None,) * 3))
            self._faults.append(f"logged {record.name}: {text} {said}")
        elif record.name == "resilient_ws" and not text.isprintable():
            self._faults.append(f"a line of the log: {text!r}")


@attrs.define
class Figures:
    """What came of some cases."""

    kind: str
    loop: str
    cases: int = 0
    #: How they ended, by the names of our errors.
    ends: collections.Counter[str] = attrs.field(factory=collections.Counter[str])
    faults: list[str] = attrs.field(factory=list[str])
    memory: int = 0
    cpu: float = 0.0
    wall: float = 0.0
    #: The number of the case in which a turn took longest.
    worst: int = 0
    took: float = 0.0


async def meet(url: str, inbox: Inbox, faults: list[str]) -> str:
    """Hold a session until it ends; return the name of its end."""
    opened = False
    timeouts = Timeouts(open=OPEN.get(url.split("/")[3], 5.0), close=0.5)
    session = resilient_ws.connect(
        url, wait_open=False, reconnect=ONCE, timeouts=timeouts, inbox=inbox
    )

    def look(event: Event) -> None:
        nonlocal opened
        opened = opened or isinstance(event, resilient_ws.ConnectionOpened)
        if isinstance(event, HandlerFailed):
            faults.append(f"{url}: {event!r}")
        if not repr(event).isprintable():
            faults.append(f"{url}: cannot be seen: {event!r}")

    session.on(Event, look)
    failure: BaseException | None = None
    try:
        async with session, asyncio.timeout(HANG):
            async for _ in session:
                pass
    except Exception as ended:  # noqa: BLE001 - which it is, is what is asked
        failure = ended
    while isinstance(failure, GaveUp):
        failure = failure.history[-1]
    if not isinstance(failure, ResilientWSError) or isinstance(failure, SessionClosed):
        faults.append(f"{url}: {failure!r}")
    elif not str(failure).isprintable():
        faults.append(f"{url}: cannot be seen: {failure}")
    name = type(failure).__name__
    return f"open, then {name}" if opened else name


async def run(options: argparse.Namespace) -> list[Figures]:
    """Meet the server as often as is asked for; of the table, each by itself."""
    numbers = range(options.first, options.first + options.count)
    # What is made once, and stays: the modules of the first connection.
    await meet(f"{options.url}/nothing", INBOXES[0], [])
    if options.kind != "named":
        return [await measured(options, numbers)]
    return [await measured(options, [number]) for number in numbers]


async def measured(options: argparse.Namespace, numbers: Iterable[int]) -> Figures:
    """Meet the server so often, and count what came of it."""
    figures = Figures(kind=options.kind, loop=options.loop)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda _, context: figures.faults.append(f"the loop's handler: {context}")
    )
    rest = iter(numbers)
    watch, log = Watch(), Log(figures.faults)
    prefix = f"{options.url}/{options.kind}/"
    if options.kind != "named":
        prefix += f"{options.seed}/"

    async def meet_some() -> None:
        for number in rest:
            inbox = INBOXES[0 if options.kind == "named" else number % len(INBOXES)]
            figures.ends[await meet(f"{prefix}{number}", inbox, figures.faults)] += 1
            figures.cases += 1
            if watch.cpu > figures.cpu:
                figures.cpu, figures.worst = watch.cpu, number

    tasks, sockets = pending_tasks(), open_sockets()
    threads = set(threading.enumerate())
    gc.collect()
    before = resident("VmRSS")
    forget_peak()
    logging.getLogger().addHandler(log)
    watching = loop.create_task(watch.run())
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(options.at_once):
            group.create_task(meet_some())
    figures.took = time.perf_counter() - began
    watching.cancel()
    await asyncio.wait({watching})
    figures.wall = watch.wall
    figures.memory = resident("VmHWM") - before
    for _ in range(3):
        await asyncio.sleep(0)
    left = [*(pending_tasks() - tasks), *(open_sockets().keys() - sockets.keys())]
    left += set(threading.enumerate()) - threads
    figures.faults += [f"left behind: {one!r}" for one in left]
    # What was made here and is wrong only when it is collected.
    gc.collect()
    logging.getLogger().removeHandler(log)
    return figures


def resident(name: str) -> int:
    """Return the resident memory, or its peak, in bytes."""
    status = pathlib.Path("/proc/self/status").read_text()
    (line,) = (one for one in status.splitlines() if one.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """Begin to look for the peak anew; where that may not be done, it counts from 0."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("answers", "streams", "named"))
    parser.add_argument("--url", required=True)
    parser.add_argument("--loop", choices=LOOPS, default="asyncio")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--at-once", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("resilient_ws").setLevel(logging.DEBUG)
    # Into the log, where they stand against us.
    warnings.simplefilter("always")
    logging.captureWarnings(capture=True)
    with asyncio.Runner(loop_factory=LOOPS[options.loop]) as runner:
        found = runner.run(run(options))
    print(json.dumps([attrs.asdict(figures) for figures in found]))


if __name__ == "__main__":
    main()
