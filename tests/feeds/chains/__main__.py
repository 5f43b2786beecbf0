"""The command: ``python -m tests.feeds.chains --seeds 10 --blocks 500``.

It ends with 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import pathlib
import sys
import time
from typing import Any

from tests.feeds.chains import campaign, page


PARTS = {"chain": campaign.chain, "lies": campaign.lying, "killed": campaign.kills}


async def carry_out(part: str, options: argparse.Namespace, known: Any) -> None:
    """Run one part over its seeds, tell how it goes, and keep each run."""
    known[part] = []
    known["about"] = campaign.about()
    began = time.monotonic()
    seeds = range(1, options.seeds + 1)
    async for report in PARTS[part](seeds, options.blocks):
        known[part].append(report)
        if options.json is not None:
            options.json.write_text(json.dumps(known, indent=1) + "\n")
        names = (part, report.get("lie", ""), report.get("verify", ""))
        took = f"{time.monotonic() - began:.0f} s"
        wrong = report["violations"][:5] or "right"
        print(*names, f"seed {report['seed']}, {took}:", wrong, flush=True)


def main() -> int:
    """Run, and tell."""
    parser = argparse.ArgumentParser(prog="tests.feeds.chains", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--blocks", type=int, default=500)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument(
        "--json", type=pathlib.Path, help="what came of it; parts not run stay"
    )
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    options = parser.parse_args()
    for name in ("resilient_ws", "asyncio", "web3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    known: dict[str, Any] = {}
    if options.json is not None and options.json.exists():
        known = json.loads(options.json.read_text())
    for part in options.part or PARTS:
        asyncio.run(carry_out(part, options, known))
    if options.write is not None:
        options.write.write_text(page.markdown(known))
    parts = [known.get(part, []) for part in PARTS]
    return 1 if any(report["violations"] for part in parts for report in part) else 0


if __name__ == "__main__":
    sys.exit(main())
