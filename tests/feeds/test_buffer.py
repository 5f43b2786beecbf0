from __future__ import annotations

import asyncio

import pytest

from resilient_ws.feeds import CallLost
from resilient_ws.feeds.buffer import Buffer
from resilient_ws.feeds.turns import Turns
from tests.record import turns


async def test_items_come_out_in_order_and_the_consumer_waits_for_the_next() -> None:
    buffer: Buffer[int] = Buffer(3)
    waiting = asyncio.create_task(buffer.take())
    await turns(2)
    buffer.put(1)
    buffer.put(2)
    assert await waiting == 1
    assert (await buffer.take(), len(buffer)) == (2, 0)


async def test_a_cancelled_take_loses_nothing_a_thousand_times_over() -> None:
    buffer: Buffer[int] = Buffer(3)
    taken = []
    for number in range(1000):
        waiting = asyncio.create_task(buffer.take())
        await turns(number % 3)
        buffer.put(number)
        await turns(number % 2)
        waiting.cancel()
        try:
            taken.append(await waiting)
        except asyncio.CancelledError:
            taken.append(await buffer.take())
    assert taken == list(range(1000))


async def test_only_one_task_may_wait() -> None:
    buffer: Buffer[int] = Buffer(1)
    waiting = asyncio.create_task(buffer.take())
    await turns(2)
    with pytest.raises(RuntimeError, match="one consumer"):
        await buffer.take()
    buffer.put(1)
    assert await waiting == 1


async def test_what_was_put_before_the_end_comes_before_it() -> None:
    buffer: Buffer[int] = Buffer(3)
    buffer.put(1)
    buffer.finish(None)
    buffer.finish(ValueError("a second end is none"))
    assert await buffer.take() == 1
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await buffer.take()


async def test_the_end_wakes_who_waits_and_each_raise_has_its_own_frames() -> None:
    failure = CallLost("gone", maybe_executed=True)
    buffer: Buffer[int] = Buffer(3)
    waiting = asyncio.create_task(buffer.take())
    await turns(2)
    buffer.finish(failure)
    with pytest.raises(CallLost) as caught:
        await waiting
    assert caught.value is not failure
    assert caught.value.maybe_executed
    assert failure.__traceback__ is None


async def test_a_failure_that_cannot_be_copied_is_raised_itself() -> None:
    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} {two}")

    failure = Odd(1, 2)
    buffer: Buffer[int] = Buffer(3)
    buffer.finish(failure)
    with pytest.raises(Odd) as caught:
        await buffer.take()
    assert caught.value is failure


@pytest.mark.parametrize("size", [1, 2, 3, 10])
async def test_room_is_told_when_half_of_it_is_free(size: int) -> None:
    buffer: Buffer[int] = Buffer(size)
    for number in range(size):
        assert not buffer.full
        buffer.put(number)
    assert buffer.full
    waiting = asyncio.create_task(buffer.until_half_empty())
    while not waiting.done():
        assert len(buffer) * 2 > size
        await buffer.take()
        await turns(3)
    assert len(buffer) == size // 2


async def test_who_waits_for_room_may_be_cancelled() -> None:
    buffer: Buffer[int] = Buffer(1)
    buffer.put(1)
    waiting = asyncio.create_task(buffer.until_half_empty())
    await turns(2)
    waiting.cancel()
    await turns(2)
    assert await buffer.take() == 1


def test_the_pump_is_asked_for_a_turn_once_on_the_way_to_full() -> None:
    asked = Turns()
    buffer: Buffer[int] = Buffer(10, asked)
    due = []
    for number in range(10):
        buffer.put(number)
        due.append(asked.due)
        asked.due = False
    assert due == [False] * 4 + [True] + [False] * 5


def test_a_buffer_holds_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Buffer(0)
