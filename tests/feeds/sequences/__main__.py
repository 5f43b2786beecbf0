"""The command: ``python -m tests.feeds.sequences --minutes 5 --seed 7``.

It ends with 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import pathlib
import random
import sys

from tests.feeds.sequences import page
from tests.feeds.sequences.run import Run


def main() -> int:
    """Run, and tell."""
    parser = argparse.ArgumentParser(prog="tests.feeds.sequences", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=1000.0, help="changes a second")
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    options = parser.parse_args()
    logging.getLogger("resilient_ws").setLevel(logging.ERROR)
    run = Run(
        seed=options.seed,
        seconds=options.minutes * 60,
        keys=options.keys,
        rate=options.rate,
    )
    report = asyncio.run(run.run())
    print(page.markdown(report))
    if options.write is not None:
        options.write.write_text(page.markdown(report))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
