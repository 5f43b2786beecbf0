"""What is sent arrives once, in order, or its sender can see that it did not."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import DeliveryState, Outbox, Reconnect, State
from resilient_ws.outbox.backlog import MESSAGE_COST
from resilient_ws.outbox.writer import JOINED_WRITE, MESSAGES_WITHOUT_TURN
from resilient_ws.testing.scripts import hold, rejecting
from tests.record import now, of, recorded, turns, until


if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilient_ws import Session
    from resilient_ws.testing import Peer, ScriptedServer

QUICK = Reconnect(wait=wait_fixed(1))
OFFLINE = 5.0
CHUNK = b"x" * 65536
MANY = 5000


def offline(server: ScriptedServer, **outbox: Any) -> Session:
    """A session that is open after OFFLINE seconds, not before."""
    server.play(rejecting(503), hold)
    return resilient_ws.connect(
        server.url(),
        wait_open=False,
        outbox=Outbox(**outbox),
        reconnect=Reconnect(wait=wait_fixed(OFFLINE)),
    )


def texts(numbers: Iterable[int]) -> list[str]:
    return [str(number) for number in numbers]


def peeked(peer: Peer) -> bytes:
    """What the server's kernel holds at this moment, unread."""
    shared = peer.transport.get_extra_info("socket")
    with socket.socket(fileno=os.dup(shared.fileno())) as sock:
        return sock.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT)


def stepped(coroutine: Any) -> Any:
    """Run a coroutine that must not wait, and return what it returned."""
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    return stopped.value.value


async def fill(session: Session, server: ScriptedServer) -> None:
    """Have the server read nothing, and send until the transport takes no more."""
    server.peer.freeze()
    while True:
        sending = asyncio.ensure_future(session.send(CHUNK))
        await turns(5)
        if not sending.done():
            sending.cancel()
            await asyncio.wait({sending})
            return
        await sending


async def test_offline_sends_arrive_after_the_reconnect_in_order_and_once(
    server: ScriptedServer,
) -> None:
    async with offline(server) as session:
        deliveries = [await session.send(text) for text in texts(range(100))]
        assert session.statistics().outbox_messages == 100
        assert {d.state for d in deliveries} == {DeliveryState.QUEUED}
        await deliveries[-1].confirmed()
        assert now() == pytest.approx(OFFLINE)
        assert {d.state for d in deliveries} == {DeliveryState.WRITTEN}
    assert server.received == texts(range(100))


async def test_what_was_sent_is_not_sent_again_after_a_drop(
    server: ScriptedServer,
) -> None:
    async with offline(server) as session:
        await session.send("before")
        await session.wait_until(State.OPEN)
        await turns()
        await server.peer.reset()
        await session.wait_until(State.BACKOFF)
        await session.send("between")
        await session.wait_until(State.OPEN)
        await session.send("after")
    assert [peer.received for peer in server.peers if peer.accepted] == [
        ["before"],
        ["between", "after"],
    ]


async def test_a_send_during_the_drain_queues_behind(server: ScriptedServer) -> None:
    async with offline(server, max_messages=2000) as session:
        for number in range(1000):
            await session.send(f"{number:01000}")
        await session.wait_until(State.OPEN)
        last = await session.send("last")
        assert last.state is DeliveryState.QUEUED
        await last.confirmed()
    assert [int(m) for m in server.received[:-1]] == list(range(1000))
    assert server.received[-1] == "last"


@pytest.mark.parametrize(
    ("data", "arrives"),
    [
        ("text", "text"),
        ("tëxt", "tëxt"),
        ("", ""),
        (b"bytes", b"bytes"),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view"), b"view"),
    ],
    ids=["ascii", "text", "empty", "bytes", "bytearray", "memoryview"],
)
async def test_a_send_while_open_is_in_the_kernel_before_it_returns(
    server: ScriptedServer, data: Any, arrives: str | bytes
) -> None:
    async with resilient_ws.connect(server.url()) as session:
        await turns()
        delivery = stepped(session.send(data, message_id="mine"))
        assert delivery.state is DeliveryState.WRITTEN
        assert delivery.message_id == "mine"
        assert len(peeked(server.peer)) == 2 + 4 + delivery.size
        await delivery.confirmed()
        await turns()
        assert server.received == [arrives]


async def test_later_sends_of_a_turn_leave_joined_at_its_end(
    server: ScriptedServer,
) -> None:
    async with resilient_ws.connect(server.url()) as session:
        await turns()
        deliveries = [stepped(session.send(text)) for text in texts(range(10))]
        states = [d.state for d in deliveries]
        assert states == [DeliveryState.WRITTEN] + 9 * [DeliveryState.QUEUED]
        await turns(1)
        assert {d.state for d in deliveries} == {DeliveryState.WRITTEN}
        await turns()
        assert server.received == texts(range(10))


async def test_after_one_that_came_alone_more_leave_at_once(
    server: ScriptedServer,
) -> None:
    async with resilient_ws.connect(server.url()) as session:
        await turns()
        stepped(session.send("alone"))
        await turns()
        straight = [
            stepped(session.send(text)) for text in texts(range(MESSAGES_WITHOUT_TURN))
        ]
        assert {d.state for d in straight} == {DeliveryState.WRITTEN}
        rest = texts(range(MESSAGES_WITHOUT_TURN, MESSAGES_WITHOUT_TURN + 5))
        states = [stepped(session.send(text)).state for text in rest]
        assert states == [DeliveryState.WRITTEN] + 4 * [DeliveryState.QUEUED]
        await turns()
        assert server.received == ["alone", *texts(range(MESSAGES_WITHOUT_TURN + 5))]


async def test_a_full_outbox_leaves_the_loop_free_between_writes(
    server: ScriptedServer,
) -> None:
    async with offline(server, max_messages=MANY) as session:
        for text in texts(range(MANY)):
            await session.send(text)
        waiting = [MANY]
        await session.wait_until(State.OPEN)
        while session.outstanding():
            waiting.append(len(session.outstanding()))
            await turns(1)
        handed_over = [more - less for more, less in itertools.pairwise([*waiting, 0])]
        # Small ones count by their number. Two turns went by until it was told.
        assert max(handed_over) * MESSAGE_COST <= 2 * JOINED_WRITE
        await turns()
    assert server.received == texts(range(MANY))


async def test_a_joined_write_leaves_when_it_is_large(server: ScriptedServer) -> None:
    async with resilient_ws.connect(server.url()) as session:
        await turns()
        stepped(session.send("first"))
        large = stepped(session.send(CHUNK))
        assert large.state is DeliveryState.WRITTEN
        await turns()
        assert server.received == ["first", CHUNK]


async def test_empty_messages_are_bounded_too(server: ScriptedServer) -> None:
    async with resilient_ws.connect(server.url()) as session:
        most = 0
        for _ in range(20_000):
            await session.send("")
            most = max(most, session.statistics().outbox_messages)
        # A joined write leaves at 64 KiB, and no message costs less than 64 bytes.
        assert most <= JOINED_WRITE // MESSAGE_COST


async def test_a_message_too_old_is_not_sent(server: ScriptedServer) -> None:
    async with offline(server, ttl=OFFLINE + 1) as session:
        events = recorded(session)
        young = await session.send("young")
        older = await session.send("older", ttl=OFFLINE - 1, message_id="older")
        oldest = await session.send("oldest", ttl=1)
        with pytest.raises(resilient_ws.DeliveryError, match="ttl"):
            await oldest.confirmed()
        assert now() == pytest.approx(1)
        with pytest.raises(resilient_ws.DeliveryError, match="ttl"):
            await older.confirmed()
        assert now() == pytest.approx(OFFLINE - 1)
        await young.confirmed()
        assert "older" in repr(older)
        with pytest.raises(ValueError, match="ttl"):
            await session.send("x", ttl=-1)
    assert older.state is DeliveryState.EXPIRED
    failed = of(events, resilient_ws.DeliveryFailed)
    assert [(e.state, e.message_id) for e in failed] == [
        (DeliveryState.EXPIRED, None),
        (DeliveryState.EXPIRED, "older"),
    ]
    assert server.received == ["young"]


async def test_only_if_open_is_dropped_at_once_when_it_is_not(
    server: ScriptedServer,
) -> None:
    async with offline(server) as session:
        dropped = await session.send("stale", only_if_open=True)
        assert dropped.state is DeliveryState.DROPPED
        await session.wait_until(State.OPEN)
        sent = await session.send("fresh", only_if_open=True)
        assert sent.state is DeliveryState.WRITTEN
    assert server.received == ["fresh"]


async def test_a_full_outbox_raises(server: ScriptedServer) -> None:
    async with offline(server, max_messages=2) as session:
        await session.send("1")
        await session.send("2")
        with pytest.raises(resilient_ws.OutboxFull):
            await session.send("3")
        await session.wait_until(State.OPEN)
        await turns()
    assert server.received == ["1", "2"]


async def test_bytes_are_bounded_too(server: ScriptedServer) -> None:
    async with offline(server, max_bytes=10) as session:
        await session.send("ééééé")
        with pytest.raises(resilient_ws.OutboxFull):
            await session.send("1")


async def test_a_full_outbox_makes_senders_wait_in_order(
    server: ScriptedServer,
) -> None:
    async with offline(server, max_messages=2, overflow="wait") as session:
        senders = [asyncio.create_task(session.send(text)) for text in texts(range(10))]
        await asyncio.sleep(OFFLINE - 1)
        assert [s.done() for s in senders] == 2 * [True] + 8 * [False]
        cancelled = senders.pop(5)
        cancelled.cancel()
        await asyncio.gather(*senders)
        assert now() == pytest.approx(OFFLINE)
        await session.send("last")
    assert server.received == ["0", "1", "2", "3", "4", "6", "7", "8", "9", "last"]


async def test_waiting_for_room_counts_against_the_ttl(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503), hold)
    async with resilient_ws.connect(
        server.url(),
        wait_open=False,
        outbox=Outbox(max_messages=1, overflow="wait"),
        reconnect=Reconnect(wait=wait_fixed(60)),
    ) as session:
        await session.send("first")
        late = asyncio.create_task(session.send("stale", ttl=5))
        await session.wait_until(State.OPEN)
        delivery = await late
        await until(lambda: delivery.state is not DeliveryState.QUEUED)
        await turns()
        assert "stale" not in server.received
        assert delivery.state is DeliveryState.EXPIRED


async def test_room_from_an_expiry_goes_to_the_first_who_waits(
    server: ScriptedServer,
) -> None:
    async with offline(server, max_messages=1, overflow="wait") as session:
        await session.send("stale", ttl=1)
        second = asyncio.create_task(session.send("second"))
        third = asyncio.create_task(session.send("third"))
        await second
        assert now() == pytest.approx(1)
        await third
        assert now() == pytest.approx(OFFLINE)
    assert server.received == ["second", "third"]


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [("drop_oldest", ["3", "4"]), ("drop_newest", ["0", "1"])],
)
async def test_a_full_outbox_drops(
    server: ScriptedServer, overflow: str, kept: list[str]
) -> None:
    async with offline(server, max_messages=2, overflow=overflow) as session:
        events = recorded(session)
        deliveries = [await session.send(text) for text in texts(range(5))]
        lost = [d for d in deliveries if d.state is DeliveryState.DROPPED]
        assert len(lost) == 3
        await session.wait_until(State.OPEN)
        await turns()
        overflowed = of(events, resilient_ws.OutboxOverflowed)
        assert sum(e.discarded for e in overflowed) == 3
        assert session.statistics().outbox_lost == 3
    assert server.received == kept


async def test_a_message_that_can_never_fit_is_refused_at_once(
    server: ScriptedServer,
) -> None:
    async with resilient_ws.connect(
        server.url(), outbox=Outbox(max_bytes=10)
    ) as session:
        with pytest.raises(resilient_ws.MessageTooBig, match="11 bytes"):
            await session.send("x" * 11)
        await session.send("x" * 10)


@pytest.mark.parametrize("data", [1, 1.5, ["x"], {"op": "x"}], ids=repr)
async def test_what_is_no_message_is_refused(server: ScriptedServer, data: Any) -> None:
    async with resilient_ws.connect(server.url()) as session:
        with pytest.raises(TypeError, match="json"):
            await session.send(data)
        with pytest.raises(ValueError, match="surrogate"):
            await session.send("\ud800")
        with pytest.raises(TypeError, match="message_id"):
            await session.send("x", message_id=data)


async def test_confirmed_waits_no_longer_than_it_is_told(
    server: ScriptedServer,
) -> None:
    async with offline(server) as session:
        delivery = await session.send("x")
        with pytest.raises(TimeoutError):
            await delivery.confirmed(timeout=1.0)
        assert now() == pytest.approx(1.0)
        await delivery.confirmed()


@pytest.mark.parametrize("timeout", [math.nan, math.inf, -1, True, "1"])
async def test_confirmed_refuses_what_is_no_timeout(
    server: ScriptedServer, timeout: Any
) -> None:
    async with resilient_ws.connect(server.url()) as session:
        delivery = await session.send("x")
        with pytest.raises((TypeError, ValueError), match=r"^timeout must be a number"):
            await delivery.confirmed(timeout=timeout)


async def test_while_open_a_full_transport_makes_senders_wait_in_order(
    server: ScriptedServer,
) -> None:
    async with resilient_ws.connect(server.url()) as session:
        await fill(session, server)
        before = session.statistics().messages_sent
        senders = [asyncio.create_task(session.send(text)) for text in texts(range(5))]
        only = asyncio.create_task(session.send("only", only_if_open=True))
        await asyncio.sleep(1)
        assert not any(s.done() for s in senders)
        assert not only.done()
        server.peer.thaw()
        await asyncio.gather(*senders, only)
    assert len(server.received) == before + 6
    assert server.received[-6:] == [*texts(range(5)), "only"]


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [
        ("raise", ["0", "1"]),
        ("drop_newest", ["0", "1"]),
        ("drop_oldest", ["3", "4"]),
        ("wait", ["0", "1", "2", "3", "4"]),
    ],
)
async def test_when_the_link_dies_during_the_wait_overflow_decides(
    server: ScriptedServer, overflow: str, kept: list[str]
) -> None:
    async with resilient_ws.connect(
        server.url(),
        outbox=Outbox(max_messages=2, overflow=overflow),  # type: ignore[arg-type]
        reconnect=Reconnect(wait=wait_fixed(OFFLINE)),
    ) as session:
        await fill(session, server)
        senders = [asyncio.create_task(session.send(text)) for text in texts(range(5))]
        only = asyncio.create_task(session.send("only", only_if_open=True))
        await turns()
        await server.peer.reset()
        await session.wait_until(State.BACKOFF)
        await turns()
        await session.wait_until(State.OPEN)
        results = await asyncio.gather(*senders, return_exceptions=True)
        refused = [r for r in results if isinstance(r, BaseException)]
        assert len(refused) == (3 if overflow == "raise" else 0)
        assert all(isinstance(r, resilient_ws.OutboxFull) for r in refused)
        stale = await only
        await turns()
    assert server.peer.received[: len(kept)] == kept
    if overflow != "wait":
        assert stale.state is DeliveryState.DROPPED


async def test_behind_the_end_of_the_stream_nothing_is_called_written(
    server: ScriptedServer,
) -> None:
    async def half_closes(peer: Peer) -> None:
        peer.answers_close = False
        await peer.accept()
        await peer.receive()
        peer.transport.write_eof()
        await peer.ended()

    server.play(half_closes, hold)
    async with resilient_ws.connect(server.url(), reconnect=QUICK) as session:
        wire = session._supervisor.wire if session._supervisor else None
        assert wire is not None
        await session.send("first")
        await until(lambda: wire.engine.close_sent is not None)
        assert session.state is State.OPEN
        sending = asyncio.create_task(session.send("in the window"))
        await server.arrivals(2)
        await (await sending).confirmed(timeout=60)
        await until(lambda: "in the window" in server.received, within=60)


async def test_a_drop_reports_what_no_pong_has_covered(
    server: ScriptedServer,
) -> None:
    async with resilient_ws.connect(
        server.url(), liveness=resilient_ws.Liveness(ping_interval=1)
    ) as session:
        events = recorded(session)
        await session.send("covered")
        await asyncio.sleep(1.5)
        await session.send("not covered")
        await session.send("nor this")
        await turns()
        await server.peer.reset()
        await until(lambda: of(events, resilient_ws.ConnectionDropped))
        (dropped,) = of(events, resilient_ws.ConnectionDropped)
        assert dropped.unconfirmed == 2
