"""Alternating rounds: every client in its own process, one at a time, in turns."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

from benchmarks.speed.clients import US
from benchmarks.speed.plan import described


if TYPE_CHECKING:
    from benchmarks.speed.plan import Cell


class Process:
    """A program of ours that answers line by line."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", f"benchmarks.speed.{module}", *arguments]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def keep_to(self, core: int) -> None:
        """Run on this core, with the threads there are and those to come."""
        for thread in pathlib.Path(f"/proc/{self._process.pid}/task").iterdir():
            # One that has ended meanwhile needs none.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), {core})

    def hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self._command[2:])} has ended")
        return line

    def heard(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.hear())

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def ask(self, order: object) -> Any:  # noqa: ANN401 - JSON
        self.say(json.dumps(order))
        return self.heard()


class Arena:
    """The server, and the clients that have been needed so far.

    Server and clients are held on a core each, where there are two. Whether they happen
    to share one decides more than the library does: about a round trip, and about how
    much one read of a large message finds.
    """

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self._workers: dict[tuple[str, str], Process] = {}
        cores = sorted(os.sched_getaffinity(0))
        self._core = cores[-1]
        server = self._stack.enter_context(Process("server"))
        plain, tls, self._ca = server.hear().split()
        server.keep_to(cores[0])
        self.origins = {
            "plain": f"ws://127.0.0.1:{plain}",
            "deflate": f"ws://127.0.0.1:{plain}",
            "tls": f"wss://localhost:{tls}",
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def worker(self, client: str, loop: str) -> Process:
        key = client, loop
        if key not in self._workers:
            process = self._stack.enter_context(Process("worker", client, loop))
            process.keep_to(self._core)
            self._workers[key] = process
        return self._workers[key]

    def measure(
        self, cell: Cell, client: str, count: int, *, profile: bool = False
    ) -> dict[str, Any]:
        order = {
            **described(cell),
            "profile": profile,
            "count": count,
            "url": f"{self.origins[cell.link]}/{cell.path(count)}",
            "ca": self._ca,
        }
        figures: dict[str, Any] = self.worker(client, cell.loop).ask(order)
        return figures

    def compare(self, cell: Cell) -> list[dict[str, Any]]:
        """Return a row for each client: medians, spread, ratio and verdict."""
        taken: dict[str, list[dict[str, Any]]] = {name: [] for name in cell.present}
        for name in cell.present:
            self.measure(cell, name, cell.count // 10 + 1)  # warms up
        for round_ in range(cell.rounds):
            names = cell.present
            for name in names if round_ % 2 else reversed(names):
                taken[name].append(self.measure(cell, name, cell.count))
        rows = [row_of(cell, name, taken) for name in cell.present]
        if any(row["met"] is False for row in rows):
            rows[0].update(self.measure(cell, US, cell.count, profile=True))
        return rows


def row_of(
    cell: Cell, name: str, taken: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """What a client cost in all rounds, and beside us in each."""
    costs = [figures["cpu"] for figures in taken[name]]
    ratio = statistics.median(
        peer / ours["cpu"] for ours, peer in zip(taken[US], costs, strict=True)
    )
    target = cell.target(name)
    row = {
        **described(cell),
        "client": name,
        "cpu": statistics.median(costs),
        "least": min(costs),
        "most": max(costs),
        "wall": statistics.median(figures["wall"] for figures in taken[name]),
        "ratio": ratio,
        "wall_ratio": statistics.median(
            peer["wall"] / ours["wall"]
            for ours, peer in zip(taken[US], taken[name], strict=True)
        ),
        "target": target,
        "met": None if target is None else ratio >= target,
    }
    if "ages" in taken[name][0]:
        row["ages"] = {
            share: statistics.median(figures["ages"][share] for figures in taken[name])
            for share in taken[name][0]["ages"]
        }
    return row
