"""The cases of a flow that have a name; test_flow_model.py has the rest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws.feeds import (
    BackfillFailed,
    BackfillLimit,
    ConsumerTooSlow,
    Continuity,
    Gap,
    NotBackfillable,
    Stage,
    StreamReset,
    Undecodable,
    linked,
    ranges,
)
from resilient_ws.feeds.buffer import Buffer
from resilient_ws.feeds.flow import Flow
from resilient_ws.feeds.source import Source
from tests.feeds.stream import Shape, Stream
from tests.record import now, turns


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def live(stream: Stream, *numbers: int) -> None:
    """Go live with these items, and take them."""
    stream.flow.resume()
    for number in numbers:
        stream.newest = number
        stream.flow.deliver(number)
    await stream.settle()
    assert stream.taken == list(numbers)
    stream.taken.clear()


def bounds(item: Any) -> tuple[Any, Any, type[Exception]]:
    assert isinstance(item, Gap), item
    return item.first_missing, item.until, type(item.because)


async def test_the_first_subscription_of_a_stream_has_no_hole() -> None:
    stream = Stream(Shape())
    stream.flow.resume()
    assert stream.flow.stage is Stage.LIVE
    stream.send()
    await stream.settle()
    assert (stream.taken, stream.fetches) == ([1], [])


async def test_what_came_since_a_stored_cursor_is_fetched_first() -> None:
    stream = Stream(Shape(after=True))
    stream.newest = 5
    stream.flow.resume()
    assert stream.flow.stage is Stage.FILLING
    stream.send()
    await stream.settle()
    assert stream.taken == [1, 2, 3, 4, 5, 6]
    assert stream.fetches == [(0, 6)]
    assert stream.flow.order.cursor == 6


async def test_live_items_wait_behind_the_hole_and_repeats_are_dropped() -> None:
    stream = Stream(Shape(size=10))
    await live(stream, 1)
    stream.flow.suspend()
    assert stream.flow.stage is Stage.DOWN
    stream.newest = 4
    stream.flow.resume()
    stream.answers.append("too much")
    stream.send()
    stream.send()
    await stream.settle()
    assert stream.taken == [2, 3, 4, 5, 6]
    assert stream.flow.order.repeats == 3, "1, and 5 and 6, which were held"


async def test_a_quiet_stream_is_asked_without_waiting_for_an_item() -> None:
    stream = Stream(Shape())
    await live(stream, 1)
    stream.flow.suspend()
    stream.newest = 3
    stream.flow.resume()
    await stream.settle()
    # An answer in parts cannot be told from a whole one: it is asked for the rest.
    assert (stream.taken, stream.fetches) == ([2, 3], [(1, None), (3, None)])


@pytest.mark.parametrize("follows", [True, False])
async def test_a_history_in_pages_is_read_to_its_end(follows: bool) -> None:
    """A page tells nothing of those behind it, and where no item tells either."""
    stream = Stream(Shape(size=10, follows=follows, identity=True))
    await live(stream, 1)
    stream.flow.suspend()
    stream.newest = 5
    stream.flow.resume()
    stream.answers.extend(["part"] * 3)
    await stream.settle()
    assert stream.taken == [2, 3, 4, 5]
    assert stream.fetches == [(after, None) for after in (1, 2, 3, 4, 5)]


async def test_pages_are_read_until_they_reach_what_came_live() -> None:
    stream = Stream(Shape(size=10, follows=False, identity=True))
    await live(stream, 1)
    stream.flow.suspend()
    stream.newest = 3
    stream.flow.resume()
    stream.answers.extend(["part"] * 3)
    stream.send()
    stream.send()
    await stream.settle()
    assert stream.taken == [2, 3, 4, 5]
    assert stream.fetches == [(1, None), (2, None), (3, None)]


async def test_nothing_is_fetched_where_the_next_item_follows() -> None:
    stream = Stream(Shape(size=10))
    await live(stream, 1)
    stream.flow.suspend()
    stream.flow.resume()
    stream.send()
    await stream.settle()
    assert (stream.taken, stream.fetches) == ([2], [])


async def test_a_second_drop_cancels_the_fetch_and_the_next_goes_on_from_there() -> (
    None
):
    stream = Stream(Shape(size=1))
    await live(stream, 1)
    stream.flow.suspend()
    stream.newest = 6
    stream.flow.resume()
    await asyncio.sleep(0.1)  # the consumer has room for one
    stream.flow.suspend()
    stream.newest = 8
    stream.flow.resume()
    await stream.settle()
    assert stream.taken == [2, 3, 4, 5, 6, 7, 8]
    assert stream.fetches == [(1, None), (2, None), (8, None)]


async def test_a_jump_on_a_living_subscription_is_filled() -> None:
    stream = Stream(Shape())
    await live(stream, 1)
    stream.newest = 3
    stream.send()
    assert stream.flow.stage is Stage.FILLING
    await stream.settle()
    assert (stream.taken, stream.fetches) == ([2, 3, 4], [(1, 4)])


async def test_an_answer_in_parts_is_asked_for_again_until_nothing_more_comes() -> None:
    stream = Stream(Shape())
    await live(stream, 1)
    stream.newest = 9
    stream.answers.extend(["part", "part", "nothing"])
    stream.send()
    await stream.settle()
    assert stream.fetches == [(1, 10), (2, 10), (3, 10)]
    assert stream.taken[:2] == [2, 3]
    assert bounds(stream.taken[2]) == (4, 9, BackfillFailed)
    assert stream.taken[3] == 10


async def test_two_holes_are_told_each_in_its_place() -> None:
    stream = Stream(Shape(backfill=False, size=20))
    await live(stream, 1)
    for number in (3, 4, 9):
        stream.flow.deliver(number)
    await stream.settle()
    first, *middle, second, last = stream.taken
    assert bounds(first) == (2, 2, NotBackfillable)
    assert middle == [3, 4]
    assert bounds(second) == (5, 8, NotBackfillable)
    assert last == 9


async def test_what_the_inbox_discarded_behind_a_held_item_is_a_hole_of_its_own() -> (
    None
):
    """The hole that is being filled ends before it."""
    stream = Stream(Shape(size=10))
    await live(stream, 1)
    stream.newest = 3
    stream.send()  # 2 and 3 are missing
    stream.newest = 6
    stream.flow.interrupted()  # 5 and 6 too
    stream.send()
    await stream.settle()
    assert stream.taken == [2, 3, 4, 5, 6, 7]
    assert stream.gaps == []


async def test_what_was_lost_before_the_first_item_is_told() -> None:
    """No position is known yet that could tell."""
    stream = Stream(Shape())
    stream.flow.resume()
    stream.newest = 3
    stream.flow.interrupted()
    stream.send()
    await stream.settle()
    gap, first = stream.taken
    assert bounds(gap) == (None, 3, NotBackfillable)
    assert first == 4


async def test_without_follows_what_was_discarded_is_fetched_or_told() -> None:
    for backfill in (True, False):
        stream = Stream(Shape(follows=False, identity=True, backfill=backfill))
        await live(stream, 1)
        stream.newest = 3
        stream.flow.interrupted()
        stream.send()
        await stream.settle()
        assert stream.numbers == ([2, 3, 4] if backfill else [4])
        assert [bounds(gap)[0] for gap in stream.gaps] == ([] if backfill else [2])


async def test_an_answer_that_never_comes_is_awaited_three_times() -> None:
    stream = Stream(Shape())
    await live(stream, 1)
    stream.newest = 3
    stream.answers.extend(["lost", "timeout", "lost"])
    began = now()
    stream.send()
    await stream.settle()
    assert [len(stream.fetches), len(stream.gaps)] == [3, 1]
    assert bounds(stream.taken[0]) == (2, 3, BackfillFailed)
    assert isinstance(stream.taken[0].because.__cause__, Exception)
    assert now() - began >= 1.5
    stream.newest = 6
    stream.send()
    await stream.settle()
    assert stream.taken[1:] == [4, 5, 6, 7], "the next hole is asked for again"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("error", "RPCError"),
        ("broken", "BackfillFailed"),
        ("nothing", "BackfillFailed"),
    ],
)
async def test_what_cannot_be_fetched_is_a_gap_with_exact_bounds(
    answer: str, reason: str
) -> None:
    stream = Stream(Shape())
    await live(stream, 1)
    stream.newest = 5
    stream.answers.append(answer)
    stream.send()
    await stream.settle()
    gap = stream.taken[0]
    assert (gap.key, gap.first_missing, gap.until) == ("model", 2, 5)
    assert type(gap.because).__name__ == reason
    assert stream.taken[1:] == [6]


async def test_a_limit_of_the_source_is_told_as_it_is() -> None:
    limit = BackfillLimit("128 blocks")

    async def backfill(after: int, until: int | None) -> AsyncIterator[int]:
        if after:
            raise limit
        yield after

    stream = Stream(Shape())
    object.__setattr__(stream.source, "backfill", backfill)
    await live(stream, 1)
    stream.newest = 5
    stream.send()
    await stream.settle()
    assert stream.taken[0].because is limit


# What cannot be read.


async def test_an_item_that_cannot_be_read_is_a_gap_in_its_place() -> None:
    stream = Stream(Shape())
    await live(stream, 1)
    stream.flow.deliver("?")
    stream.newest = 2
    stream.send()
    await stream.settle()
    gap, item = stream.taken
    assert bounds(gap) == (2, None, Undecodable)
    assert isinstance(gap.because.__cause__, ValueError)
    assert item == 3


async def test_one_that_was_held_is_no_gap_if_the_history_has_it() -> None:
    stream = Stream(Shape(size=10))
    await live(stream, 1)
    stream.newest = 3
    stream.send()
    stream.newest = 5
    stream.flow.deliver("?")
    stream.send()
    stream.answers.extend(["too much"])
    await stream.settle()
    assert stream.taken == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("what", ["cursor_of", "follows", "identity"])
@pytest.mark.parametrize("holding", [False, True])
async def test_whatever_the_callables_raise_the_stream_goes_on(
    what: str, holding: bool
) -> None:
    """A server that sends one odd item must not end the channel, nor the stream."""

    def fails(*args: Any) -> Any:
        if args[-1] == 13:
            raise KeyError("n")
        return args[-1] if what != "follows" else Continuity.NEXT

    taken: list[Any] = []
    buffer: Buffer[Any] = Buffer(20)
    source: Source[Any, Any] = Source(subscribe=_subscribe, **{what: fails})  # type: ignore[arg-type]
    flow: Flow[Any, Any] = Flow(
        "odd", source, buffer, after=None, refill=True, spawn=asyncio.create_task
    )
    flow.resume()
    if holding:
        flow.deliver(1)
        flow.suspend()
        flow.resume()
    for item in (2, 13, 3):
        flow.deliver(item)
    await turns()
    assert flow.stage is Stage.LIVE
    while len(buffer):
        taken.append(await buffer.take())
    assert [item for item in taken if not isinstance(item, Gap)][-2:] == [2, 3]
    gap = taken[-2]
    assert isinstance(gap, Gap)
    assert isinstance(gap.because, Undecodable)


async def test_a_source_that_fails_only_the_second_time_is_a_gap_too() -> None:
    """What is held was looked at; if it then fails all the same, nothing hangs."""
    calls = 0

    def cursor_of(item: int) -> int:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise ZeroDivisionError
        return item

    buffer: Buffer[Any] = Buffer(3)
    source: Source[int, int] = Source(subscribe=_subscribe, cursor_of=cursor_of)
    flow: Flow[int, int] = Flow(
        "odd", source, buffer, after=0, refill=True, spawn=asyncio.create_task
    )
    flow.resume()
    for item in (1, 2, 3):
        flow.deliver(item)
    await turns()
    assert flow.stage is Stage.LIVE
    assert len(buffer) > 0


# A slow consumer.


async def test_a_slow_consumer_costs_requests_and_no_data() -> None:
    stream = Stream(Shape(size=4))
    await live(stream, 1)
    for _ in range(50):
        stream.send()
        stream.check_bounds()
    assert stream.flow.stage is Stage.BEHIND
    await stream.settle()
    assert stream.taken == list(range(2, 52))
    assert len(stream.fetches) < 20
    assert stream.flow.dropped == 0


async def test_or_a_gap_where_that_is_wanted() -> None:
    stream = Stream(Shape(size=4, refill=False))
    await live(stream, 1)
    for _ in range(50):
        stream.send()
    await stream.settle()
    assert stream.taken[:4] == [2, 3, 4, 5]
    assert bounds(stream.taken[4]) == (6, 51, ConsumerTooSlow)
    assert (stream.flow.dropped, stream.fetches) == (46, [])
    stream.send()
    await stream.settle()
    assert stream.taken[5:] == [52]


async def test_what_jumped_while_he_was_too_slow_is_in_the_gap() -> None:
    stream = Stream(Shape(size=1, refill=False))
    await live(stream, 1)
    for number in (2, 5, 9, 4, 9):
        stream.flow.deliver(number)
    await stream.settle()
    assert stream.taken[0] == 2
    assert bounds(stream.taken[1]) == (3, 9, ConsumerTooSlow)
    assert (stream.flow.dropped, stream.flow.order.repeats) == (2, 2)
    stream.newest = 9
    stream.send()
    await stream.settle()
    assert stream.taken[2:] == [10]


async def test_an_unreadable_item_does_not_lose_the_cursor() -> None:
    stream = Stream(Shape(size=1, refill=False))
    await live(stream, 1)
    for value in (2, 3, "?"):
        stream.flow.deliver(value)
    await stream.settle()
    assert stream.taken[0] == 2
    assert bounds(stream.taken[1]) == (3, None, ConsumerTooSlow)
    assert stream.flow.order.cursor == 3


async def test_what_he_left_stays_left_across_a_drop() -> None:
    stream = Stream(Shape(size=1, refill=False))
    await live(stream, 1)
    for _ in range(3):
        stream.send()
    stream.flow.suspend()
    stream.newest = 6
    stream.flow.resume()
    await stream.settle()
    assert stream.taken[0] == 2
    assert bounds(stream.taken[1]) == (3, 4, ConsumerTooSlow)
    assert stream.taken[2:] == [5, 6], "what came during the drop is fetched"


# Positions that are no plain numbers.


async def test_a_new_count_is_told_and_its_gap_has_no_end() -> None:
    def follows(last: int | None, item: int) -> Continuity:
        if item == 1 and last is not None:
            return Continuity.RESET
        if last is None or item == last + 1:
            return Continuity.NEXT
        return Continuity.REPEAT if item <= last else Continuity.JUMP

    for backfill in (True, False):
        stream = Stream(Shape(backfill=backfill))
        stream.flow.order._follows = follows
        await live(stream, 100)
        stream.flow.deliver(1)
        stream.flow.deliver(2)
        await stream.settle()
        assert bounds(stream.taken[0]) == (101, None, StreamReset)
        assert stream.taken[1:] == [1, 2]
        assert stream.fetches == [], "there is nothing to ask for"


async def test_the_gap_before_an_item_that_covers_a_range_ends_where_it_begins() -> (
    None
):
    source: Source[Any, int] = Source(
        subscribe=_subscribe,
        cursor_of=lambda item: item[1],
        first_of=lambda item: item[0],
        follows=ranges(lambda item: item[0], lambda item: item[1]),
    )
    buffer: Buffer[Any] = Buffer(10)
    flow = Flow(
        "book", source, buffer, after=None, refill=True, spawn=asyncio.create_task
    )
    flow.resume()
    flow.deliver((1, 5))
    flow.deliver((9, 12))
    assert [await buffer.take() for _ in range(3)][1:] == [
        Gap(key="book", first_missing=6, until=8, because=_any_reason()),
        (9, 12),
    ]


async def test_hashes_have_no_bounds_and_one_gap_for_one_hole() -> None:
    source: Source[Any, str] = Source(
        subscribe=_subscribe,
        cursor_of=lambda item: item[1],
        follows=linked(lambda item: item[0], lambda item: item[1]),
    )
    buffer: Buffer[Any] = Buffer(10)
    flow = Flow(
        "chain", source, buffer, after=None, refill=True, spawn=asyncio.create_task
    )
    flow.resume()
    for item in (("", "a"), ("a", "b"), ("c", "d"), ("d", "e")):
        flow.deliver(item)
    taken = [await buffer.take() for _ in range(5)]
    assert bounds(taken[2]) == (None, None, NotBackfillable)
    assert [item[1] for item in taken if not isinstance(item, Gap)] == list("abde")


async def test_a_stream_without_positions_has_a_gap_at_each_drop_and_one_for_several() -> (
    None
):
    source: Source[Any, Any] = Source(subscribe=_subscribe)
    buffer: Buffer[Any] = Buffer(10)
    flow = Flow(
        "plain", source, buffer, after=None, refill=True, spawn=asyncio.create_task
    )
    flow.resume()
    flow.deliver("a")
    for _ in range(3):
        flow.suspend()
        flow.resume()
        await turns()
    flow.deliver("b")
    taken = [await buffer.take() for _ in range(3)]
    assert (taken[0], taken[2]) == ("a", "b")
    assert bounds(taken[1]) == (None, None, NotBackfillable)


async def test_what_is_held_does_not_grow_on_a_link_that_flaps() -> None:
    for shape in (
        Shape(follows=False, backfill=False, size=2),
        Shape(follows=False, backfill=False, size=2, refill=False),
        Shape(backfill=False, size=2),
        Shape(size=2),
        Shape(size=2, refill=False),
    ):
        stream = Stream(shape)
        stream.flow.resume()
        for _ in range(200):
            stream.send()
            stream.flow.interrupted()
            stream.send()
            stream.flow.suspend()
            stream.flow.resume()
            await turns(3)
            stream.check_bounds()
        stream.flow.finish()


async def test_the_iterator_of_a_history_is_closed_when_the_fetch_ends() -> None:
    closed: list[str] = []

    async def backfill(after: int, until: int | None) -> AsyncIterator[int]:
        try:
            yield after + 1
            await asyncio.sleep(3600)
        finally:
            closed.append("closed")

    stream = Stream(Shape())
    object.__setattr__(stream.source, "backfill", backfill)
    await live(stream, 1)
    stream.newest = 3
    stream.send()
    await asyncio.sleep(1)
    assert closed == []
    stream.flow.finish()
    await turns()
    assert closed == ["closed"]


async def test_the_end_comes_behind_what_is_held_and_what_is_missing() -> None:
    """A stream that the server completes must not look complete before it is."""
    stream = Stream(Shape(size=2))
    await live(stream, 1)
    for _ in range(3):
        stream.send()
    stream.newest = 6
    stream.send()
    stream.flow.finish()
    taken = [await stream.buffer.take() for _ in range(len(stream.buffer))]
    assert taken[:3] == [2, 3, 4]
    assert bounds(taken[3]) == (5, 6, BackfillFailed)
    assert taken[4:] == [7]


def _any_reason() -> Any:
    class Anything:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    return Anything()


async def _subscribe(requests: object) -> str:
    return "key"


async def test_a_repeat_that_is_left_does_not_take_the_first_with_it() -> None:
    stream = Stream(Shape(follows=False, backfill=False, identity=True, size=5))
    stream.flow.resume()
    stream.flow.suspend()
    stream.flow.resume()
    # The hole of the drop and four items fill the buffer: the next finds no room.
    for number in (1, 2, 3, 4, 3, 5):
        stream.newest = number
        stream.flow.deliver(number)
    await stream.settle()
    assert [item for item in stream.taken if not isinstance(item, Gap)] == [1, 2, 3, 4]
    assert bounds(stream.taken[-1]) == (5, None, ConsumerTooSlow)
    stream.flow.deliver(5)
    await stream.settle()
    assert stream.flow.order.repeats == 1, "what was left is in the gap"
