"""A connection that ends between a store's being asked and its answer."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import Delivery, DeliveryState, Outbox, SQLiteStore
from resilient_ws.outbox.delivery import Place
from resilient_ws.outbox.places import place_of
from resilient_ws.outbox.queue import OutboxQueue
from resilient_ws.outbox.store import rows
from tests.outbox.sending import Link, send
from tests.outbox.stores import inside


if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["0", "1", "2"]


class Claiming:
    """An outbox on disk with three messages, and a link that has asked for them."""

    def __init__(self, path: Path, **outbox: Any) -> None:
        self.store = SQLiteStore(path)
        self.queue = OutboxQueue(
            Outbox(store=self.store, **outbox),
            loop=asyncio.get_running_loop(),
            report=lambda _: None,
            check_waiting=lambda: None,
        )
        self.link = Link()
        self.epoch = 0
        self.sent: list[Delivery] = []

    async def begin(self, *options: dict[str, Any]) -> None:
        await self.queue.open()
        for text, more in zip(TEXTS, options or ({}, {}, {}), strict=True):
            self.sent.append(await send(self.queue, text, **more))
        self.attach(self.link)
        assert len(self.queue) == len(TEXTS)
        assert self.queue.outstanding() == self.sent
        assert self.link.sent == []

    def attach(self, link: Link) -> None:
        self.epoch += 1
        self.queue.attach(link, lambda: None, epoch=self.epoch)

    async def settle(self) -> None:
        await asyncio.sleep(0.5)


@pytest.fixture(params=[{}, {"confirm": "pong", "resend": True}], ids=["most", "least"])
async def claiming(request: Any, tmp_path: Path, wall: None) -> Claiming:
    """At most once, and at least once."""
    return Claiming(tmp_path / "outbox.db", **request.param)


async def test_what_was_claimed_and_not_written_is_on_disk_again(
    claiming: Claiming,
) -> None:
    await claiming.begin()
    claiming.queue.detach(claiming.link)
    await claiming.settle()
    assert claiming.link.sent == []
    assert inside(claiming.store) == TEXTS
    assert [m.transmissions for m in claiming.store.pending()] == [0, 0, 0]
    assert claiming.queue.outstanding() == claiming.sent
    assert all(delivery.stored for delivery in claiming.sent)
    again = Link()
    claiming.attach(again)
    await claiming.settle()
    assert again.sent == TEXTS
    assert [delivery.transmissions for delivery in claiming.sent] == [1, 1, 1]
    await claiming.queue.close()


async def test_another_connection_writes_it_once_and_in_order(
    claiming: Claiming,
) -> None:
    await claiming.begin()
    claiming.queue.detach(claiming.link)
    again = Link()
    claiming.attach(again)
    await claiming.settle()
    assert claiming.link.sent == []
    assert again.sent == TEXTS
    await claiming.queue.close()


async def test_what_is_sent_again_goes_before_what_was_claimed(
    tmp_path: Path, wall: None
) -> None:
    claiming = Claiming(
        tmp_path / "outbox.db", confirm="pong", resend=True, max_in_flight=2
    )
    await claiming.begin()
    await claiming.settle()
    assert claiming.link.sent == ["0", "1"]
    claiming.queue.note_pong(claiming.link, 1)
    # "2" is being claimed, and "1" is not confirmed yet.
    claiming.queue.detach(claiming.link)
    again = Link()
    claiming.attach(again)
    await claiming.settle()
    assert claiming.link.sent == ["0", "1"]
    assert again.sent == ["1", "2"]
    await claiming.queue.close()


async def test_a_close_leaves_it_on_disk(claiming: Claiming) -> None:
    await claiming.begin()
    assert await claiming.queue.close() == (0, 3)
    assert claiming.link.sent == []
    assert inside(claiming.store) == TEXTS
    assert {delivery.state for delivery in claiming.sent} == {DeliveryState.DROPPED}
    assert all(delivery.stored for delivery in claiming.sent)
    assert not any(delivery.maybe_delivered for delivery in claiming.sent)


async def test_what_is_lost_before_it_is_back_on_disk_is_not_there_afterwards(
    tmp_path: Path, wall: None
) -> None:
    claiming = Claiming(tmp_path / "outbox.db", max_messages=3, overflow="drop_oldest")
    await claiming.begin()
    claiming.queue.detach(claiming.link)
    while not list(claiming.queue._backlog):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    newest = asyncio.create_task(send(claiming.queue, "3"))
    await claiming.settle()
    assert newest.done()
    assert claiming.sent[0].state is DeliveryState.DROPPED
    assert inside(claiming.store) == ["1", "2", "3"]
    await claiming.queue.close()


async def test_a_halted_connection_is_not_written_to(claiming: Claiming) -> None:
    await claiming.begin()
    claiming.queue.halt(claiming.link)
    await claiming.settle()
    assert claiming.link.sent == []
    assert inside(claiming.store) == TEXTS
    await claiming.queue.close()


async def test_only_if_open_goes_with_its_connection(claiming: Claiming) -> None:
    # Accepted while it was open, so that it is among what is claimed.
    await claiming.begin({}, {}, {})
    claiming.sent[1].only_epoch = claiming.epoch
    claiming.queue.detach(claiming.link)
    await claiming.settle()
    assert claiming.sent[1].state is DeliveryState.DROPPED
    assert not claiming.sent[1].maybe_delivered
    assert inside(claiming.store) == ["0", "2"]
    await claiming.queue.close()


async def test_what_expires_while_it_is_claimed_is_not_written(
    claiming: Claiming, monkeypatch: pytest.MonkeyPatch
) -> None:
    await claiming.begin({}, {"ttl": 5.0}, {})
    # The clock is set while the disk works.
    later = claiming.sent[1].accepted_at + 10
    monkeypatch.setattr("time.time", lambda: later)
    await claiming.settle()
    assert claiming.link.sent == ["0", "2"]
    assert claiming.sent[1].state is DeliveryState.EXPIRED
    assert "1" not in inside(claiming.store)
    await claiming.queue.close()


async def claimed_again(claiming: Claiming) -> Link:
    """Have all three written, and claimed for another connection."""
    await claiming.begin(*[{"message_id": text} for text in TEXTS])
    await claiming.settle()
    assert claiming.link.sent == TEXTS
    claiming.queue.detach(claiming.link)
    again = Link()
    claiming.attach(again)
    assert again.sent == []
    return again


@pytest.fixture
async def acknowledging(tmp_path: Path, wall: None) -> Claiming:
    """At least once, confirmed by acknowledgements."""
    return Claiming(tmp_path / "outbox.db", confirm=lambda _: None, resend=True)


async def test_what_is_acknowledged_while_it_is_claimed_waits_no_longer(
    acknowledging: Claiming,
) -> None:
    again = await claimed_again(acknowledging)
    queue = acknowledging.queue
    assert (len(queue), queue.size) == (3, 3)
    queue.acknowledge("1")
    assert acknowledging.sent[1].state is DeliveryState.CONFIRMED
    assert (len(queue), queue.size) == (2, 2)
    assert queue.outstanding() == [acknowledging.sent[0], acknowledging.sent[2]]
    await acknowledging.settle()
    assert again.sent == ["0", "2"]
    await queue.close()
    assert inside(acknowledging.store) == ["0", "2"]


async def test_what_is_acknowledged_while_a_claim_fails_is_not_sent_again(
    acknowledging: Claiming, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = await claimed_again(acknowledging)
    queue = acknowledging.queue
    queue.acknowledge("1")
    with monkeypatch.context() as broken:

        def fails(*_: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        broken.setattr(rows, "claim", fails)
        await acknowledging.settle()
    assert again.sent == []
    assert queue.outstanding() == [acknowledging.sent[0], acknowledging.sent[2]]
    await asyncio.sleep(5)
    assert again.sent == ["0", "2"]
    assert acknowledging.sent[1].state is DeliveryState.CONFIRMED
    await queue.close()
    assert inside(acknowledging.store) == ["0", "2"]


async def test_what_is_claimed_counts_with_what_waits(claiming: Claiming) -> None:
    await claiming.begin()
    assert (len(claiming.queue), claiming.queue.size) == (3, 3)
    await claiming.queue.close()


async def test_what_is_written_at_once_is_gone_and_was_counted_nowhere() -> None:
    queue = OutboxQueue(
        Outbox(max_messages=1),
        loop=asyncio.get_running_loop(),
        report=lambda _: None,
        check_waiting=lambda: None,
    )
    link = Link()
    queue.attach(link, lambda: None, epoch=1)
    at_once = await send(queue, "at once")
    joined = await send(queue, "joined")
    assert (place_of(at_once), place_of(joined)) == (Place.GONE, Place.WAITING)
    assert (len(queue), queue.size) == (1, 6)
    await asyncio.sleep(0)
    assert link.sent == ["at once", "joined"]
    assert place_of(joined) is Place.GONE
    assert queue._places.room_taken() == (0, 0)
    assert {at_once.state, joined.state} == {DeliveryState.WRITTEN}
    await queue.close()
