"""Legs with holes anywhere: each item comes once, and no hole of all is silent."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import TYPE_CHECKING

from hypothesis import given, settings, strategies as st

from resilient_ws.feeds import Gap, NotBackfillable, merge
from resilient_ws.feeds.leg_holes import MAX_BEFORE
from resilient_ws.testing import VirtualLoop


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


# Farther back than that, merge does not look for what another leg brought too: a hole
# may then be told although a leg had filled it (in doubt it is told).
LAST = MAX_BEFORE


async def leg(kept: set[int], pauses: list[float]) -> AsyncIterator[int | Gap]:
    """The numbers that are kept, with a gap wherever others are missing."""
    because = NotBackfillable("There is no history.")
    for number, pause in enumerate(pauses):
        await asyncio.sleep(pause)
        if number in kept:
            yield number
        elif number - 1 in kept:
            until = number
            while until + 1 not in kept:
                until += 1
            yield Gap(key="k", first_missing=number, until=until, because=because)


# The first and the last are brought by all: what they miss is between.
kept = st.sets(st.integers(0, LAST)).map(lambda numbers: numbers | {0, LAST})
pauses = st.lists(
    st.sampled_from((0.0, 0.1, 0.3)), min_size=LAST + 1, max_size=LAST + 1
)


def runs(numbers: set[int]) -> set[tuple[int, int]]:
    """The numbers as ranges."""
    found = groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    ranges = ([number for _, number in group] for _, group in found)
    return {(numbers[0], numbers[-1]) for numbers in ranges}


@given(st.lists(st.tuples(kept, pauses), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_each_item_once_and_the_holes_of_all(
    legs: list[tuple[set[int], list[float]]],
) -> None:
    async def merged() -> list[int | Gap]:
        streams = [leg(*each) for each in legs]
        async with merge(*streams, identity=int) as items:
            return [item async for item in items]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        found = runner.run(merged())
    numbers = [item for item in found if not isinstance(item, Gap)]
    brought = set[int]().union(*(kept for kept, _ in legs))
    assert sorted(numbers) == sorted(brought)
    told = {
        number
        for item in found
        if isinstance(item, Gap)
        for number in range(item.first_missing, item.until + 1)
    }
    missing = set(range(LAST + 1)) - brought
    assert missing <= told
    # Nothing more is told: all legs brought both sides of each hole in time.
    assert runs(told) == runs(missing)
