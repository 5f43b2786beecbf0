"""Runs in their order, and what happens to the drops and holes between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws import ConnectionDropped, ConnectionLost, Interruption
from resilient_ws.inbox.runs import MAX_DROPS, Run, Runs


if TYPE_CHECKING:
    from resilient_ws.protocol.message import Message


def dropped(epoch: int) -> ConnectionDropped:
    return ConnectionDropped(
        epoch=epoch,
        because=ConnectionLost("The connection was lost.", how="close"),
        close=None,
        uptime=1.0,
        clean=False,
        unconfirmed=0,
    )


def hole(epoch: int, *, drops: int = 1, discarded: int = 0) -> Interruption:
    return Interruption(
        cause=None, since=0, until=0, epoch=epoch, drops=drops, discarded=discarded
    )


def popped(runs: Runs) -> list[object]:
    items: list[object] = []
    while runs.items:
        item = runs.pop()
        items.append(item.messages if isinstance(item, Run) else item)
    return items


def test_messages_and_bytes_are_counted() -> None:
    runs = Runs()
    later: list[Message] = ["4", b"3"]
    runs.append_run(later, 2)
    runs.prepend_run(["2", "1"], 2)
    assert (runs.count, runs.size) == (4, 4)
    assert runs.pop() == Run(["2", "1"], 2)
    assert (runs.count, runs.size) == (2, 2)
    assert popped(runs) == [later]
    assert (runs.count, runs.size) == (0, 0)


def test_a_hole_behind_a_hole_is_merged_and_stands_behind_the_drops() -> None:
    runs = Runs()
    runs.keep_drops()
    first, second = dropped(1), dropped(2)
    runs.append_drop(first)
    runs.append_hole(hole(2))
    runs.append_drop(second)
    runs.append_hole(hole(3))
    assert popped(runs) == [first, second, hole(3, drops=2)]


def test_a_hole_behind_a_run_stands_alone() -> None:
    runs = Runs()
    runs.append_hole(hole(2))
    runs.append_run(["a"], 1)
    runs.append_hole(hole(3))
    assert popped(runs) == [hole(2), ["a"], hole(3)]


def test_a_hole_before_a_hole_is_merged_with_it_behind_the_drops() -> None:
    runs = Runs()
    runs.keep_drops()
    passed, kept = dropped(1), dropped(2)
    runs.append_drop(kept)
    runs.append_hole(hole(3))
    runs.prepend_hole(hole(2, discarded=5), [passed])
    assert popped(runs) == [passed, kept, hole(3, drops=2, discarded=5)]


def test_a_hole_before_a_run_stands_alone() -> None:
    runs = Runs()
    runs.append_run(["a"], 1)
    runs.prepend_hole(hole(1, drops=0, discarded=1), [])
    assert popped(runs) == [hole(1, drops=0, discarded=1), ["a"]]


def test_the_oldest_messages_are_of_the_epoch_before_the_first_hole() -> None:
    runs = Runs()
    assert runs.first_epoch(newest=4) == 4
    runs.append_run(["a"], 1)
    runs.append_hole(hole(4, drops=3))
    runs.append_run(["b"], 1)
    assert runs.first_epoch(newest=4) == 1


def test_one_drop_is_kept_until_a_consumer_wants_them() -> None:
    runs = Runs()
    for epoch in range(1, 4):
        runs.append_drop(dropped(epoch))
    assert [item.epoch for item in runs.items if not isinstance(item, Run)] == [3]
    assert runs.drops_discarded == 0
    runs.keep_drops()
    for epoch in range(4, MAX_DROPS + 5):
        runs.append_drop(dropped(epoch))
    assert len(runs.items) == MAX_DROPS
    assert runs.drops_discarded == 2
