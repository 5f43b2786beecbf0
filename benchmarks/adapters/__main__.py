"""The command: ``python -m benchmarks.adapters [--write FILE] [--only NAME]``."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import pathlib
from typing import Final

from benchmarks.adapters import page
from benchmarks.adapters.contest import WAYS, Contest, Outcome, Way, play
from benchmarks.adapters.faults import TROUBLES, Trouble


#: The modules of this folder that hold a ``CONTEST``.
NAMES: Final = (
    "socketio",
    "jsonrpc_websocket",
    "home_assistant",
    "websockets",
    "web3",
    "slack",
    "gql",
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.adapters")
    parser.add_argument("--write", type=pathlib.Path, help="the page to write")
    parser.add_argument("--only", action="append", choices=NAMES)
    parser.add_argument("--trouble", action="append", help="names of troubles")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=4, help="plays at one time")
    return parser.parse_args()


async def main() -> None:
    """Play all that is asked for, some at a time, and tell each outcome."""
    arguments = _arguments()
    contests: list[Contest] = [
        importlib.import_module(f"benchmarks.adapters.{name}").CONTEST
        for name in arguments.only or NAMES
    ]
    troubles = [
        trouble
        for trouble in TROUBLES
        if arguments.trouble is None or trouble.name in arguments.trouble
    ]
    places = asyncio.Semaphore(arguments.jobs)
    results: dict[tuple[str, str, str], list[Outcome]] = {}

    async def one(contest: Contest, way: Way, trouble: Trouble) -> None:
        async with places:
            outcome = await play(contest, way, trouble)
        results.setdefault((contest.name, trouble.name, way), []).append(outcome)
        print(f"{contest.name}, {trouble.name}, {way}: {outcome}", flush=True)
        # What has been played is not lost with what comes after it.
        if arguments.write is not None:
            page.write(results, contests, arguments.write)

    async with asyncio.TaskGroup() as group:
        for contest in contests * arguments.rounds:
            for trouble in troubles:
                for way in WAYS:
                    group.create_task(one(contest, way, trouble))


if __name__ == "__main__":
    asyncio.run(main())
