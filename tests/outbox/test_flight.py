"""A pong confirms what was written before its ping, whatever the server makes of pings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import DeliveryState, Liveness, Outbox, Reconnect, State
from resilient_ws.testing.frames import PONG, frame
from resilient_ws.testing.scripts import hold
from tests.record import now, of, recorded, turns, until


if TYPE_CHECKING:
    from resilient_ws import Session
    from resilient_ws.testing import Peer, ScriptedServer

CONFIRMED, FAILED = DeliveryState.CONFIRMED, DeliveryState.FAILED
WRITTEN, QUEUED = DeliveryState.WRITTEN, DeliveryState.QUEUED


async def mute(peer: Peer) -> None:
    """Accept, take everything, and leave the pongs to the test."""
    peer.answers_pings = False
    await peer.accept()
    await peer.ended()


def confirming(server: ScriptedServer, **outbox: Any) -> Session:
    return resilient_ws.connect(
        server.url(),
        outbox=Outbox(confirm="pong", **outbox),
        # Its own pings would confirm as well.
        liveness=Liveness(ping_interval=None),
        reconnect=Reconnect(wait=wait_fixed(1)),
    )


async def pong(peer: Peer, payload: bytes) -> None:
    await peer.write(frame(PONG, payload))


async def test_a_pong_to_a_ping_behind_the_message_confirms_it(
    server: ScriptedServer,
) -> None:
    async with confirming(server) as session:
        delivery = await session.send("x")
        assert delivery.state is WRITTEN
        assert session.outstanding() == [delivery]
        assert session.statistics().outbox_unconfirmed == 1
        await delivery.confirmed()
        assert delivery.state is CONFIRMED
        assert session.outstanding() == []
        assert session.statistics().outbox_unconfirmed == 0
        assert delivery.accepted_at <= (delivery.written_at or 0)
        assert (delivery.written_at or 0) <= (delivery.confirmed_at or 0)


async def test_barriers_are_coalesced_and_no_more_than_one_an_interval(
    server: ScriptedServer,
) -> None:
    async with confirming(server, confirm_interval=1.0) as session:
        await turns()
        sent = []
        for _ in range(100):
            sent += [await session.send("x") for _ in range(10)]
            await asyncio.sleep(0.1)
        took = now()
        assert 9 <= took <= 11
        assert len(server.peer.pings) <= took + 1
        await sent[-1].confirmed()
        assert all(d.state is CONFIRMED for d in sent)
        await asyncio.sleep(100)
        # What is confirmed needs no more of them.
        assert len(server.peer.pings) <= took + 2


async def test_the_pong_of_an_earlier_ping_leaves_later_messages_unconfirmed(
    server: ScriptedServer,
) -> None:
    server.play(mute)
    async with confirming(server, confirm_interval=1.0) as session:
        first = await session.send("first")
        await turns()
        second = await session.send("second")
        assert len(server.peer.pings) == 1
        await pong(server.peer, server.peer.pings[0])
        await first.confirmed()
        assert second.state is WRITTEN
        await until(lambda: len(server.peer.pings) == 2)
        assert now() == pytest.approx(1.0, abs=0.1)
        await pong(server.peer, server.peer.pings[1])
        await second.confirmed()


async def test_a_server_that_answers_only_the_newest_ping_confirms_all(
    server: ScriptedServer,
) -> None:
    server.play(mute)
    async with confirming(server) as session:
        sent = []
        for number in range(5):
            sent.append(await session.send(str(number)))
            await asyncio.sleep(1)
        assert len(server.peer.pings) == 5
        await pong(server.peer, server.peer.pings[-1])
        await asyncio.gather(*[d.confirmed() for d in sent])


async def test_a_late_answer_confirms_and_overdue_is_said_once(
    server: ScriptedServer,
) -> None:
    server.play(mute)
    async with confirming(server, confirm_timeout=5) as session:
        events = recorded(session)
        first = await session.send("first")
        await asyncio.sleep(3)
        await session.send("second")
        await asyncio.sleep(100)
        (overdue,) = of(events, resilient_ws.ConfirmationOverdue)
        assert overdue.unconfirmed == 2
        assert overdue.after == pytest.approx(5, abs=0.1)
        assert session.state is State.OPEN
        await pong(server.peer, server.peer.pings[0])
        await first.confirmed()
        assert session.epoch == 1


@pytest.mark.parametrize(
    "payload",
    [b"", b"hello", b"\0" * 16, (1).to_bytes(8), (1).to_bytes(16), b"\xff" * 16],
    ids=["empty", "text", "zero", "no name", "another's", "huge"],
)
async def test_a_foreign_pong_confirms_nothing(
    server: ScriptedServer, payload: bytes
) -> None:
    server.play(mute)
    async with confirming(server) as session:
        delivery = await session.send("x")
        await turns()
        (ping,) = server.peer.pings
        not_sent_yet = ping[:-1] + bytes([ping[-1] + 1])
        for foreign in (payload, not_sent_yet, ping[:-1], ping + b"x"):
            await pong(server.peer, foreign)
        await turns()
        assert delivery.state is WRITTEN
        await pong(server.peer, server.peer.pings[0])
        await delivery.confirmed()
        # Once more, unasked: it has nothing to confirm.
        later = await session.send("y")
        await pong(server.peer, ping)
        await turns()
        assert later.state is WRITTEN


async def test_the_pong_of_a_connection_that_is_over_confirms_nothing(
    server: ScriptedServer,
) -> None:
    server.play(mute)
    async with confirming(server) as session:
        await session.send("x")
        await until(lambda: server.peer.pings)
        (stale,) = server.peer.pings
        session.reconnect("to be another")
        await until(lambda: session.epoch == 2)
        delivery = await session.send("y")
        await until(lambda: server.peer.pings)
        await pong(server.peer, stale)
        await turns()
        assert delivery.state is WRITTEN
        assert session.latency is None
        await pong(server.peer, server.peer.pings[0])
        await delivery.confirmed()


async def test_a_server_that_never_answers_ends_no_connection_and_fills_the_outbox(
    server: ScriptedServer,
) -> None:
    server.play(mute)
    async with confirming(
        server, max_in_flight=3, max_messages=2, confirm_timeout=5
    ) as session:
        sent = [await session.send(str(n)) for n in range(5)]
        assert [d.state for d in sent] == [WRITTEN, QUEUED, QUEUED, QUEUED, QUEUED]
        await turns()
        assert [d.state for d in sent] == [WRITTEN, WRITTEN, WRITTEN, QUEUED, QUEUED]
        began = now()
        with pytest.raises(resilient_ws.OutboxFull, match="confirms nothing"):
            await session.send("one too many")
        # Until it is overdue, a confirmation may come.
        assert now() - began == pytest.approx(5, abs=0.2)
        assert session.state is State.OPEN
        assert server.peer.received == ["0", "1", "2"]
        await pong(server.peer, server.peer.pings[-1])
        await asyncio.gather(*[d.confirmed() for d in sent[:3]])
        await turns()
        assert server.peer.received == ["0", "1", "2", "3", "4"]
        await session.close()
        assert [d.state for d in sent[3:]] == [FAILED, FAILED]
        assert all(d.maybe_delivered for d in sent[3:])


async def test_a_server_that_pongs_while_its_application_reads_only(
    server: ScriptedServer,
) -> None:
    server.play(mute)
    async with confirming(server, max_in_flight=10, max_messages=10) as session:

        async def reads_now_and_then() -> None:
            while True:
                await asyncio.sleep(2)
                for payload in server.peer.pings:
                    await pong(server.peer, payload)

        reading = asyncio.create_task(reads_now_and_then())
        sent = [await session.send(str(n)) for n in range(100)]
        await sent[-1].confirmed()
        assert {d.state for d in sent} == {CONFIRMED}
        assert now() == pytest.approx(20, abs=3)
        reading.cancel()


async def test_a_drop_fails_what_was_not_confirmed(server: ScriptedServer) -> None:
    server.play(mute, hold)
    async with confirming(server) as session:
        events = recorded(session)
        confirmed = await session.send("confirmed")
        await turns()
        await pong(server.peer, server.peer.pings[0])
        await confirmed.confirmed()
        lost = await session.send("lost", message_id="lost")
        await turns()
        await server.peer.reset()
        with pytest.raises(resilient_ws.DeliveryError, match="may have") as failed:
            await lost.confirmed()
        assert failed.value.state is lost.state is FAILED
        assert failed.value.maybe_delivered
        await server.arrivals(2)
        await session.wait_until(State.OPEN)
        (event,) = of(events, resilient_ws.DeliveryFailed)
        assert (event.state, event.message_id) == (FAILED, "lost")
        assert event.maybe_delivered
    assert server.received == ["confirmed", "lost"]


async def test_a_pong_of_the_old_connection_confirms_nothing_on_the_new(
    server: ScriptedServer,
) -> None:
    server.play(mute)
    async with confirming(server) as session:
        await session.send("before")
        await turns()
        old = server.peer.pings[0]
        await server.peer.reset()
        await server.arrivals(2)
        await session.wait_until(State.OPEN)
        after = await session.send("after")
        await until(lambda: server.peer.pings)
        await pong(server.peer, server.peer.pings[0])
        await until(lambda: server.peer.received)
        await pong(server.peer, old)
        await pong(server.peer, old[:7] + b"\x09")
        await turns()
        assert after.state is WRITTEN


async def test_resent_with_the_same_id_in_order_before_anything_newer(
    server: ScriptedServer,
) -> None:
    server.play(mute, hold)
    async with confirming(server, resend=True) as session:
        sent = [await session.send(str(n), message_id=f"id{n}") for n in range(5)]
        await turns()
        await pong(server.peer, server.peer.pings[0])
        await turns()
        more = [await session.send(str(n)) for n in range(5, 8)]
        await turns()
        await server.peer.reset()
        await session.wait_until(State.BACKOFF)
        assert {d.state for d in more} == {QUEUED}
        newer = await session.send("newer")
        await newer.confirmed()
        assert [d.transmissions for d in [*sent, *more, newer]] == 5 * [1] + 3 * [2] + [
            1
        ]
        assert not any(d.maybe_delivered for d in [*sent, *more, newer])
    first, second = (peer.received for peer in server.peers)
    assert first == [str(n) for n in range(8)]
    assert second == ["5", "6", "7", "newer"]


async def test_what_is_unconfirmed_and_to_be_resent_takes_room(
    server: ScriptedServer,
) -> None:
    server.play(mute)
    async with confirming(
        server, resend=True, max_messages=3, overflow="wait"
    ) as session:
        for number in range(3):
            await session.send(str(number))
        waiting = asyncio.create_task(session.send("waits"))
        await asyncio.sleep(5)
        assert not waiting.done()
        await pong(server.peer, server.peer.pings[-1])
        await waiting


async def test_a_ttl_that_passed_while_unconfirmed_is_not_sent_again(
    server: ScriptedServer,
) -> None:
    server.play(mute, hold)
    async with confirming(server, resend=True) as session:
        delivery = await session.send("stale", ttl=10)
        await asyncio.sleep(20)
        assert delivery.state is WRITTEN
        await server.peer.reset()
        with pytest.raises(resilient_ws.DeliveryError, match="ttl") as failed:
            await delivery.confirmed()
        assert failed.value.maybe_delivered
        await server.arrivals(2)
        await session.wait_until(State.OPEN)
    assert server.received == ["stale"]


async def test_only_if_open_is_not_sent_again(server: ScriptedServer) -> None:
    server.play(mute, hold)
    async with confirming(server, resend=True) as session:
        delivery = await session.send("now or never", only_if_open=True)
        await turns()
        await server.peer.reset()
        with pytest.raises(resilient_ws.DeliveryError) as failed:
            await delivery.confirmed()
        assert failed.value.state is DeliveryState.DROPPED
        assert failed.value.maybe_delivered
        await server.arrivals(2)
        await session.wait_until(State.OPEN)
        await turns()
    assert server.received == ["now or never"]


async def test_leaving_waits_for_confirmation(server: ScriptedServer) -> None:
    async def slow(peer: Peer) -> None:
        peer.answers_pings = False
        await peer.accept()
        await peer.until(lambda: peer.pings)
        await asyncio.sleep(1)
        await pong(peer, peer.pings[-1])
        await peer.ended()

    server.play(slow)
    async with confirming(server) as session:
        delivery = await session.send("last words")
    assert delivery.state is CONFIRMED
    assert now() == pytest.approx(1, abs=0.1)


async def test_leaving_a_mute_server_takes_half_of_the_close_timeout_and_says_goodbye(
    server: ScriptedServer,
) -> None:
    server.play(mute)
    async with confirming(server) as session:
        delivery = await session.send("last words")
    assert now() == pytest.approx(2.5, abs=0.1)
    assert server.peer.close_received == (1000, "")
    assert delivery.state is FAILED
    assert delivery.maybe_delivered


async def test_a_replaced_connection_may_confirm_while_it_closes(
    server: ScriptedServer,
) -> None:
    async with confirming(server, confirm_interval=10) as session:
        first = await session.send("first")
        await first.confirmed()
        second = await session.send("second")
        session.reconnect("for the test")
        await second.confirmed()
        await server.arrivals(2)
        await session.wait_until(State.OPEN)
    assert server.received == ["first", "second"]
    assert second.state is CONFIRMED
