"""The command: ``python -m benchmarks.reliability [--write docs/reliability.md]``.

It needs root, for the namespaces. It ends with 1 when this library broke a promise.
"""

from __future__ import annotations

import argparse
import asyncio
import pathlib
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.reliability import page
from benchmarks.reliability.network import obstacle, sweep
from benchmarks.reliability.page import Result
from benchmarks.reliability.rows import SITUATIONS
from benchmarks.reliability.situation import CLIENTS, perform


if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.reliability.situation import Outcome, Situation


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.reliability")
    parser.add_argument("--write", type=pathlib.Path, help="the page to write")
    parser.add_argument(
        "--only",
        action="append",
        help="rows whose name has this in it, or whose module has this name",
    )
    parser.add_argument("--library", action="append", choices=list(CLIENTS))
    parser.add_argument("--rounds", type=int, help="instead of each row's own number")
    parser.add_argument("--jobs", type=int, default=24, help="plays at one time")
    return parser.parse_args()


def _is_wanted(row: Situation, only: Sequence[str] | None) -> bool:
    module = row.play.__module__.rpartition(".")[2]
    return only is None or any(word in row.name or word == module for word in only)


class Run:
    """Plays rows beside one another, where that disturbs none of them."""

    def __init__(self, jobs: int, rounds: int | None) -> None:
        self._rounds = rounds
        self._places = asyncio.Semaphore(jobs)
        self._starting = asyncio.Semaphore(2)

    async def play(
        self, rows: Sequence[Situation], libraries: Sequence[str]
    ) -> list[Result]:
        """Play all; the quiet rows together, then the others one by one."""
        casts = [
            (row, library)
            for row in rows
            for library in libraries
            if library not in row.without
        ]
        played: dict[tuple[Situation, str], Result] = {}

        async def result(cast: tuple[Situation, str]) -> None:
            played[cast] = await self._result(*cast)

        # Unlike gather, a group that is cancelled waits until all have tidied up.
        async with asyncio.TaskGroup() as group:
            for cast in casts:
                if not cast[0].alone:
                    group.create_task(result(cast))
        for cast in casts:
            if cast[0].alone:
                await result(cast)
        return [played[cast] for cast in casts]

    async def _result(self, row: Situation, library: str) -> Result:
        rounds = self._rounds or row.rounds
        async with asyncio.TaskGroup() as group:
            plays = [
                group.create_task(self._place(row, library)) for _ in range(rounds)
            ]
        result = Result(row, library, [play.result() for play in plays])
        print(f"{row.name}, {library}: {page.verdict(result)}", flush=True)
        return result

    async def _place(self, row: Situation, library: str) -> Outcome:
        async with self._places:
            return await perform(row, library, self._starting)


async def main() -> int:
    """Run what the command line asks for."""
    arguments = _arguments()
    if (reason := await obstacle()) is not None:
        print(f"reliability: {reason}", file=sys.stderr)
        return 2
    await sweep()
    wanted = [row for row in SITUATIONS if _is_wanted(row, arguments.only)]
    since = time.monotonic()
    run = Run(arguments.jobs, arguments.rounds)
    results = await run.play(wanted, arguments.library or list(CLIENTS))
    took = time.monotonic() - since
    if arguments.write is not None:
        page.write(results, arguments.write, took=took)
    failures = page.broken(results)
    for failure in failures:
        print(f"BROKEN  {failure}", file=sys.stderr)
    print(f"{len(results)} verdicts in {took:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
