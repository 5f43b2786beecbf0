"""Counts what is lost when the sender is killed and its link is cut, over and over.

    python -m tests.crash.run --rounds 200 --write docs/crash.md

It ends with 1 if a promise was broken, and then says where the journals are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pathlib
import random
import shutil
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from tests.crash.campaign import Campaign
from tests.crash.setting import SETTINGS
from tests.crash.verdict import judge


if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.crash.setting import Setting
    from tests.crash.verdict import Verdict

#: Violations that are shown of one campaign; the JSON has them all.
SHOWN = 10


async def campaign(
    setting: Setting, folder: pathlib.Path, rounds: int, seed: int
) -> Verdict:
    """Run one campaign in a folder of its own, and judge it."""
    own = folder / setting.name.replace(", ", "-")
    own.mkdir()
    rng = random.Random(f"{seed} {setting.name}")
    return judge(setting, await Campaign(setting, own, rng).run(rounds))


async def campaigns(folder: pathlib.Path, rounds: int, seed: int) -> dict[str, Verdict]:
    """Run all of them side by side: what they do most is wait for the disk."""
    verdicts = await asyncio.gather(
        *(campaign(setting, folder, rounds, seed) for setting in SETTINGS.values())
    )
    return dict(zip(SETTINGS, verdicts, strict=True))


def table(verdicts: Mapping[str, Verdict]) -> str:
    """The figures, a column for each setting."""
    rows = [
        ["", *(f"`{name}`" for name in verdicts)],
        ["---", *("---:" for _ in verdicts)],
    ]
    for name in next(iter(verdicts.values())).figures:
        shown = [f"{verdict.figures[name]:,}" for verdict in verdicts.values()]
        rows.append([name, *shown])
    broken = [str(len(verdict.violations)) for verdict in verdicts.values()]
    rows.append(["**promises broken**", *(f"**{number}**" for number in broken)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def page(verdicts: Mapping[str, Verdict], seed: int, took: float) -> str:
    """Tell it all in Markdown."""
    kills = sum(verdict.figures["kills"] for verdict in verdicts.values())
    return f"""# Crashes: what is left after `kill -9`

Written by `make crash` (seed {seed}, {took / 60:.0f} min); every figure is of that run.
A process sends numbered messages from a `SQLiteStore` to websockets, aiohttp and node's
ws, one of them in each of its lives. It was killed with SIGKILL {kills} times, at random
moments, and started again on the same file; its connections meanwhile were cut at random
bytes, black-holed, throttled and refused. At the end one more life drained the store.

The servers' logs are compared with what the process wrote down of each `send` that
returned, of each confirmation and of each loss, and with what was in the store after
each kill (`tests/crash/verdict.py`). What the settings promise:
[delivery.md](delivery.md).

{table(verdicts)}

A message *tried, never accepted* is one whose `send` had not returned at a kill: it may
arrive or not. One *counted at a drop* is in `ConnectionDropped.unconfirmed`. One *in
flight at a kill* had left the store, as `"write"` has it, and had not arrived: nobody was
left to report it. With `"pong"` the next life reports it.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=200, help="kills of each setting")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=pathlib.Path, help="a page; the JSON is beside")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="resilient-ws-crash-"))
    began = time.monotonic()
    verdicts = asyncio.run(campaigns(folder, options.rounds, options.seed))
    took = time.monotonic() - began
    print(table(verdicts))
    if options.write is not None:
        options.write.write_text(page(verdicts, options.seed, took))
        report = {
            name: {"figures": verdict.figures, "violations": verdict.violations}
            for name, verdict in verdicts.items()
        }
        found = {"seed": options.seed, "seconds": round(took), "settings": report}
        text = json.dumps(found, indent=1) + "\n"
        options.write.with_suffix(".json").write_text(text)
    broken = [(n, one) for n, verdict in verdicts.items() for one in verdict.violations]
    for name, violation in broken[:SHOWN]:
        print(f"{name}: {violation}")
    if broken:
        print(f"{len(broken)} promises broken; the journals are in {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
