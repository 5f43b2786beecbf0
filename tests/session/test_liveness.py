"""Never silently deaf, never falsely dead."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Inbox, Liveness, Reconnect, State
from resilient_ws.eventloop.sleep import ticker_of
from resilient_ws.testing.frames import PING, PONG, TEXT, frame, message
from resilient_ws.testing.scripts import black_hole, feeding, hold
from tests.record import now, of, recorded, turns, until


if TYPE_CHECKING:
    from resilient_ws import Session
    from resilient_ws.testing import Peer, ScriptedServer

PROBE = '{"op":"ping"}'
ANSWER = '{"op":"pong"}'


def session_to(server: ScriptedServer, liveness: Liveness, **options: Any) -> Session:
    return resilient_ws.connect(
        server.url(),
        liveness=liveness,
        reconnect=Reconnect(wait=wait_fixed(1000)),
        **options,
    )


def pinged(peer: Peer, times: int) -> bool:
    return len(peer.pings) >= times


async def stops_reading(peer: Peer) -> None:
    await peer.accept()
    peer.freeze()
    await peer.ended()


@pytest.mark.parametrize("script", [black_hole, stops_reading])
@pytest.mark.parametrize(("interval", "timeout"), [(20.0, 20.0), (3.0, 5.0)])
async def test_a_black_hole_is_noticed_in_the_promised_time(
    server: ScriptedServer, script: Any, interval: float, timeout: float
) -> None:
    server.play(script)
    liveness = Liveness(ping_interval=interval, ping_timeout=timeout)
    session = session_to(server, liveness)
    events = recorded(session)
    async with session:
        await session.wait_until(State.BACKOFF)
        assert now() == pytest.approx(interval + timeout, abs=0.01)
    (timed_out,) = of(events, resilient_ws.ConnectionTimedOut)
    assert timed_out.kind == "ping"
    assert timed_out.after == pytest.approx(interval + timeout, abs=0.01)
    (dropped,) = of(events, resilient_ws.ConnectionDropped)
    assert isinstance(dropped.because, resilient_ws.LivenessTimeout)
    assert not dropped.clean


async def test_a_black_hole_is_noticed_while_we_send(server: ScriptedServer) -> None:
    server.play(stops_reading)
    async with session_to(server, Liveness(ping_interval=2, ping_timeout=3)) as session:

        async def send() -> None:
            while session.state is State.OPEN:
                await session.send(b"x" * 50_000)
                await asyncio.sleep(0.1)

        sender = asyncio.create_task(send())
        await session.wait_until(State.BACKOFF)
        # While the kernel still took bytes the link showed signs of life.
        assert now() < 20
        await sender


async def test_a_quiet_link_lives_and_its_latency_is_known(
    server: ScriptedServer,
) -> None:
    async def slow_pongs(peer: Peer) -> None:
        peer.answers_pings = False
        await peer.accept()
        for answered in itertools.count(1):
            await peer.until(functools.partial(pinged, peer, answered))
            await asyncio.sleep(0.25)
            await peer.write(frame(PONG, peer.pings[answered - 1]))

    server.play(slow_pongs)
    session = session_to(server, Liveness())
    events = recorded(session)
    async with session:
        assert session.latency is None
        await asyncio.sleep(3600)
        assert session.epoch == 1
        assert session.latency == pytest.approx(0.25)
        await server.peer.reset()
        await session.wait_until(State.BACKOFF)
        assert session.latency == pytest.approx(0.25)
    pongs = of(events, resilient_ws.PongReceived)
    assert {round(e.latency, 6) for e in pongs} == {0.25}
    assert sum(e.count for e in pongs) == len(server.peers[0].pings)


async def chatter(peer: Peer) -> None:
    await peer.accept()
    while True:
        await peer.send("tick")
        await asyncio.sleep(1)


async def test_pings_go_out_whatever_flows(server: ScriptedServer) -> None:
    server.play(chatter)
    session = session_to(server, Liveness(), inbox=Inbox(overflow="drop_oldest"))
    events = recorded(session)
    async with session:
        for number in range(595):
            if number == 590:
                # On a feed that is never silent, too, it is known what has arrived.
                await server.peer.reset()
                break
            await session.send("an order")
            await asyncio.sleep(1)
        await session.wait_until(State.BACKOFF)
        assert session.latency is not None
    (dropped,) = of(events, resilient_ws.ConnectionDropped)
    assert len(server.peers[0].pings) == 29
    assert dropped.unconfirmed == 590 - 580


async def test_a_busy_feed_that_dies_is_noticed_in_the_promised_time(
    server: ScriptedServer,
) -> None:
    async def dies(peer: Peer) -> None:
        peer.answers_pings = False
        await peer.accept()
        await peer.send("first")
        await asyncio.sleep(19.5)
        await peer.send("last")
        await peer.ended()

    server.play(dies)
    async with session_to(server, Liveness()) as session:
        await session.wait_until(State.BACKOFF)
        # 20 and 20 after the last byte, not after the ping just behind it.
        assert now() == pytest.approx(59.5, abs=0.1)


async def test_a_flood_behind_a_slow_consumer_is_alive(server: ScriptedServer) -> None:
    async def flood(peer: Peer) -> None:
        await peer.accept()
        for number in range(400):
            await peer.send(str(number).ljust(5000))
            await asyncio.sleep(1)
        await peer.ended()

    server.play(flood)
    async with session_to(
        server,
        Liveness(ping_interval=5, ping_timeout=5),
        inbox=Inbox(max_messages=3),
    ) as session:
        for number in range(100):
            assert int(await session.receive()) == number
            await asyncio.sleep(12)
        assert session.epoch == 1
        # We did not read, and said all the same that we live.
        assert len(server.peer.pongs) > 10


async def test_a_consumer_that_never_reads_kills_no_healthy_link(
    server: ScriptedServer,
) -> None:
    server.play(feeding(*map(str, range(100))))
    async with session_to(
        server, Liveness(ping_interval=5, ping_timeout=5), inbox=Inbox(max_messages=3)
    ) as session:
        await asyncio.sleep(3600)
        assert session.state is State.OPEN
        assert session.epoch == 1
        assert [await session.receive() for _ in range(100)] == [
            str(n) for n in range(100)
        ]


async def test_a_link_that_dies_behind_a_full_inbox_is_noticed_when_it_is_read(
    server: ScriptedServer,
) -> None:
    async def fill_and_die(peer: Peer) -> None:
        peer.answers_pings = False
        await peer.accept()
        await asyncio.sleep(1)
        await peer.send(*map(str, range(10)))
        await peer.ended()

    server.play(fill_and_die)
    async with session_to(
        server, Liveness(ping_interval=5, ping_timeout=5), inbox=Inbox(max_messages=3)
    ) as session:
        await asyncio.sleep(100)
        assert session.state is State.OPEN
        for number in range(10):
            assert await session.receive() == str(number)
        await session.wait_until(State.BACKOFF)
        assert now() == pytest.approx(110, abs=5.1)


async def test_idle_timeout_counts_messages_only(server: ScriptedServer) -> None:
    async def pings_only(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(5)
        await peer.send("one")
        while True:
            await asyncio.sleep(1)
            await peer.write(frame(PING, b"still here"))

    server.play(pings_only)
    session = session_to(server, Liveness(idle_timeout=30))
    events = recorded(session)
    async with session:
        assert await session.receive() == "one"
        await session.wait_until(State.BACKOFF)
        assert now() == pytest.approx(35, abs=0.01)
    (timed_out,) = of(events, resilient_ws.ConnectionTimedOut)
    assert timed_out.kind == "idle"
    assert len(server.peers[0].pongs) > 25
    assert server.peers[0].close_received == (1001, "no message received for too long")


async def test_an_idle_link_is_noticed_after_a_pause_of_reading(
    server: ScriptedServer,
) -> None:
    async def feeds_once(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(1)
        await peer.send("a", "b", "c")
        await peer.ended()

    server.play(feeds_once)
    liveness = Liveness(ping_interval=None, idle_timeout=10)
    async with session_to(server, liveness, inbox=Inbox(max_messages=1)) as session:
        await asyncio.sleep(30)
        assert [await session.receive() for _ in range(3)] == ["a", "b", "c"]
        read = now()
        async with asyncio.timeout(60):
            await session.wait_until(State.BACKOFF)
        assert now() - read <= 10.01


async def test_after_its_end_a_connection_delivers_nothing(
    server: ScriptedServer,
) -> None:
    async def speaks_too_late(peer: Peer) -> None:
        peer.answers_close = False
        await peer.accept()
        await peer.goodbye()
        await peer.send("late")
        await peer.ended()

    server.play(speaks_too_late)
    session = session_to(server, Liveness(idle_timeout=10))
    events = recorded(session)
    async with session:
        await until(lambda: of(events, resilient_ws.ConnectionDropped))
        await asyncio.sleep(5)
        assert session.statistics().inbox_messages == 0


async def test_a_probe_keeps_the_link_and_its_answers_stay_out_of_the_inbox(
    server: ScriptedServer,
) -> None:
    async def application(peer: Peer) -> None:
        await peer.accept()
        while True:
            assert await peer.receive() == PROBE
            await peer.send(ANSWER, "news")

    server.play(application)
    async with session_to(
        server,
        Liveness(
            ping_interval=10,
            ping_timeout=5,
            probe=PROBE,
            is_answer=lambda m: (
                json.loads(m) == {"op": "pong"} if m[0] == "{" else False
            ),
        ),
    ) as session:
        for _ in range(10):
            assert await session.receive() == "news"
        assert now() == pytest.approx(100)
        assert session.statistics().messages_sent == 0
        assert session.statistics().messages_received == 10
    assert server.peer.pings == []
    assert server.peer.received == 10 * [PROBE]


async def test_answers_to_the_probe_take_no_room(server: ScriptedServer) -> None:
    answer = "answer" * 10

    async def feeds(peer: Peer) -> None:
        await peer.accept()
        await peer.write(message("small") + message(answer))
        await peer.ended()

    server.play(feeds)
    liveness = Liveness(probe="ask", is_answer=lambda data: data == answer)
    session = resilient_ws.connect(
        server.url(),
        liveness=liveness,
        # With drop_oldest the same chunk turns the loop for ever.
        inbox=Inbox(max_bytes=20, overflow="drop_newest"),
    )
    events = recorded(session)
    async with session:
        async with asyncio.timeout(5):
            assert await session.receive() == "small"
        assert session.statistics().inbox_discarded == 0
    assert of(events, resilient_ws.InboxOverflowed) == []


async def test_a_probe_without_an_answer_means_a_dead_link(
    server: ScriptedServer,
) -> None:
    async with session_to(
        server, Liveness(ping_interval=10, ping_timeout=5, probe=PROBE)
    ) as session:
        await session.wait_until(State.BACKOFF)
        assert now() == pytest.approx(15, abs=0.01)


async def test_a_probe_may_be_made_anew_each_time(server: ScriptedServer) -> None:
    nonces = iter(range(100))
    expected: set[str] = set()

    def probe() -> str:
        nonce = f"ping {next(nonces)}"
        expected.add(nonce.replace("ping", "pong"))
        return nonce

    async def application(peer: Peer) -> None:
        await peer.accept()
        while True:
            asked = str(await peer.receive())
            await peer.send("pong 99", asked.replace("ping", "pong"), f"after {asked}")

    server.play(application)
    liveness = Liveness(
        ping_interval=10, probe=probe, is_answer=lambda m: m in expected
    )
    async with session_to(server, liveness) as session:
        for number in range(3):
            # Not an answer of ours.
            assert await session.receive() == "pong 99"
            assert await session.receive() == f"after ping {number}"
    assert server.peer.received == ["ping 0", "ping 1", "ping 2"]
    assert server.peer.pings == []


def raises() -> str:
    raise ZeroDivisionError


def returns_none() -> Any:
    return None


def returns_half_a_character() -> str:
    return "\ud83d"


@pytest.mark.parametrize(
    ("probe", "error"),
    [
        (raises, ZeroDivisionError),
        (returns_none, TypeError),
        (returns_half_a_character, ValueError),
    ],
)
async def test_a_probe_that_fails_is_reported_and_a_ping_goes_in_its_place(
    server: ScriptedServer, probe: Any, error: type[Exception]
) -> None:
    session = session_to(server, Liveness(ping_interval=10, probe=probe))
    events = recorded(session)
    async with session:
        await asyncio.sleep(3605)
        # A quiet link that is asked nothing would look dead.
        assert session.epoch == 1
    failed = of(events, resilient_ws.HandlerFailed)
    assert len(failed) == len(server.peer.pings) == 360
    assert {e.handler for e in failed} == {"probe"}
    assert {type(e.because) for e in failed} == {error}
    assert server.peer.received == []


async def test_fatal_from_a_probe_ends_the_session(server: ScriptedServer) -> None:
    fatal = resilient_ws.Fatal("enough")

    def probe() -> str:
        raise fatal

    async with session_to(server, Liveness(probe=probe)) as session:
        with pytest.raises(resilient_ws.Fatal) as caught:
            await session.wait_closed()
        assert caught.value is fatal
        assert now() == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("probe", [None, PROBE])
async def test_a_ping_behind_a_full_transport_is_late_and_not_lost(
    server: ScriptedServer, probe: str | None
) -> None:
    async def stalls(peer: Peer) -> None:
        await peer.accept()
        peer.freeze()
        await asyncio.sleep(30)
        peer.thaw()
        await peer.ended()

    server.play(stalls)
    liveness = Liveness(ping_interval=10, ping_timeout=40, probe=probe)
    async with session_to(server, liveness) as session:
        sender = asyncio.create_task(fill(session))
        await asyncio.sleep(29)
        assert not sender.done()
        assert server.peer.pings == []
        asked = asyncio.create_task(session.ping())
        assert await asked == pytest.approx(1, abs=0.1)
        await sender
        # Those of 10 and 20 s, and that of 29; 30 s may have come before the end.
        assert len(server.peer.pings) in ((3, 4) if probe is None else (1,))
        assert server.peer.received.count(PROBE) >= (0 if probe is None else 2)
        assert session.epoch == 1


async def fill(session: Session) -> None:
    """Send more than the kernels and the transport have room for."""
    for _ in range(150):
        await session.send(b"x" * 60_000)


async def test_an_is_answer_that_raises_is_reported_and_loses_nothing(
    server: ScriptedServer,
) -> None:
    def is_answer(_: object) -> bool:
        raise ZeroDivisionError

    server.play(feeding("1", "2"))
    session = session_to(server, Liveness(probe=PROBE, is_answer=is_answer))
    events = recorded(session)
    async with session:
        assert await session.receive() == "1"
        assert await session.receive() == "2"
    failed = of(events, resilient_ws.HandlerFailed)
    assert [e.handler for e in failed] == 2 * ["is_answer"]


async def test_fatal_from_is_answer_ends_the_session(server: ScriptedServer) -> None:
    fatal = resilient_ws.Fatal("enough")

    def is_answer(_: object) -> bool:
        raise fatal

    async def later(peer: Peer) -> None:
        await asyncio.sleep(1)
        await peer.send("1")
        await peer.ended()

    server.play(feeding(then=later))
    async with session_to(
        server, Liveness(probe=PROBE, is_answer=is_answer)
    ) as session:
        with pytest.raises(resilient_ws.Fatal) as caught:
            await session.wait_closed()
        assert caught.value is fatal


async def test_without_a_ping_timeout_pings_go_out_and_nothing_is_expected(
    server: ScriptedServer,
) -> None:
    server.play(black_hole)
    async with session_to(
        server, Liveness(ping_interval=10, ping_timeout=None)
    ) as session:
        await asyncio.sleep(3605)
        assert session.state is State.OPEN
        assert len(server.peer.pings) == 360
        server.peer.answers_close = True


async def test_without_pings_a_silent_link_is_left_alone(
    server: ScriptedServer,
) -> None:
    async with session_to(server, Liveness(ping_interval=None)) as session:
        await asyncio.sleep(24 * 3600)
        assert session.epoch == 1
        assert session.latency is None
    assert server.peer.pings == []


async def test_pings_of_the_server_are_answered(server: ScriptedServer) -> None:
    async def pinging(peer: Peer) -> None:
        await peer.accept()
        for number in range(10):
            await peer.write(frame(PING, str(number).encode()))
            await asyncio.sleep(1)
        await peer.write(frame(TEXT, b"done"))
        await peer.ended()

    server.play(pinging)
    async with session_to(server, Liveness()) as session:
        assert await session.receive() == "done"
    assert server.peer.pongs == [str(n).encode() for n in range(10)]


async def test_a_blocked_loop_is_reported_and_kills_nothing(
    server: ScriptedServer,
) -> None:
    session = session_to(server, Liveness(ping_interval=5, ping_timeout=5))
    events = recorded(session)
    loop: Any = asyncio.get_running_loop()
    async with session:
        await asyncio.sleep(1)
        loop.advance(30)  # as a callback does that computes for half a minute
        await asyncio.sleep(100)
        assert session.epoch == 1
    lagged = of(events, resilient_ws.LoopLagged)
    assert [e.by for e in lagged] == [pytest.approx(26)]


async def test_a_slow_machine_has_not_slept(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is the monotonic clock, not that of the loop."""
    elapsed = 0.0
    ticker = ticker_of(asyncio.get_running_loop())
    monkeypatch.setattr(ticker, "_clocks", (lambda: elapsed,))
    monkeypatch.setattr(time, "monotonic", lambda: elapsed)
    async with session_to(server, Liveness()) as session:
        await asyncio.sleep(1)
        elapsed = 3600.0
        await asyncio.sleep(10)
        assert session.epoch == 1
        assert server.peer.pings == []


async def test_after_a_sleep_of_the_machine_a_ping_goes_out_at_once(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = 0.0
    ticker = ticker_of(asyncio.get_running_loop())
    monkeypatch.setattr(ticker, "_clocks", (lambda: time.monotonic() + slept,))
    async with session_to(server, Liveness()) as session:
        await asyncio.sleep(7)
        slept = 3600.0
        await asyncio.sleep(4)
        assert len(server.peer.pings) == 1
        assert session.epoch == 1
        server.peer.answers_pings = False
        slept = 7200.0
        began = now()
        await session.wait_until(State.BACKOFF)
        assert now() - began <= 5 + 20 + 0.01
        slept = 9999.0
        server.play(hold)
        # Woken up, a device does not sit the old wait out.
        await session.wait_until(State.OPEN)
        assert now() < 100
    await turns()
    await until(lambda: session.state is State.CLOSED)
