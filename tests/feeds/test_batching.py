"""batches(): nothing is lost between two tuples, and none comes later than promised."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

from resilient_ws.feeds import FeedError, batches
from resilient_ws.testing import VirtualLoop, assert_no_leaks


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def feed(*waits: float, end: Exception | None = None) -> AsyncIterator[int]:
    for number, wait in enumerate(waits):
        await asyncio.sleep(wait)
        yield number
    if end is not None:
        raise end


async def timed(items: AsyncIterator[tuple[int, ...]]) -> list[tuple[object, ...]]:
    clock = asyncio.get_running_loop().time
    return [(pytest.approx(clock()), *one) async for one in items]


async def test_a_tuple_ends_so_long_after_its_first_item() -> None:
    found = await timed(batches(feed(3, 1, 1, 10, 1), within=5))
    assert found == [(8, 0, 1, 2), (16, 3, 4)]


async def test_a_tuple_ends_when_it_is_full() -> None:
    found = await timed(batches(feed(0, 0, 0, 0, 0), within=60, most=2))
    assert found == [(0, 0, 1), (0, 2, 3), (0, 4)]


async def test_what_came_before_an_error_is_yielded_before_it() -> None:
    found = batches(feed(0, 0, end=FeedError("ended")), within=9)
    assert await anext(found) == (0, 1)
    with pytest.raises(FeedError, match="ended"):
        await anext(found)


async def test_a_timeout_of_the_feed_is_an_error_of_the_feed() -> None:
    with pytest.raises(TimeoutError):
        await timed(batches(feed(0, end=TimeoutError()), within=9))


@pytest.mark.parametrize(
    ("within", "most", "named"), [(1, 0, "most"), (-1, 5, "within")]
)
def test_impossible_numbers_are_refused_before_the_feed_is_read(
    within: float, most: int, named: str
) -> None:
    with pytest.raises(ValueError, match=f"^{named} must be"):
        batches(feed(0), within=within, most=most)


async def test_closing_it_leaves_nothing_behind() -> None:
    async with assert_no_leaks():
        items = feed(0, 1000)
        found = batches(items, within=1)
        assert await anext(found) == (0,)
        await found.aclose()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 20), max_size=20),
    st.floats(0, 30),
    st.integers(1, 5),
    st.floats(0, 30),
)
def test_every_item_comes_once_and_in_order(
    waits: list[float], within: float, most: int, pause: float
) -> None:
    found: list[tuple[int, ...]] = []

    async def main() -> None:
        async for one in batches(feed(*waits), within=within, most=most):
            found.append(one)
            await asyncio.sleep(pause)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    assert [item for one in found for item in one] == list(range(len(waits)))
    assert all(1 <= len(one) <= most for one in found)
