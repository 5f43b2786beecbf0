"""The command: ``python -m tests.soak --minutes 10 --seed 7``; see ``make soak``.

It ends with 1 when a promise was broken. The same seed draws the same faults.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import pathlib
import random
import sys

import pytest

from tests.soak import page
from tests.soak.run import run, script_of


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--json", type=pathlib.Path, help="a file for the report")
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    parser.add_argument("--script", action="store_true", help="show the faults only")
    return parser.parse_args()


def main() -> int:
    """Run, and tell."""
    options = _arguments()
    if options.script:
        print(*script_of(options.seed, options.minutes), sep="\n")
        return 0
    print(f"make soak MINUTES={options.minutes:g} SEED={options.seed}", flush=True)
    logging.getLogger("resilient_ws").setLevel(logging.ERROR)
    try:
        report = asyncio.run(run(seed=options.seed, minutes=options.minutes))
    except pytest.skip.Exception as missing:
        sys.exit(str(missing))
    print(page.text(report))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report.json(), indent=1))
    if options.write is not None:
        options.write.write_text(page.markdown(report))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
