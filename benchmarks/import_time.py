"""What importing costs beside aiohttp's own part, and the command's first output.

The command: ``python -m benchmarks.import_time [--write docs/import-time.md]``. Every
run is a new process with warm files, and the programs take turns. Memory is read from
``/proc``: Linux only. What the compiled part adds is a table of its own, with the sizes
of the wheels in ``--wheels`` (``dist``), where there are both.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from benchmarks import twins
from benchmarks.wheels import lines_of_c, newest


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.wheels import Weights


ROUNDS: Final = 21
IMPORTS: Final = (
    "asyncio",
    "aiohttp",
    "websockets.asyncio.client",
    "resilient_ws",
    "resilient_ws.codec",
    "resilient_ws.feeds",
    "resilient_ws.feeds.evm",
    "resilient_ws.testing",
)
#: Imported without the compiled part too.
TWIN: Final = "resilient_ws"
COMMANDS: Final = (
    ("--version",),
    ("--help",),
    ("listen", "--help"),
    ("listen", "no URL"),
)

_IMPORTER: Final = """
import sys, time
began = time.perf_counter()
import {module}
took = time.perf_counter() - began
status = open("/proc/self/status").read()
peak = int(status.partition("VmHWM:")[2].split()[0])
import json
compiled = getattr(sys.modules.get("resilient_ws"), "__compiled__", None)
print(json.dumps([took * 1000, peak / 1024, len(sys.modules), compiled]))
"""

#: What its costs stand under while they are collected.
_PURE: Final = "without the compiled part"
_SOURCE: Final = (
    pathlib.Path(__file__).parent.parent / "resilient_ws" / "protocol" / "compiled.c"
)

Found = dict[str, list[list[float]]]


def imported(module: str, *, pure: bool = False) -> list[float]:
    """Return the milliseconds, the peak in MiB, and the number of modules."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTER.format(module=module)],
        stdout=subprocess.PIPE,
        env=twins.environment(pure=pure),
        check=True,
    )
    found: list[float]
    *found, compiled = json.loads(done.stdout)
    if compiled is pure:
        # A figure would stand under the wrong name.
        raise SystemExit(twins.BUILD)
    return found


def first_output(words: Sequence[str]) -> float:
    """Return the milliseconds until the command has written its first byte."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "resilient_ws.cli", *words],
        env=twins.environment(pure=False),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        took = time.perf_counter() - began
        process.stdout.read()
    return took * 1000


def run(rounds: int) -> Found:
    """Measure everything in turn, several times; the first round only warms."""
    found: Found = {}
    for number in range(rounds + 1):
        costs = {f"import {module}": imported(module) for module in IMPORTS}
        costs[_PURE] = imported(TWIN, pure=True)
        for words in COMMANDS:
            costs[f"resilient-ws {' '.join(words)}"] = [first_output(words)]
        if number:
            for name, cost in costs.items():
                found.setdefault(name, []).append(cost)
    return found


def _rows(found: Mapping[str, list[list[float]]]) -> Iterator[str]:
    for name, costs in found.items():
        if name.startswith("import "):
            times, peaks, modules = zip(*costs, strict=True)
            yield (
                f"| `{name}` | {statistics.median(times):.0f} | "
                f"{min(times):.0f} to {max(times):.0f} | "
                f"{statistics.median(peaks):.1f} | {modules[0]:.0f} |"
            )


def _commands(found: Mapping[str, list[list[float]]]) -> Iterator[str]:
    for name, costs in found.items():
        if name.startswith("resilient-ws "):
            times = [cost[0] for cost in costs]
            yield (
                f"| `{name}` | {statistics.median(times):.0f} | "
                f"{min(times):.0f} to {max(times):.0f} |"
            )


def _twins(
    found: Mapping[str, list[list[float]]], weights: Weights | None
) -> Iterator[str]:
    """What the compiled part adds: a row for each of what one would ask."""
    with_it, without = (
        list(zip(*found[name], strict=True)) for name in (f"import {TWIN}", _PURE)
    )
    for at, (what, form) in enumerate(
        (
            (f"`import {TWIN}`, ms", "{:.0f}"),
            ("memory, MiB", "{:.1f}"),
            ("modules", "{:.0f}"),
        )
    ):
        both = (_spread(one[at], form) for one in (with_it, without))
        yield f"| {what} | {' | '.join(both)} |"
    if weights is not None:
        sizes = (f"{size / 1024:.0f}" for size in (weights.compiled, weights.pure))
        yield f"| wheel, KiB | {' | '.join(sizes)} |"
    lines, code = lines_of_c(_SOURCE)
    yield f"| lines of C | {lines}, {code} of them code | 0 |"


def _spread(values: Sequence[float], form: str) -> str:
    """The median, and between which it lay where they differ."""
    middle, least, most = (
        form.format(one)
        for one in (statistics.median(values), min(values), max(values))
    )
    return middle if least == most else f"{middle} ({least} to {most})"


_HOW: Final = """# What importing costs

Written by `make import-time`. Do not edit: it is overwritten.

The median of {rounds} alternating runs, each in a new process with warm files, and the least and the most. The time is that of the import alone, without the start of Python; the memory is the peak of the process.

{versions}

| statement | ms | least to most | MiB | modules |
| --- | ---: | --- | ---: | ---: |
{imports}

With the compiled part and without it, as `RESILIENT_WS_PURE=1` chooses it:

| | with | without |
| --- | ---: | ---: |
{twins}

`resilient_ws` imports aiohttp. It imports `sqlite3`, the feeds, the test kit and the command only when they are used.

From the start of the process to the first byte of output:

| command | ms | least to most |
| --- | ---: | --- |
{commands}
"""  # noqa: E501 - a paragraph of a page is a line


def page(found: Mapping[str, list[list[float]]], weights: Weights | None = None) -> str:
    """Return the page, in Markdown."""
    packages = ("aiohttp", "attrs", "tenacity", "typer", "rich", "websockets")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    machine = f"{platform.system()} {platform.machine()}"
    return _HOW.format(
        rounds=len(next(iter(found.values()))),
        versions=f"Python {platform.python_version()}, {versions}, {machine}.",
        imports="\n".join(_rows(found)),
        twins="\n".join(_twins(found, weights)),
        commands="\n".join(_commands(found)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.import_time")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", type=pathlib.Path, help="the page to write")
    parser.add_argument("--wheels", type=pathlib.Path, default=pathlib.Path("dist"))
    options = parser.parse_args()
    weights = newest(options.wheels)
    if weights is None:
        print(f"{options.wheels} has not a wheel of each kind: none is weighed")
    text = page(run(options.rounds), weights)
    print(text)
    if options.write is not None:
        options.write.write_text(text)


if __name__ == "__main__":
    main()
