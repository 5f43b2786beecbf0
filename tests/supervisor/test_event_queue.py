"""The order, the bound and the merging of events that wait for callbacks."""

from __future__ import annotations

import pytest

from resilient_ws import ConnectionLost, Event, State, events
from resilient_ws.supervisor.event_queue import MAX_WAITING, EventQueue


CHANGED = events.StateChanged(previous=State.IDLE, current=State.CONNECTING)
FAILED = events.HandlerFailed(handler="h", event="e", because=LookupError())
OPENED = events.ConnectionOpened(epoch=1, endpoint="ws://a/", extensions={})
DROPPED = events.ConnectionDropped(
    epoch=1,
    because=ConnectionLost("It was cut.", how="reset"),
    close=None,
    uptime=1.0,
    clean=False,
    unconfirmed=0,
)


def pong(latency: float) -> Event:
    return events.PongReceived(latency=latency)


def test_events_come_in_order_with_their_marks() -> None:
    queue = EventQueue()
    for mark in range(3):
        assert not queue.append(mark, CHANGED)
    seen = []
    while queue:
        seen.append((queue.next_mark(), queue.pop()))
    assert seen == [(0, CHANGED), (1, CHANGED), (2, CHANGED)]


@pytest.mark.parametrize(("due", "place"), [(-1, 0), (0, 1), (5, 2), (9, 3)])
def test_an_event_goes_behind_those_that_are_due(due: int, place: int) -> None:
    queue = EventQueue()
    for mark in (0, 5, 9):
        queue.append(mark, CHANGED)
    queue.insert_behind(due, FAILED, is_due=lambda mark: mark <= due)
    order = [queue.pop() for _ in range(4)]
    assert order.index(FAILED) == place


def test_the_oldest_are_discarded_and_counted() -> None:
    queue = EventQueue()
    full = [queue.append(mark, CHANGED) for mark in range(MAX_WAITING + 2)]
    assert full == [False] * MAX_WAITING + [True] * 2
    assert (len(queue), queue.discarded, queue.next_mark()) == (MAX_WAITING, 2, 2)


@pytest.mark.parametrize(
    ("waiting", "event", "merged"),
    [
        (pong(1), pong(2), events.PongReceived(latency=2, count=2)),
        (
            events.LoopLagged(by=3),
            events.LoopLagged(by=2),
            events.LoopLagged(by=3, count=2),
        ),
        (
            events.OutboxOverflowed(overflow="drop_oldest", discarded=2),
            events.OutboxOverflowed(overflow="drop_oldest", discarded=3),
            events.OutboxOverflowed(overflow="drop_oldest", discarded=5, count=2),
        ),
        (
            events.InboxOverflowed(overflow="drop_oldest", discarded=2),
            events.InboxOverflowed(overflow="drop_oldest", discarded=3),
            events.InboxOverflowed(overflow="drop_oldest", discarded=5, count=2),
        ),
    ],
)
def test_repeated_events_are_merged_in_the_place_of_the_first(
    waiting: Event, event: Event, merged: Event
) -> None:
    queue = EventQueue()
    queue.append(1, waiting)
    queue.append(2, CHANGED)
    assert queue.merge(event)
    assert (queue.next_mark(), queue.pop(), queue.pop()) == (1, merged, CHANGED)


@pytest.mark.parametrize("border", [OPENED, DROPPED])
def test_nothing_is_merged_across_two_connections(border: Event) -> None:
    queue = EventQueue()
    queue.append(0, pong(1))
    queue.append(0, border)
    assert not queue.merge(pong(2))


@pytest.mark.parametrize("event", [CHANGED, FAILED, OPENED, DROPPED])
def test_other_events_are_not_merged(event: Event) -> None:
    queue = EventQueue()
    queue.append(0, event)
    assert not queue.merge(event)
