"""Several legs as one: first wins, and a hole is told only where all have it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resilient_ws.feeds import Gap, Merged, NotBackfillable, merge
from resilient_ws.feeds.leg_holes import MAX_HOLES


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


Step = int | Gap | float | Exception


def gap(first: int | None = None, until: int | None = None) -> Gap:
    because = NotBackfillable("There is no history.")
    return Gap(key="k", first_missing=first, until=until, because=because)


async def leg(*steps: Step) -> AsyncIterator[int | Gap]:
    """A stream: numbers and gaps, and floats for the seconds between them."""
    for step in steps:
        if isinstance(step, float):
            await asyncio.sleep(step)
        elif isinstance(step, Exception):
            raise step
        else:
            yield step


def merged(*legs: AsyncIterator[int | Gap], window: int = 10_000) -> Merged[int]:
    return merge(*legs, identity=int, window=window)


def bounds(found: list[int | Gap]) -> list[int | tuple[object, object]]:
    return [(i.first_missing, i.until) if isinstance(i, Gap) else i for i in found]


async def test_the_first_to_bring_an_item_wins() -> None:
    async with merged(leg(1, 0.1, 2, 3), leg(0.05, 1, 2, 0.2, 3)) as both:
        assert [item async for item in both] == [1, 2, 3]
        first, second = both.legs[0], both.legs[1]
    assert (first.items, first.first, first.late) == (3, 2, 1)
    assert (second.items, second.first, second.late) == (3, 1, 2)
    assert second.worst == pytest.approx(0.15)
    assert second.lateness == pytest.approx(0.2)


@pytest.mark.parametrize("lag", [-0.5, 0.0, 0.5])
async def test_a_hole_that_another_leg_covers_is_not_told(lag: float) -> None:
    holed = leg(max(lag, 0.0), 1, 2, gap(3, 4), 5, 6)
    whole = leg(max(-lag, 0.0), 1, 2, 3, 4, 5, 6)
    async with merged(holed, whole) as both:
        found = [item async for item in both]
    assert sorted(bounds(found), key=str) == [1, 2, 3, 4, 5, 6]


async def test_a_hole_of_all_legs_is_told_with_what_all_miss() -> None:
    async with merged(leg(1, gap(2, 5), 6), leg(0.1, 1, 2, gap(3, 4), 5, 6)) as both:
        found = bounds([item async for item in both])
    # Once, although each leg has it.
    assert [item for item in found if isinstance(item, tuple)] == [(3, 4)]
    assert {item for item in found if isinstance(item, int)} == {1, 2, 5, 6}


async def test_of_holes_that_were_told_only_the_newest_are_remembered() -> None:
    steps: list[Step] = []
    for n in range(0, 3 * MAX_HOLES, 2):
        steps += [n, gap(n + 1, n + 1)]
    async with merged(leg(*steps, 9999), leg(*steps, 9999)) as both:
        found = bounds([item async for item in both])
        assert len(both._told) <= MAX_HOLES
    holes = [item for item in found if isinstance(item, tuple)]
    assert set(holes) == {(n + 1, n + 1) for n in range(0, 3 * MAX_HOLES, 2)}


async def test_a_leg_that_has_a_hole_twice_has_two() -> None:
    """The server began its count anew."""
    steps = (1, gap(2, 2), 3, 101, gap(2, 2), 103)
    async with merged(leg(*steps), leg(0.1, *steps)) as both:
        found = bounds([item async for item in both])
    assert [item for item in found if isinstance(item, tuple)] == [(2, 2), (2, 2)]


async def test_holes_that_do_not_meet_are_not_told() -> None:
    async with merged(leg(1, gap(2, 2), 3, 4), leg(1, 2, gap(3, 3), 4)) as both:
        found = bounds([item async for item in both])
    assert sorted(found, key=str) == [1, 2, 3, 4]


async def test_a_hole_without_numbers_is_told_where_the_others_have_one_too() -> None:
    async with merged(leg(1, gap(), 4), leg(1, gap(), 4)) as both:
        found = bounds([item async for item in both])
    assert found == [1, 4, (None, None), (None, None)]


async def test_a_hole_is_told_when_the_others_do_not_come_in_time() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with merged(leg(1, gap(2, 2), 3, 100.0), leg(100.0)) as both:
        assert bounds([await anext(both) for _ in range(3)]) == [1, 3, (2, 2)]
    assert loop.time() - began == pytest.approx(5)


async def test_a_hole_at_the_end_is_told_though_nothing_follows() -> None:
    async with merged(leg(1, gap(2, None), 100.0), leg(1, gap(2, None), 100.0)) as both:
        found = bounds([await anext(both) for _ in range(3)])
    assert found == [1, (2, None), (2, None)]


async def test_one_leg_may_die() -> None:
    dies = leg(1, 2, ConnectionError("gone"))
    async with merged(dies, leg(0.1, 1, 2, 3, 4)) as both:
        assert [item async for item in both] == [1, 2, 3, 4]
        assert isinstance(both.legs[0].failure, ConnectionError)


async def test_a_leg_that_dies_in_a_hole_leaves_it_to_the_others() -> None:
    dies = leg(1, gap(2, None), 0.1, ConnectionError("gone"))
    async with merged(dies, leg(1, 2, 3, 0.5, 4)) as both:
        assert [item async for item in both] == [1, 2, 3, 4]


async def test_what_ended_the_last_is_raised() -> None:
    async with merged(leg(1), leg(0.1, ConnectionError("gone"))) as both:
        assert await anext(both) == 1
        with pytest.raises(ConnectionError, match="gone"):
            await anext(both)


async def test_a_reader_that_is_slow_holds_the_legs_up_and_loses_nothing() -> None:
    numbers = range(5000)
    async with merged(leg(*numbers), leg(*numbers)) as both:
        await asyncio.sleep(1)
        assert max(one.items for one in both.legs.values()) <= 1025 * 2
        assert [item async for item in both] == list(numbers)


async def test_beyond_the_window_repeats_are_items() -> None:
    numbers = range(10)
    async with merged(leg(*numbers), leg(1.0, *numbers), window=5) as both:
        found = [item async for item in both]
    assert found == [*numbers, *numbers]


async def test_of_many_holes_none_is_silent() -> None:
    steps = [step for n in range(3 * MAX_HOLES) for step in (n * 2, gap(n * 2 + 1))]
    async with merged(leg(*steps, -1), leg(*steps, -1)) as both:
        found = [item async for item in both]
    assert sum(isinstance(item, Gap) for item in found) == 6 * MAX_HOLES


async def test_cancelling_a_read_loses_nothing() -> None:
    async with merged(leg(1.0, 1, 2)) as both:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(both)
        assert [item async for item in both] == [1, 2]


async def test_a_leg_whose_removal_is_cancelled_has_ended_all_the_same() -> None:
    slow = asyncio.Event()

    async def stubborn() -> AsyncIterator[int | Gap]:
        try:
            await asyncio.sleep(3600)
            yield 0
        finally:
            await slow.wait()

    async with merged(leg(1), stubborn()) as both:
        assert await anext(both) == 1
        removing = asyncio.create_task(both.remove(1))
        await asyncio.sleep(0)
        removing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await removing
        slow.set()
        assert [item async for item in both] == []
        assert both.legs[1].ended


async def test_nothing_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="streams is empty: pass at least one"):
        merge(identity=int)
