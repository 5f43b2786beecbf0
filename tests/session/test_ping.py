"""``session.ping()``: how long the way there and back takes, asked for by the user."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import ConnectionLost, Inbox, Liveness, Outbox, Reconnect, State
from resilient_ws.testing.frames import PONG, frame
from resilient_ws.testing.scripts import black_hole, closing, hold, mute_at_close
from tests.record import now, of, recorded, turns


if TYPE_CHECKING:
    from resilient_ws import Connection, Session
    from resilient_ws.testing import Peer, ScriptedServer

#: No pings but those that are asked for.
QUIET = Liveness(ping_interval=None)


def session_to(server: ScriptedServer, **options: Any) -> Session:
    return resilient_ws.connect(
        server.url(),
        **{
            "liveness": QUIET,
            "reconnect": Reconnect(wait=wait_fixed(1000)),
            **options,
        },
    )


def pinged(peer: Peer, before: int) -> bool:
    return len(peer.pings) > before


def answering_after(seconds: float, *, skip: int = 0) -> Any:
    """Answer pings late, but for the first ones."""

    async def script(peer: Peer) -> None:
        peer.answers_pings = False
        await peer.accept()
        answered = skip
        while True:
            await peer.until(functools.partial(pinged, peer, answered))
            answered = len(peer.pings)
            await asyncio.sleep(seconds)
            await peer.write(frame(PONG, peer.pings[answered - 1]))

    return script


async def test_it_returns_the_seconds_that_the_pong_took(
    server: ScriptedServer,
) -> None:
    server.play(answering_after(0.25))
    session = session_to(server)
    events = recorded(session)
    async with session:
        assert session.latency is None
        assert await session.ping() == pytest.approx(0.25, abs=0.02)
        assert session.latency == pytest.approx(0.25, abs=0.02)
    assert len(server.peer.pings) == 1
    assert len(of(events, resilient_ws.PongReceived)) == 1


async def test_it_works_while_another_task_reads(server: ScriptedServer) -> None:
    async def answers(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(5)
        await peer.send("at last")
        await peer.ended()

    server.play(answers)
    async with session_to(server) as session:
        reader = asyncio.create_task(session.receive())
        for _ in range(10):
            assert await session.ping(timeout=1) < 0.1
        assert not reader.done()
        assert await reader == "at last"


async def test_many_may_wait_and_a_later_pong_answers_for_older_pings(
    server: ScriptedServer,
) -> None:
    # The first two pings are never answered by themselves (RFC 6455 section 5.5.3).
    server.play(answering_after(1.0, skip=2))
    async with session_to(server) as session:
        first = asyncio.create_task(session.ping())
        await asyncio.sleep(1)
        second = asyncio.create_task(session.ping())
        await asyncio.sleep(1)
        assert not first.done()
        took = [await session.ping(), await second, await first]
    assert took == [pytest.approx(n, abs=0.05) for n in (1, 2, 3)]
    assert len(server.peer.pings) == 3


async def test_a_pong_that_is_older_than_the_ping_is_not_its_answer(
    server: ScriptedServer,
) -> None:
    async def answers_the_first_alone(peer: Peer) -> None:
        peer.answers_pings = False
        await peer.accept()
        await asyncio.sleep(2)
        await peer.write(frame(PONG, peer.pings[0]) + frame(PONG, b"nobody asked"))
        await peer.ended()

    server.play(answers_the_first_alone)
    async with session_to(server) as session:
        first = asyncio.create_task(session.ping())
        await asyncio.sleep(1)
        with pytest.raises(TimeoutError):
            await session.ping(timeout=10)
        assert await first == pytest.approx(2, abs=0.05)


async def test_without_a_pong_in_time_it_says_so_and_the_connection_goes_on(
    server: ScriptedServer,
) -> None:
    server.play(black_hole)
    async with session_to(server) as session:
        with pytest.raises(TimeoutError, match="No pong arrived within 3 s;"):
            await session.ping(timeout=3)
        assert now() == pytest.approx(3, abs=0.05)
        with pytest.raises(TimeoutError):
            await session.ping(timeout=0)
        assert session.state is State.OPEN
        server.peer.answers_close = True


@pytest.mark.parametrize("how", ["reset", "close", "liveness", "replaced", "closed"])
async def test_the_end_of_the_connection_ends_the_wait(
    server: ScriptedServer, how: str
) -> None:
    server.play(mute_at_close if how == "closed" else black_hole, hold)
    liveness = Liveness(ping_interval=5, ping_timeout=5) if how == "liveness" else QUIET
    async with session_to(server, liveness=liveness) as session:
        server.peer.answers_pings = False
        asked = asyncio.create_task(session.ping())
        await asyncio.sleep(1)
        if how == "reset":
            await server.peer.reset()
        elif how == "close":
            await server.peer.close(1001)
        elif how == "replaced":
            server.peer.answers_close = True
            session.reconnect("a test")
        elif how == "closed":
            await session.close()
        with pytest.raises(ConnectionLost):
            await asked
        await turns()


async def test_it_may_be_cancelled_a_thousand_times(server: ScriptedServer) -> None:
    server.play(answering_after(1.0))
    async with session_to(server) as session:
        others = [asyncio.create_task(session.ping()) for _ in range(1000)]
        await asyncio.sleep(0)
        for other in others[::2]:
            other.cancel()
        await asyncio.sleep(0)
        for other in others[1::4]:
            other.cancel()
        found = await asyncio.gather(*others, return_exceptions=True)
        kept = [took for took in found if isinstance(took, float)]
        assert len(kept) == 250
        assert session.state is State.OPEN
        assert session._supervisor is not None
        assert session._supervisor.wire is not None
        assert session._supervisor.wire.keepalive._waiting == []


async def test_there_must_be_an_open_connection(server: ScriptedServer) -> None:
    server.play(closing(1001))
    session = session_to(server)
    with pytest.raises(RuntimeError, match="not entered"):
        await session.ping()
    async with session:
        await session.wait_until(State.BACKOFF)
        with pytest.raises(ConnectionLost, match=r"no open connection.*backoff"):
            await session.ping()
    with pytest.raises(resilient_ws.SessionClosed):
        await session.ping()


async def test_in_on_open_it_says_what_to_use(server: ScriptedServer) -> None:
    said: list[str] = []

    async def on_open(_: Connection) -> None:
        with pytest.raises(RuntimeError, match="inside on_open") as caught:
            await session.ping()
        said.append(str(caught.value))

    session = session_to(server, on_open=on_open)
    async with session:
        assert len(said) == 1


@pytest.mark.parametrize("wrong", [-1, "5", float("nan"), float("inf")])
async def test_a_wrong_timeout_is_named(server: ScriptedServer, wrong: Any) -> None:
    async with session_to(server) as session:
        with pytest.raises((TypeError, ValueError), match=r"^timeout must be"):
            await session.ping(timeout=wrong)
        assert server.peer.pings == []


async def test_its_pong_confirms_what_was_sent_before(server: ScriptedServer) -> None:
    # The barrier goes out with the first message, and the next a minute later.
    outbox = Outbox(confirm="pong", confirm_interval=60, resend=True)
    async with session_to(server, outbox=outbox) as session:
        await (await session.send("1")).confirmed(timeout=5)
        second = await session.send("2")
        await session.ping()
        assert second.state is resilient_ws.DeliveryState.CONFIRMED


async def test_a_pong_behind_a_full_inbox_is_read_when_there_is_room(
    server: ScriptedServer,
) -> None:
    async def talks(peer: Peer) -> None:
        await peer.accept()
        await peer.send("1", "2", "3")
        await peer.ended()

    server.play(talks)
    async with session_to(server, inbox=Inbox(max_messages=1)) as session:
        await asyncio.sleep(1)
        with pytest.raises(TimeoutError):
            await session.ping(timeout=5)
        asked = asyncio.create_task(session.ping())
        assert [await session.receive() for _ in range(3)] == ["1", "2", "3"]
        assert await asked < 0.1
