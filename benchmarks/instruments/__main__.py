"""The cost of metrics, and the parts of docs/observability.md that are made.

    python -m benchmarks.instruments [--counts 1 50 500] [--write docs/observability.md]

With ``--table`` nothing is measured: the tables of the metrics, the types of errors and
the alerts are written anew.
"""

from __future__ import annotations

import argparse
import asyncio
import pathlib

from benchmarks.instruments.cost import measure
from benchmarks.instruments.page import PAGE, cost, written


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 50, 500])
    parser.add_argument("--write", type=pathlib.Path, help="the page")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if options.table:
        PAGE.write_text(written(PAGE.read_text(), None))
        return
    figures = [asyncio.run(measure(count)) for count in options.counts]
    figures.append(asyncio.run(measure(options.counts[-1], freeze=True)))
    print(cost(figures))
    if options.write is not None:
        options.write.write_text(written(options.write.read_text(), figures))


if __name__ == "__main__":
    main()
