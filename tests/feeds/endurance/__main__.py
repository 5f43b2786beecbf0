"""The command: ``python -m tests.feeds.endurance [calls returns slow floods]``.

Without a name it runs all of them. It ends with 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import pathlib
import random
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from tests.feeds.endurance import calls, floods, page, returns, slow


if TYPE_CHECKING:
    from collections.abc import Awaitable


def campaign(
    name: str, options: argparse.Namespace, folder: pathlib.Path
) -> Awaitable[tuple[str, list[str]]]:
    """Run a campaign at full size; return what was seen, and what was wrong."""
    if name == "calls":
        return calls.run(folder, seed=options.seed)
    if name == "returns":
        return returns.run(folder)
    if name == "slow":
        return slow.run(folder)
    return floods.run()


def section(name: str, options: argparse.Namespace) -> page.Section:
    """Run a campaign, and make its section."""
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        work = campaign(name, options, pathlib.Path(folder))
        text, faults = asyncio.run(_run(work))
    return page.Section(
        name=name,
        options=f" --seed {options.seed}" if name == "calls" else "",
        text=text,
        faults=faults,
        seconds=time.monotonic() - began,
        load=(load, os.getloadavg()[0]),
    )


async def _run(work: Awaitable[tuple[str, list[str]]]) -> tuple[str, list[str]]:
    return await work


def main() -> int:
    """Run, and tell."""
    parser = argparse.ArgumentParser(prog="tests.feeds.endurance", description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(page.TITLES))
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    options = parser.parse_args()
    unknown = set(options.names) - set(page.TITLES)
    if unknown:
        parser.error(f"{unknown} is none of {', '.join(page.TITLES)}")
    logging.getLogger("resilient_ws").setLevel(logging.CRITICAL)
    faults: list[str] = []
    for name in options.names or page.TITLES:
        made = section(name, options)
        print(made.markdown(), flush=True)
        faults += made.faults
        if options.write is not None:
            page.write(options.write, made)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
