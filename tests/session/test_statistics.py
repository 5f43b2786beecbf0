"""What a session has counted, and when things happened."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Outbox, Reconnect, State, Statistics
from resilient_ws.eventloop.sleep import ticker_of
from resilient_ws.testing.scripts import closing, feeding, hang, hold, rejecting
from tests.record import of, recorded, until


if TYPE_CHECKING:
    from resilient_ws.testing import Peer, ScriptedServer


def roughly(seconds: float) -> object:
    return pytest.approx(seconds, abs=0.5)


async def test_before_anything_has_happened() -> None:
    session = resilient_ws.connect("wss://h/")
    statistics = session.statistics()
    assert statistics == Statistics()
    assert (statistics.opened_at, statistics.last_message_at) == (None, None)


async def test_outage_and_backoff_are_counted_with_the_present_one(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503), rejecting(503), closing(1001, after=50), hang, hold)
    session = resilient_ws.connect(
        server.url(),
        wait_open=False,
        reconnect=Reconnect(wait=wait_fixed(10)),
        timeouts=resilient_ws.Timeouts(open=7),
    )
    async with session:
        await asyncio.sleep(5)
        now = session.statistics()
        assert (now.outage_seconds, now.backoff_seconds) == (roughly(5), roughly(5))
        assert now.opened_at is None
        # Open from 20 to 70, then a wait of 10 and a dial that takes 7.
        await asyncio.sleep(60)
        now = session.statistics()
        assert (now.outage_seconds, now.backoff_seconds) == (roughly(20), roughly(20))
        opened_at = now.opened_at
        assert opened_at is not None
        await asyncio.sleep(20)
        now = session.statistics()
        assert now.outage_seconds == roughly(20 + 15)
        assert now.backoff_seconds == roughly(20 + 10)
        # The newest that opened, while there is none.
        assert now.opened_at == opened_at
        await until(lambda: session.epoch == 2)
        await asyncio.sleep(1000)
    last = session.statistics()
    assert last.outage_seconds == roughly(20 + 27)
    assert last.backoff_seconds == roughly(20 + 20)
    assert session.statistics() == last


async def test_when_the_newest_message_came(server: ScriptedServer) -> None:
    async def twice(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(5)
        await peer.send("1")
        await asyncio.sleep(5)
        await peer.reset()

    server.play(twice, hold)
    async with resilient_ws.connect(server.url()) as session:
        assert session.statistics().last_message_at is None
        await asyncio.sleep(8)
        came = session.statistics().last_message_at
        assert came == roughly(time.time() - 3)
        # It stands when its connection has gone, on whatever follows.
        await until(lambda: session.epoch == 2)
        assert session.statistics().last_message_at is not None


async def test_the_ages_of_the_outage_and_of_the_silence(
    server: ScriptedServer,
) -> None:
    async def once(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(5)
        await peer.send("1")
        await asyncio.sleep(5)
        await peer.reset()

    server.play(rejecting(503), once, rejecting(503), hold)
    session = resilient_ws.connect(
        server.url(), wait_open=False, reconnect=Reconnect(wait=wait_fixed(10))
    )

    def ages() -> tuple[float, float]:
        now = session.statistics()
        return now.outage_age, now.silence_age

    assert ages() == (0, 0)
    async with session:
        await asyncio.sleep(4)
        assert ages() == (roughly(4), roughly(4))
        # Open from 10 to 20, with one message at 15.
        await asyncio.sleep(9)
        assert ages() == (0, roughly(13))
        await asyncio.sleep(4)
        assert ages() == (0, roughly(2))
        await asyncio.sleep(8)
        assert ages() == (roughly(5), roughly(10))
        # A failed attempt at 30 begins no new outage; open again from 40.
        await asyncio.sleep(10)
        assert ages() == (roughly(15), roughly(20))
        await asyncio.sleep(10)
        assert ages() == (0, roughly(30))
    assert ages() == (0, 0)


async def test_an_open_connection_tells_how_long_its_attempt_took(
    server: ScriptedServer,
) -> None:
    async def slow(peer: Peer) -> None:
        await asyncio.sleep(3)
        await peer.accept()
        await peer.ended()

    async def restore(_: resilient_ws.Connection) -> None:
        await asyncio.sleep(2)

    server.play(rejecting(503), slow)
    session = resilient_ws.connect(
        server.url(), on_open=restore, reconnect=Reconnect(wait=wait_fixed(10))
    )
    events = recorded(session)
    async with session:
        await asyncio.sleep(1)
        (opened,) = of(events, resilient_ws.ConnectionOpened)
        assert opened.elapsed == roughly(3 + 2)


async def test_statistics_never_go_back(server: ScriptedServer) -> None:
    async def closes_and_stays(peer: Peer) -> None:
        peer.answers_close = False
        await peer.accept()
        await peer.send("a", "b")
        await asyncio.sleep(1)
        await peer.close(1001)
        await peer.ended()

    server.play(closes_and_stays)
    async with resilient_ws.connect(
        server.url(), reconnect=Reconnect(wait=wait_fixed(1000))
    ) as session:
        await session.wait_until(State.BACKOFF)
        assert session.statistics().messages_received == 2
        await asyncio.sleep(5)
        assert session.statistics().messages_received == 2


async def test_a_sleep_of_the_machine_does_not_move_it(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.play(feeding("1"))
    slept = 0.0
    ticker = ticker_of(asyncio.get_running_loop())
    monkeypatch.setattr(ticker, "_clocks", (lambda: time.monotonic() + slept,))
    async with resilient_ws.connect(server.url()) as session:
        await asyncio.sleep(6)
        slept = 3600.0
        await asyncio.sleep(10)
        # The wall clock of this test did not move, so an hour earlier on it.
        for _ in range(2):
            came = session.statistics().last_message_at
            assert came == pytest.approx(time.time() - 3610, abs=7)
            await asyncio.sleep(0)


@pytest.mark.parametrize("confirm", ["write", "pong"])
async def test_the_age_of_the_oldest_message_that_waits(
    server: ScriptedServer, confirm: str
) -> None:
    server.play(rejecting(503))
    outbox = Outbox(confirm=confirm)  # type: ignore[arg-type]
    session = resilient_ws.connect(server.url(), wait_open=False, outbox=outbox)
    async with session:
        assert session.statistics().outbox_oldest_age == 0
        first = await session.send("1")
        await session.send("2")
        # Accepted an hour ago, by the wall clock.
        first.accepted_at -= 3600
        assert session.statistics().outbox_oldest_age == pytest.approx(3600, abs=60)
        server.play(hold)
        session.retry_now()
        await until(lambda: session.state is State.OPEN)
        await first.confirmed()
        await until(lambda: not session.outstanding())
        assert session.statistics().outbox_oldest_age == 0


async def test_what_the_server_answered_is_there(server: ScriptedServer) -> None:
    async def with_headers(peer: Peer) -> None:
        await peer.accept(headers={"X-Node": "7", "Set-Cookie": "sid=planted"})
        await peer.ended()

    server.play(with_headers)
    seen: list[resilient_ws.Connection] = []

    async def on_open(connection: resilient_ws.Connection) -> None:
        seen.append(connection)

    session = resilient_ws.connect(server.url(), on_open=on_open)
    events = recorded(session)
    async with session:
        await asyncio.sleep(1)
    (opened,) = of(events, resilient_ws.ConnectionOpened)
    for headers in (opened.headers, seen[0].headers):
        assert (headers["x-node"], headers["set-cookie"]) == ("7", "sid=planted")
        assert headers["upgrade"] == "websocket"
    assert "planted" not in repr((opened, seen[0], seen[0].headers))


def test_a_session_tells_its_name_and_its_bounds_but_no_secret() -> None:
    outbox, inbox = Outbox(max_messages=5), resilient_ws.Inbox()
    session = resilient_ws.connect(
        "wss://stream.example.com/feed?key=s3cr3t", outbox=outbox, inbox=inbox
    )

    assert session.name == "wss://stream.example.com/feed?key=***"
    assert session.endpoint == "wss://stream.example.com/feed?key=***"
    assert session.outbox is outbox
    assert session.inbox is inbox
    assert resilient_ws.connect("wss://example.com", name="bot").name == "bot"
    fresh = resilient_ws.connect(lambda _: "wss://example.com")
    assert (fresh.name, fresh.endpoint) == ("a URL per attempt", None)
