"""The inbox: its limits, what it tells the wire, and how a consumer waits."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from resilient_ws import Event, Inbox, InboxOverflowed
from resilient_ws.inbox import InboxQueue
from resilient_ws.inbox.queue import MAX_AT_ONCE
from resilient_ws.testing import VirtualLoop


if TYPE_CHECKING:
    from collections.abc import Callable


def inbox_on(
    loop: asyncio.AbstractEventLoop,
    report: Callable[[Event], None] = lambda _: None,
    **limits: Any,
) -> InboxQueue:
    return InboxQueue(Inbox(**limits), loop=loop, wall=loop.time, report=report)


def fill(inbox: InboxQueue, *texts: str) -> bool:
    for text in texts:
        inbox.deliver(text)
    return inbox.arrived(len("".join(texts)))


CHUNK = st.lists(st.sampled_from(["", "a", "bb", "é", "x" * 7]), max_size=4)
STEP: st.SearchStrategy[tuple[str, list[str]]] = st.one_of(
    CHUNK.map(lambda chunk: ("arrive", chunk)),
    st.just(("read", [])),
    st.just(("drop", [])),
)


@given(
    steps=st.lists(STEP, max_size=40),
    overflow=st.sampled_from(["drop_oldest", "drop_newest"]),
    limits=st.tuples(st.integers(1, 5), st.integers(7, 20)),
)
def test_an_inbox_that_drops_keeps_what_its_bounds_allow(
    steps: list[tuple[str, list[str]]], overflow: str, limits: tuple[int, int]
) -> None:
    most, room = limits
    loop = VirtualLoop()
    inbox = inbox_on(loop, max_messages=most, max_bytes=room, overflow=overflow)
    model: deque[str] = deque()
    discarded = 0
    for what, chunk in steps:
        if what == "arrive":
            for text in chunk:
                inbox.deliver(text)
                model.append(text)
            if chunk:
                inbox.arrived(sum(len(text.encode()) for text in chunk))
            while len(model) > most or sum(len(t.encode()) for t in model) > room:
                model.pop() if overflow == "drop_newest" else model.popleft()
                discarded += 1
        elif what == "read":
            assert inbox.unread.take_message() == (model.popleft() if model else None)
        else:
            inbox.interrupt(None, since=0, until=0, epoch=2)
        assert len(inbox) == len(model)
        assert inbox.discarded == discarded
    while model:
        assert inbox.unread.take_message() == model.popleft()
    assert inbox.unread.take_message() is None
    loop.close()


# What it tells the wire.


def test_room_is_counted_in_messages_and_space_in_bytes(loop: VirtualLoop) -> None:
    inbox = inbox_on(loop, max_messages=3, max_bytes=10)
    assert (inbox.room(), inbox.space()) == (3, 10)
    assert fill(inbox, "12345", "6789") is False
    assert (inbox.room(), inbox.space()) == (1, 1)
    assert fill(inbox, "0") is True
    assert (inbox.room(), inbox.space()) == (0, 0)


def test_bytes_alone_can_fill_it(loop: VirtualLoop) -> None:
    inbox = inbox_on(loop, max_messages=100, max_bytes=2)
    assert fill(inbox, "long") is True
    assert (inbox.room(), inbox.space()) == (0, -2)


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
def test_an_inbox_that_discards_always_has_room(
    loop: VirtualLoop, overflow: str
) -> None:
    inbox = inbox_on(loop, max_messages=1, max_bytes=2, overflow=overflow)
    assert fill(inbox, "12") is False
    assert inbox.room() > 1000
    # One message at a time, so that a bomb is discarded as it is inflated.
    assert inbox.space() == 1


def test_the_wire_is_called_when_the_last_message_of_a_page_is_taken(
    loop: VirtualLoop,
) -> None:
    calls: list[int] = []
    inbox = inbox_on(loop, max_messages=2)
    fill(inbox, "1", "2")
    inbox.reading_paused(lambda: calls.append(len(inbox)))
    assert inbox.unread.take_message() == "1"
    assert calls == []
    assert inbox.unread.take_message() == "2"
    assert calls == [0]
    inbox.reading_resumed()
    fill(inbox, "3")
    assert inbox.unread.take_message() == "3"
    assert calls == [0]


def test_a_pause_is_reported_once_until_reading_resumes(loop: VirtualLoop) -> None:
    events: list[Event] = []
    inbox = inbox_on(loop, events.append, max_messages=1)
    for _ in range(3):
        inbox.reading_paused(print)
    assert events == [InboxOverflowed(overflow="pause", discarded=0)]
    inbox.reading_resumed()
    inbox.reading_paused(print)
    assert len(events) == 2


def test_a_new_connection_is_not_paused_by_the_one_before(loop: VirtualLoop) -> None:
    events, calls = list[Event](), list[int]()
    inbox = inbox_on(loop, events.append, max_messages=1)
    fill(inbox, "1")
    inbox.reading_paused(lambda: calls.append(1))
    inbox.interrupt(None, since=0, until=0, epoch=2)
    assert inbox.unread.take_message() == "1"
    assert calls == []
    inbox.reading_paused(lambda: calls.append(2))
    assert len(events) == 2


def test_what_on_open_left_may_exceed_the_limits(loop: VirtualLoop) -> None:
    inbox = inbox_on(loop, max_messages=2)
    inbox.extend(["1", "2", "3"], 3)
    assert (len(inbox), inbox.room(), inbox.unread.size) == (3, -1, 3)


@pytest.mark.parametrize(
    ("overflow", "closes"), [("pause", False), ("close", True), ("drop_oldest", False)]
)
def test_only_one_overflow_closes(
    loop: VirtualLoop, overflow: str, closes: bool
) -> None:
    assert inbox_on(loop, overflow=overflow).closes is closes


# How a consumer waits.


async def test_a_waiting_consumer_gets_what_arrives() -> None:
    inbox = inbox_on(asyncio.get_running_loop())
    waiting = asyncio.create_task(inbox.wait_and_take(inbox.unread.take_message))
    await asyncio.sleep(1)
    assert not waiting.done()
    with pytest.raises(RuntimeError, match="one consumer"):
        await inbox.wait_and_take(inbox.unread.take_message)
    fill(inbox, "1")
    assert await waiting == "1"


async def test_a_cancelled_consumer_has_taken_nothing() -> None:
    inbox = inbox_on(asyncio.get_running_loop())
    waiting = asyncio.create_task(inbox.wait_and_take(inbox.unread.take_message))
    await asyncio.sleep(1)
    fill(inbox, "1")
    # It was woken, but has not run yet.
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await inbox.wait_and_take(inbox.unread.take_message) == "1"


async def test_what_waits_is_taken_after_the_end_and_then_nothing() -> None:
    inbox = inbox_on(asyncio.get_running_loop())
    fill(inbox, "1")
    failure = ZeroDivisionError()
    inbox.finish(failure)
    assert await inbox.wait_and_take(inbox.unread.take_message) == "1"
    assert await inbox.wait_and_take(inbox.unread.take_message) is None
    assert inbox.failure is failure


async def test_the_end_wakes_the_consumer() -> None:
    inbox = inbox_on(asyncio.get_running_loop())
    waiting = asyncio.create_task(inbox.wait_and_take(inbox.unread.take_message))
    await asyncio.sleep(1)
    inbox.finish(None)
    assert await waiting is None


async def test_a_consumer_yields_after_max_at_once_messages() -> None:
    inbox = inbox_on(asyncio.get_running_loop(), max_messages=2 * MAX_AT_ONCE)
    others, must_yield = list[int](), list[bool]()
    asyncio.get_running_loop().call_soon(others.append, 1)
    inbox.finish(None)
    for count in (MAX_AT_ONCE - 1, 2, 2):
        fill(inbox, *["x"] * count)
        assert await inbox.wait_and_take(inbox.unread.take_run) == ["x"] * count
        must_yield.append(inbox.must_yield)
    assert must_yield == [False, True, False]
    assert others == [1]
