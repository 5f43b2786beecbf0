"""Trades from the socket to decoded structs, as a program of a user has it.

Every way takes the same trades, and decodes them with the same decoder of msgspec. What
is shown is how many of them one core takes in a second.
"""

from __future__ import annotations

import statistics
from typing import Any, Final

from benchmarks.speed.clients import pure
from benchmarks.speed.compare import Arena, row_of
from benchmarks.speed.frames import numbered
from benchmarks.speed.plan import LOOPS, Cell
from benchmarks.speed.traders import OURS, AiohttpByHand, PicowsByHand


COUNT: Final = 40_000
SIZE: Final = len(numbered(0))
#: What the others are compared with.
BY_HAND: Final = AiohttpByHand.name
CLIENTS: Final = (
    *(name for one in OURS for name in (one.name, pure(one.name))),
    BY_HAND,
    PicowsByHand.name,
)


def measure(*, quick: bool) -> list[dict[str, Any]]:
    with Arena() as arena:
        return [
            row
            for loop in (LOOPS[-1:] if quick else LOOPS)
            for row in compare(arena, cell(loop, quick=quick))
        ]


def cell(loop: str, *, quick: bool) -> Cell:
    return Cell(
        scenario="follow",
        loop=loop,
        size=SIZE,
        count=2_000 if quick else COUNT,
        clients=CLIENTS,
        rounds=1 if quick else 7,
    )


def compare(arena: Arena, cell: Cell) -> list[dict[str, Any]]:
    """Return what each way costs, and how many times as fast as by hand it is."""
    taken = arena.played(cell)
    return [
        row_of(cell, name, taken)
        | {
            "gain": statistics.median(
                theirs["cpu"] / one["cpu"]
                for theirs, one in zip(taken[BY_HAND], taken[name], strict=True)
            )
        }
        for name in cell.present
    ]
