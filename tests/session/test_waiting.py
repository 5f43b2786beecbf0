"""Entering, and waiting for a state or for the end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Reconnect, State, Timeouts
from resilient_ws.testing.scripts import closing, hang, hold, rejecting
from tests.record import now, of, recorded, turns


if TYPE_CHECKING:
    from resilient_ws import Connection
    from resilient_ws.testing import Peer, ScriptedServer

EVERY_SECOND = Reconnect(wait=wait_fixed(1))


async def test_entering_waits_for_the_first_open_connection(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.play(rejecting(503), rejecting(502), hold)
    async with resilient_ws.connect(server.url(), reconnect=EVERY_SECOND) as session:
        assert session.state is State.OPEN
        assert session.epoch == 1
        assert now() == pytest.approx(2)
        assert "open, epoch 1" in repr(session)
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert ["503" in warnings[0].message, "502" in warnings[1].message] == 2 * [True]
    assert len(warnings) == 2


async def test_after_wait_open_the_last_error_is_raised(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503))
    session = resilient_ws.connect(server.url(), reconnect=EVERY_SECOND, wait_open=7)
    with pytest.raises(resilient_ws.HandshakeRejected, match="503") as caught:
        await session.__aenter__()
    (note,) = caught.value.__notes__
    assert note.startswith("No connection opened within 7 s: wait_open=True")
    assert now() == pytest.approx(7)
    assert session.state is State.CLOSED


async def test_after_wait_open_without_any_error_it_is_a_timeout(
    server: ScriptedServer,
) -> None:
    server.play(hang)
    session = resilient_ws.connect(
        server.url(), timeouts=Timeouts(open=100), wait_open=3.5
    )
    with pytest.raises(resilient_ws.OpenTimeout, match="wait_open") as caught:
        await session.__aenter__()
    assert (caught.value.kind, caught.value.after) == ("open", 3.5)


async def test_wait_open_defaults_to_a_minute(server: ScriptedServer) -> None:
    server.play(rejecting(503))
    with pytest.raises(resilient_ws.HandshakeRejected):
        await resilient_ws.connect(server.url(), reconnect=EVERY_SECOND).__aenter__()
    assert now() == pytest.approx(60)


async def test_true_waits_for_ever(server: ScriptedServer) -> None:
    server.play(*500 * [rejecting(503)], hold)
    async with resilient_ws.connect(
        server.url(), reconnect=Reconnect(wait=wait_fixed(60)), wait_open=True
    ):
        assert now() == pytest.approx(500 * 60)


async def test_false_enters_offline(server: ScriptedServer) -> None:
    server.play(hang)
    async with resilient_ws.connect(server.url(), wait_open=False) as session:
        assert session.epoch == 0
        assert session.subprotocol is None
        assert now() == 0


async def test_what_gave_up_is_raised_when_entering(server: ScriptedServer) -> None:
    server.play(rejecting(503))
    policy = Reconnect(wait=wait_fixed(1), max_outage=5)
    with pytest.raises(resilient_ws.GaveUp):
        await resilient_ws.connect(server.url(), reconnect=policy).__aenter__()


async def test_entering_in_vain_ends_the_session_whole(
    server: ScriptedServer,
) -> None:
    async def breaks_the_rules(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(0.01)
        await peer.write(b"\xff\xff")
        await peer.ended()

    async def waits(connection: Connection) -> None:
        await connection.receive()

    server.play(breaks_the_rules)
    session = resilient_ws.connect(server.url(), on_open=waits)
    events = recorded(session)
    with pytest.raises(resilient_ws.ProtocolError):
        async with session:
            pass
    assert session.state is State.CLOSED
    assert isinstance(session.failure, resilient_ws.ProtocolError)
    assert len(of(events, resilient_ws.SessionClosed)) == 1
    with pytest.raises(resilient_ws.ProtocolError):
        async with asyncio.timeout(60):
            await session.receive()


async def test_entering_in_vain_reports_the_end_to_callbacks(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(404))
    session = resilient_ws.connect(server.url())
    events = recorded(session)
    with pytest.raises(resilient_ws.HandshakeRejected):
        async with session:
            pass
    assert session.state is State.CLOSED
    assert len(of(events, resilient_ws.AttemptFailed)) == 1
    assert len(of(events, resilient_ws.SessionClosed)) == 1


async def test_a_session_is_entered_once(server: ScriptedServer) -> None:
    session = resilient_ws.connect(server.url())
    assert session.statistics() == resilient_ws.Statistics()
    assert (session.state, session.epoch) == (State.IDLE, 0)
    assert (session.latency, session.failure) == (None, None)
    with pytest.raises(RuntimeError, match="not entered"):
        await session.send("x")
    async with session:
        with pytest.raises(RuntimeError, match="entered once"):
            await session.__aenter__()
        assert session.state is State.OPEN


async def test_wait_until_comes_at_once_later_or_never(server: ScriptedServer) -> None:
    server.play(closing(1001, after=5.0), hold)
    async with resilient_ws.connect(server.url(), reconnect=EVERY_SECOND) as session:
        await session.wait_until(State.OPEN)
        await session.wait_until(State.BACKOFF)
        assert now() == pytest.approx(5, abs=0.1)
        await session.wait_until(State.OPEN)
        # A session comes out of IDLE once and never goes back.
        with pytest.raises(resilient_ws.SessionClosed):
            await session.wait_until(State.IDLE)
        waiting = asyncio.create_task(session.wait_until(State.BACKOFF))
        closed = asyncio.create_task(session.wait_until(State.CLOSED))
        await turns(1)
        await session.close()
        with pytest.raises(resilient_ws.SessionClosed):
            await waiting
        await closed


async def test_waiting_for_what_is_no_state_says_so(server: ScriptedServer) -> None:
    async with resilient_ws.connect(server.url()) as session:
        with pytest.raises(TypeError, match="state"):
            await session.wait_until("open")  # type: ignore[arg-type]


async def test_wait_closed_returns_after_close_and_may_be_cancelled(
    server: ScriptedServer,
) -> None:
    async with resilient_ws.connect(server.url()) as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await session.wait_closed()
        assert session.state is State.OPEN
        waiting = asyncio.create_task(session.wait_closed())
        await session.close()
        await waiting


async def test_statistics_go_on_across_connections(server: ScriptedServer) -> None:
    server.play(rejecting(503), closing(1001, after=1.0), hold)
    async with resilient_ws.connect(
        server.url(), reconnect=EVERY_SECOND, subprotocols=["a", "b"]
    ) as session:
        await session.send("one")
        await session.wait_until(State.BACKOFF)
        await session.wait_until(State.OPEN)
        await session.send("two")
        await turns()
        seen = session.statistics()
    assert (seen.attempts, seen.opened, seen.drops) == (3, 2, 1)
    assert seen.messages_sent == 2
    assert seen.bytes_sent > 0
    assert (seen.outbox_messages, seen.outbox_bytes) == (0, 0)
