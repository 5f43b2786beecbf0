"""Notifications into one subscription, beside the session alone and beside others.

    python -m benchmarks.feeds [--rounds 7] [--scale 1] [--write docs/feeds-speed.md]

The server and the client that is measured are processes of their own, held on a core
each. The clients take turns, in an order that alternates. What counts is the CPU time
of the client for each item.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any, Self

from benchmarks.feeds.clients import CLIENTS
from benchmarks.feeds.page import page
from benchmarks.feeds.wire import KINDS, notification


#: Items in one run. The peers take longer, and the server of one is slower still.
COUNTS = {"web3.py": 4_000, "python-socketio": 10_000}
COUNT = 200_000
#: For the delay: items a second, and how many.
RATE = 2_000
LATE = 10_000


class Process:
    """A program of this package that answers line by line, on one core."""

    def __init__(self, core: int, module: str, *arguments: str) -> None:
        self._core = core
        self._command = [sys.executable, "-m", f"benchmarks.feeds.{module}", *arguments]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        # Before it has begun anything: threads to come inherit it.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(self._process.pid, {self._core})
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self._command[2:])} has ended")
        return line

    def ask(self, order: dict[str, Any]) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        figures: dict[str, float] = json.loads(self.hear())
        return figures


class Arena:
    """The servers, and a process for each client."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        cores = sorted(os.sched_getaffinity(0))
        started = {
            name: self._stack.enter_context(Process(cores[0], "server", *arguments))
            for name, arguments in {"json-rpc": (), "socketio": ("socketio",)}.items()
        }
        self._ports = {
            name: process.hear().strip() for name, process in started.items()
        }
        self._clients = {
            name: self._stack.enter_context(Process(cores[-1], "clients"))
            for name in CLIENTS
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, name: str, kind: str, *, late: bool = False) -> dict[str, float]:
        count = LATE if late else COUNTS.get(name, COUNT)
        count = max(100, int(count * self.scale))
        if name == "python-socketio":
            url = f"http://127.0.0.1:{self._ports['socketio']}?{kind}/{count}/0"
        else:
            path = f"{kind}/{count}/{RATE if late else 0}"
            url = f"ws://127.0.0.1:{self._ports['json-rpc']}/{path}"
        order = {"name": name, "url": url, "count": count, "late": late}
        return self._clients[name].ask(order)

    def compare(
        self, names: list[str], kind: str, rounds: int, *, late: bool = False
    ) -> dict[str, list[dict[str, float]]]:
        """Let the clients take turns; return the figures of each."""
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for round_ in range(rounds):
            for name in names if round_ % 2 else reversed(names):
                taken[name].append(self.measure(name, kind, late=late))
        return taken


def run(rounds: int, scale: float) -> dict[str, Any]:
    """Measure everything."""
    began = time.time()
    loads = [os.getloadavg()[0]]
    with Arena(scale) as arena:
        throughput = {}
        for kind in KINDS:
            # It makes bytes of what is in a log, and knows no trades.
            names = [n for n in CLIENTS if kind == "log" or n != "web3.py"]
            arena.compare(names, kind, 1)  # warms up
            throughput[kind] = arena.compare(names, kind, rounds)
            loads.append(os.getloadavg()[0])
        names = [name for name in CLIENTS if name.endswith("msgspec")]
        delay = arena.compare(names, "trade", rounds, late=True)
    return {
        "seconds": time.time() - began,
        "load": [*loads, os.getloadavg()[0]],
        "rounds": rounds,
        "scale": scale,
        "sizes": {kind: len(notification(kind, 100_000)) for kind in KINDS},
        "rate": RATE,
        "throughput": throughput,
        "delay": delay,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.feeds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="of the counts")
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    options = parser.parse_args()
    written = page(run(options.rounds, options.scale))
    print(written)
    if options.write is not None:
        options.write.write_text(written)


if __name__ == "__main__":
    main()
