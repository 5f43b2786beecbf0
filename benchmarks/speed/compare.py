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

from benchmarks import twins
from benchmarks.speed.clients import PURE, US, is_pure, without_twin
from benchmarks.speed.plan import FLOOR, described
from benchmarks.speed.targets import cpu_target, time_target


if TYPE_CHECKING:
    from benchmarks.speed.plan import Cell


class Process:
    """A program of ours that answers line by line."""

    def __init__(self, module: str, *arguments: str, pure: bool = False) -> None:
        self._command = [sys.executable, "-m", f"benchmarks.speed.{module}", *arguments]
        self._environment = twins.environment(pure=pure)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            text=True,
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
            self._workers[key] = self._started(client, loop)
        return self._workers[key]

    def _started(self, client: str, loop: str) -> Process:
        if client == FLOOR:
            process = self._stack.enter_context(Process("floor"))
        else:
            process = self._stack.enter_context(
                Process("worker", client, loop, pure=is_pure(client))
            )
        process.keep_to(self._core)
        compiled = process.heard()["compiled"]
        if without_twin(client).startswith(US) and compiled is is_pure(client):
            # A row would stand under the wrong name.
            raise SystemExit(twins.BUILD)
        return process

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

    def played(self, cell: Cell) -> dict[str, list[dict[str, Any]]]:
        """Let the clients take turns; return the figures of each, round by round."""
        taken: dict[str, list[dict[str, Any]]] = {name: [] for name in cell.present}
        for name in cell.present:
            self.measure(cell, name, cell.count // 10 + 1)  # warms up
        for round_ in range(cell.rounds):
            names = cell.present
            for name in names if round_ % 2 else reversed(names):
                taken[name].append(self.measure(cell, name, cell.count))
        return taken

    def compare(self, cell: Cell) -> list[dict[str, Any]]:
        """Return a row for each client: medians, spread, ratios and verdicts."""
        taken = self.played(cell)
        rows = [row_of(cell, name, taken) for name in cell.present]
        for row in rows:
            beside = [other["beside"].get(row["client"], {}) for other in rows]
            if any(False in (one.get("met"), one.get("met_in_time")) for one in beside):
                row.update(self.measure(cell, row["client"], cell.count, profile=True))
        return rows


def row_of(
    cell: Cell, name: str, taken: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Return what a client cost in all rounds, and beside each of our twins."""
    costs = [figures["cpu"] for figures in taken[name]]
    row = {
        **described(cell),
        "client": name,
        "cpu": statistics.median(costs),
        "least": min(costs),
        "most": max(costs),
        "wall": statistics.median(figures["wall"] for figures in taken[name]),
        "beside": {
            ours: judged(cell, ours, name, taken)
            for ours in (US, PURE)
            if ours in taken
        },
    }
    if "ages" in taken[name][0]:
        row["ages"] = {
            share: statistics.median(figures["ages"][share] for figures in taken[name])
            for share in taken[name][0]["ages"]
        }
    return row


def judged(
    cell: Cell, ours: str, name: str, taken: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Return how many times ours a client takes, and whether that is enough."""
    cpu, wall = (
        statistics.median(
            peer[what] / mine[what]
            for mine, peer in zip(taken[ours], taken[name], strict=True)
        )
        for what in ("cpu", "wall")
    )
    target, in_time = cpu_target(cell, ours, name), time_target(cell, name)
    return {
        "ratio": cpu,
        "wall_ratio": wall,
        "target": target,
        "target_in_time": in_time,
        "met": None if target is None else cpu >= target,
        "met_in_time": None if in_time is None else wall >= in_time,
    }
