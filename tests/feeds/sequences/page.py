"""The report of a run, as a page of the documentation."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from tests.feeds.sequences.run import Report


_HEAD = """\
# Sequences

Written by `make sequences MINUTES={minutes:g} SEED={seed}` on Python {python};
every figure is of that run. A server in a process of its own keeps a
book for each key and sends what changes. To every other key it does wrong on purpose;
it is killed with `kill -9` and comes back with other books; its link is reset, and
black-holed, by `resilient_ws.testing.FaultProxy`. `resilient_ws.feeds.Books` keeps the
books: half by snapshots in band, half by snapshots that are asked for.

With each change the server sends a hash of the whole book, which the client does not
use: the judge compares it with the client's book after each change. A book that was
given out and differs is a silent hole. A key that the server never hurt may be lost
once for each connection, and never otherwise.

| | |
| --- | --- |
"""


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"


def _at(values: list[float], share: float) -> str:
    return f"{values[int(share * (len(values) - 1))]:.3f} s" if values else "none"


def markdown(report: Report) -> str:
    """The page."""
    head = _HEAD.format(
        minutes=report.seconds / 60, seed=report.seed, python=platform.python_version()
    )
    lost = report.lost_for
    rows = [
        ("keys, changes a second", f"{report.keys}, {report.rate:g}"),
        ("done to keys, on purpose", _counts(report.hurt)),
        ("done to the link and the server", _counts(report.faults)),
        ("connections", f"{report.connections}"),
        ("changes applied, each compared", f"{report.applied}"),
        ("`Synced`, `Stale`", f"{report.synced}, {report.stales}"),
        ("`Stale` because", _counts(report.reasons)),
        ("books made anew on a live connection", f"{report.resyncs}"),
        ("repeats left out", f"{report.repeats}"),
        (
            "a book was lost for, median / 99th / longest",
            f"{_at(lost, 0.5)} / {_at(lost, 0.99)} / {_at(lost, 1.0)}",
        ),
        ("promises broken", f"{len(report.violations)}"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    broken = "".join(f"\n- {what}" for what in report.violations)
    return f"{head}{table}\n{broken}"
