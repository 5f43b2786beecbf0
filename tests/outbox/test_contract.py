"""What an outbox promises, whatever its store."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import DeliveryState, MemoryStore, Outbox, Reconnect, State
from resilient_ws.testing.scripts import hold, rejecting
from tests.outbox.stores import STORES, new_store
from tests.record import now, of, recorded, turns, until


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from resilient_ws import Delivery, Session
    from resilient_ws.testing import Peer, ScriptedServer

    Connect = Callable[..., Session]

OFFLINE = 5.0
CHUNK = "x" * 65536


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Each store in turn."""
    return new_store(request.param, tmp_path)


@pytest.fixture
def connect(server: ScriptedServer, store: Any) -> Connect:
    """A session with the store; ``offline``, it is open after OFFLINE seconds only."""

    def connect(*, offline: bool = False, **outbox: Any) -> Session:
        if offline:
            server.play(rejecting(503), hold)
        return resilient_ws.connect(
            server.url(),
            wait_open=not offline,
            outbox=Outbox(store=store, **outbox),
            reconnect=Reconnect(wait=wait_fixed(OFFLINE)),
        )

    return connect


async def mute(peer: Peer) -> None:
    """Accept, take everything, and answer no ping."""
    peer.answers_pings = False
    await peer.accept()
    await peer.ended()


def states(*deliveries: Delivery) -> list[str]:
    return [delivery.state.value for delivery in deliveries]


def texts(numbers: Iterable[int]) -> list[str]:
    return [str(number) for number in numbers]


async def test_what_is_sent_offline_arrives_in_order_and_once(
    server: ScriptedServer, connect: Connect
) -> None:
    async with connect(offline=True) as session:
        sent = [await session.send(text) for text in texts(range(100))]
        assert session.statistics().outbox_messages == 100
        assert session.outstanding() == sent
        assert {d.state for d in sent} == {DeliveryState.QUEUED}
        await sent[-1].confirmed()
        assert now() == pytest.approx(OFFLINE)
        assert {d.state for d in sent} == {DeliveryState.WRITTEN}
        assert {d.transmissions for d in sent} == {1}
        assert session.outstanding() == []
    assert server.received == texts(range(100))


@pytest.mark.parametrize(
    "data", ["text", "tëxt\0", "", b"bytes", b"\0\xff", bytearray(b"a")], ids=repr
)
async def test_every_kind_of_message_arrives_as_it_was(
    server: ScriptedServer, connect: Connect, data: Any
) -> None:
    async with connect(offline=True) as session:
        delivery = await session.send(data, message_id="mïne")
        assert delivery.message_id == "mïne"
        await delivery.confirmed()
    assert server.received == [bytes(data) if isinstance(data, bytearray) else data]


async def test_concurrent_senders_keep_their_order(
    server: ScriptedServer, connect: Connect
) -> None:
    async with connect() as session:
        await asyncio.gather(*[session.send(text) for text in texts(range(1000))])
    assert server.received == texts(range(1000))


async def test_a_drop_between_sends_neither_loses_nor_doubles_what_was_not_written(
    server: ScriptedServer, connect: Connect
) -> None:
    async with connect(offline=True) as session:
        await session.wait_until(State.OPEN)
        before = await session.send("before")
        await before.confirmed()
        await turns()
        await server.peer.reset()
        await session.wait_until(State.BACKOFF)
        sent = [await session.send(text) for text in texts(range(10))]
        await asyncio.gather(*[d.confirmed() for d in sent])
    assert server.received == ["before", *texts(range(10))]


async def test_a_message_too_old_is_not_sent(
    server: ScriptedServer, connect: Connect
) -> None:
    async with connect(offline=True, ttl=OFFLINE + 1) as session:
        events = recorded(session)
        young = await session.send("young")
        older = await session.send("older", ttl=OFFLINE - 1, message_id="older")
        oldest = await session.send("oldest", ttl=1)
        with pytest.raises(resilient_ws.DeliveryError, match="ttl"):
            await oldest.confirmed()
        assert now() == pytest.approx(1, abs=0.01)
        with pytest.raises(resilient_ws.DeliveryError, match="did not arrive"):
            await older.confirmed()
        assert now() == pytest.approx(OFFLINE - 1, abs=0.01)
        await young.confirmed()
    failed = of(events, resilient_ws.DeliveryFailed)
    assert [(e.state, e.message_id) for e in failed] == [
        (DeliveryState.EXPIRED, None),
        (DeliveryState.EXPIRED, "older"),
    ]
    assert server.received == ["young"]


async def test_thousands_expire_each_at_its_time(
    server: ScriptedServer, connect: Connect
) -> None:
    async with connect(offline=True, max_messages=5000) as session:
        order = random.Random(5).sample(range(3000), 3000)
        sent = await asyncio.gather(
            *[session.send(str(n), ttl=1 + n / 1000) for n in order]
        )
        await asyncio.sleep(2.5)
        for number, delivery in zip(order, sent, strict=True):
            if abs(number - 1500) > 2:  # a timer serves what is due within 1 ms
                expired = delivery.state is DeliveryState.EXPIRED
                assert expired is (number < 1500)
        await session.wait_until(State.OPEN)
    assert server.received == []


async def test_only_if_open_is_dropped_when_it_is_not(
    server: ScriptedServer, connect: Connect
) -> None:
    async with connect(offline=True) as session:
        dropped = await session.send("stale", only_if_open=True)
        assert dropped.state is DeliveryState.DROPPED
        await session.wait_until(State.OPEN)
        sent = await session.send("fresh", only_if_open=True)
        await sent.confirmed()
    assert server.received == ["fresh"]


async def test_only_if_open_that_was_not_written_is_dropped_with_the_connection(
    server: ScriptedServer, connect: Connect
) -> None:
    server.play(mute, hold)
    async with connect(confirm="pong", max_in_flight=1) as session:
        first = await session.send("first")
        waits = await session.send("now or never", only_if_open=True)
        later = await session.send("later")
        await asyncio.sleep(1)
        assert states(first, waits) == ["written", "queued"]
        await server.peer.reset()
        await later.confirmed()
        assert states(first, waits) == ["failed", "dropped"]
        assert not waits.maybe_delivered
    assert server.received == ["first", "later"]


async def test_a_full_outbox_raises(server: ScriptedServer, connect: Connect) -> None:
    async with connect(offline=True, max_messages=2) as session:
        await session.send("1")
        await session.send("2")
        with pytest.raises(resilient_ws.OutboxFull, match="2 messages"):
            await session.send("3")
        await session.wait_until(State.OPEN)
    assert server.received == ["1", "2"]


async def test_bytes_are_bounded_too(server: ScriptedServer, connect: Connect) -> None:
    async with connect(offline=True, max_bytes=10) as session:
        await session.send("ééééé")
        with pytest.raises(resilient_ws.OutboxFull, match="10 bytes"):
            await session.send("1")
        with pytest.raises(resilient_ws.MessageTooBig):
            await session.send("x" * 11)
        assert session.statistics().outbox_bytes == 10


async def test_a_full_outbox_makes_senders_wait_in_order(
    server: ScriptedServer, connect: Connect
) -> None:
    async with connect(offline=True, max_messages=2, overflow="wait") as session:
        senders = [asyncio.create_task(session.send(text)) for text in texts(range(10))]
        await asyncio.sleep(OFFLINE - 1)
        assert [s.done() for s in senders] == 2 * [True] + 8 * [False]
        cancelled = senders.pop(5)
        cancelled.cancel()
        await asyncio.gather(*senders)
        assert now() == pytest.approx(OFFLINE)
        await session.send("last")
    assert server.received == ["0", "1", "2", "3", "4", "6", "7", "8", "9", "last"]


async def test_room_from_an_expiry_goes_to_the_first_who_waits(
    server: ScriptedServer, connect: Connect
) -> None:
    async with connect(offline=True, max_messages=1, overflow="wait") as session:
        await session.send("stale", ttl=1)
        second = asyncio.create_task(session.send("second"))
        third = asyncio.create_task(session.send("third"))
        await second
        assert now() == pytest.approx(1, abs=0.01)
        await third
        assert now() == pytest.approx(OFFLINE)
    assert server.received == ["second", "third"]


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [("drop_oldest", ["3", "4"]), ("drop_newest", ["0", "1"])],
)
async def test_a_full_outbox_drops(
    server: ScriptedServer, connect: Connect, overflow: str, kept: list[str]
) -> None:
    async with connect(offline=True, max_messages=2, overflow=overflow) as session:
        events = recorded(session)
        sent = [await session.send(text) for text in texts(range(5))]
        lost = [d for d in sent if d.state is DeliveryState.DROPPED]
        assert len(lost) == 3
        with pytest.raises(resilient_ws.DeliveryError, match="dropped"):
            await lost[0].confirmed()
        await session.wait_until(State.OPEN)
        overflowed = of(events, resilient_ws.OutboxOverflowed)
        assert sum(e.discarded for e in overflowed) == 3
        assert session.statistics().outbox_lost == 3
    assert server.received == kept


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [
        ("raise", 2),
        ("drop_newest", 2),
        ("drop_oldest", 2),
        ("wait", 5),
    ],
)
async def test_when_the_link_dies_while_senders_wait_overflow_decides(
    server: ScriptedServer, connect: Connect, overflow: str, kept: int
) -> None:
    async with connect(max_messages=2, overflow=overflow) as session:
        server.peer.freeze()
        fillers: list[asyncio.Task[Delivery]] = []
        while all(filler.done() for filler in fillers):
            fillers.append(asyncio.create_task(session.send(CHUNK)))
            await asyncio.sleep(0.1)
        fillers[-1].cancel()
        await asyncio.wait(fillers)
        senders = [asyncio.create_task(session.send(text)) for text in texts(range(5))]
        await asyncio.sleep(1)
        await server.peer.reset()
        await session.wait_until(State.BACKOFF)
        await server.arrivals(2)
        await session.wait_until(State.OPEN)
        results = await asyncio.gather(*senders, return_exceptions=True)
        await asyncio.sleep(1)
    refused = [r for r in results if isinstance(r, BaseException)]
    assert all(isinstance(r, resilient_ws.OutboxFull) for r in refused)
    arrived = [m for m in server.peer.received if m != CHUNK]
    assert len(arrived) >= kept - 1
    assert arrived == sorted(arrived)
    accepted = [r for r in results if not isinstance(r, BaseException)]
    lost = [d for d in accepted if d.state is DeliveryState.DROPPED]
    assert len(arrived) + len(lost) + len(refused) == 5


async def test_a_cancelled_send_is_never_transmitted(
    server: ScriptedServer, connect: Connect
) -> None:
    chance = random.Random(7)
    accepted: list[str] = []
    async with connect(max_messages=100_000) as session:
        for number in range(1000):
            text = str(number)
            sending = asyncio.create_task(session.send(text))
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                # Real time for the thread of a store.
                await asyncio.sleep(0.001)
            sending.cancel()
            await asyncio.wait({sending})
            if not sending.cancelled():
                assert sending.exception() is None
                accepted.append(text)
        await session.send("end")
    assert server.received == [*accepted, "end"]


async def test_leaving_drains_what_waits(
    server: ScriptedServer, connect: Connect
) -> None:
    async with connect(max_messages=10_000) as session:
        sent = [await session.send(f"{n:0500}") for n in range(1000)]
        await asyncio.sleep(0)
    assert [int(m) for m in server.received] == list(range(1000))
    assert {d.state for d in sent} == {DeliveryState.WRITTEN}


async def test_leaving_by_an_exception_drains_nothing(
    server: ScriptedServer, connect: Connect, store: Any
) -> None:
    session = connect(offline=True)
    events = recorded(session)
    sent: list[Delivery] = []

    async def fails() -> None:
        async with session:
            sent.extend([await session.send(text) for text in texts(range(3))])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    durable = not isinstance(store, MemoryStore)
    (closed,) = of(events, resilient_ws.SessionClosed)
    assert (closed.dropped, closed.stored) == ((0, 3) if durable else (3, 0))
    assert len(of(events, resilient_ws.DeliveryFailed)) == closed.dropped
    for delivery in sent:
        with pytest.raises(resilient_ws.DeliveryError) as failed:
            await delivery.confirmed()
        assert failed.value.state is DeliveryState.DROPPED
        assert failed.value.stored is durable
        assert not failed.value.maybe_delivered
        assert ("next session" in str(failed.value)) is durable


async def test_resent_in_order_before_anything_newer(
    server: ScriptedServer, connect: Connect
) -> None:
    server.play(mute, hold)
    async with connect(confirm="pong", resend=True) as session:
        sent = [await session.send(text) for text in texts(range(5))]
        await until(lambda: len(server.peer.received) == 5)
        await server.peer.reset()
        await server.arrivals(2)
        await session.wait_until(State.OPEN)
        sent.append(await session.send("5"))
        await asyncio.gather(*[d.confirmed() for d in sent])
        assert [d.transmissions for d in sent] == [2, 2, 2, 2, 2, 1]
        assert [d.epoch for d in sent] == [2] * 6
        assert {d.state for d in sent} == {DeliveryState.CONFIRMED}
    assert [p.received for p in server.peers] == [texts(range(5)), texts(range(6))]
