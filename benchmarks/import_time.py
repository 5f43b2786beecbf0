"""What importing costs beside aiohttp's own part, and the command's first output.

The command: ``python -m benchmarks.import_time [--write docs/import-time.md]``. Every
run is a new process with warm files, and the programs take turns. Memory is read from
``/proc``: Linux only.
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


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


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
print(json.dumps([took * 1000, peak / 1024, len(sys.modules)]))
"""

Found = dict[str, list[list[float]]]


def imported(module: str) -> list[float]:
    """Return the milliseconds, the peak in MiB, and the number of modules."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTER.format(module=module)],
        stdout=subprocess.PIPE,
        check=True,
    )
    found: list[float] = json.loads(done.stdout)
    return found


def first_output(words: Sequence[str]) -> float:
    """Return the milliseconds until the command has written its first byte."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "resilient_ws.cli", *words],
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
        if not name.startswith("import "):
            times = [cost[0] for cost in costs]
            yield (
                f"| `{name}` | {statistics.median(times):.0f} | "
                f"{min(times):.0f} to {max(times):.0f} |"
            )


_HOW: Final = """# What importing costs

Written by `make import-time`. Do not edit: it is overwritten.

The median of {rounds} alternating runs, each in a new process with warm files, and the least and the most. The time is that of the import alone, without the start of Python; the memory is the peak of the process.

{versions}

| statement | ms | least to most | MiB | modules |
| --- | ---: | --- | ---: | ---: |
{imports}

`resilient_ws` imports aiohttp. It imports `sqlite3`, the feeds, the test kit and the command only when they are used.

From the start of the process to the first byte of output:

| command | ms | least to most |
| --- | ---: | --- |
{commands}
"""  # noqa: E501 - a paragraph of a page is a line


def page(found: Mapping[str, list[list[float]]]) -> str:
    """Return the page, in Markdown."""
    packages = ("aiohttp", "attrs", "tenacity", "typer", "rich", "websockets")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    machine = f"{platform.system()} {platform.machine()}"
    return _HOW.format(
        rounds=len(next(iter(found.values()))),
        versions=f"Python {platform.python_version()}, {versions}, {machine}.",
        imports="\n".join(_rows(found)),
        commands="\n".join(_commands(found)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.import_time")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", type=pathlib.Path, help="the page to write")
    options = parser.parse_args()
    text = page(run(options.rounds))
    print(text)
    if options.write is not None:
        options.write.write_text(text)


if __name__ == "__main__":
    main()
