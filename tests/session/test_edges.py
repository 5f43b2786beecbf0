"""What the design promises at its edges: races, windows, sums that must come out."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import weakref
from typing import TYPE_CHECKING

import pytest
from tenacity import stop_after_attempt, wait_fixed, wait_none

import resilient_ws
from resilient_ws import (
    Connection,
    DeliveryState,
    Fatal,
    GaveUp,
    Inbox,
    Interruption,
    Liveness,
    Outbox,
    Reconnect,
    State,
    Timeouts,
)
from resilient_ws.eventloop.sleep import ticker_of
from resilient_ws.outbox.backlog import MESSAGE_COST
from resilient_ws.outbox.writer import JOINED_WRITE
from resilient_ws.testing import ScriptedServer, VirtualLoop
from resilient_ws.testing.frames import close_frame, message
from resilient_ws.testing.scripts import hold, mute_at_close, rejecting
from tests.record import now, of, recorded, turns, until


if TYPE_CHECKING:
    from resilient_ws import Attempt, Delivery
    from resilient_ws.testing import Peer

QUICK = Reconnect(wait=wait_fixed(1))


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


async def test_fatal_from_the_hook_counts_when_the_connection_ends_with_it(
    server: ScriptedServer,
) -> None:
    async def denies(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(0.01)
        await peer.write(message("denied") + close_frame(1011))
        await peer.ended()

    async def logs_in(connection: Connection) -> None:
        raise Fatal(f"the server said {await connection.receive()!r}")

    server.play(denies)
    session = resilient_ws.connect(
        server.url(), on_open=logs_in, reconnect=QUICK, wait_open=10
    )
    with pytest.raises(Fatal, match="denied"):
        async with session:
            pass


async def test_a_hook_that_fails_as_its_connection_ends_is_not_unretrieved(
    server: ScriptedServer,
) -> None:
    async def denies(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(0.01)
        await peer.write(message("denied") + close_frame(1011))
        await peer.ended()

    async def logs_in(connection: Connection) -> None:
        raise ValueError(await connection.receive())

    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, c: unheard.append(c))
    server.play(denies)
    async with resilient_ws.connect(
        server.url(), on_open=logs_in, reconnect=QUICK, wait_open=False
    ):
        await server.arrivals(3)
    gc.collect()
    assert unheard == []


@pytest.mark.parametrize("place", ["url", "on_open"])
async def test_what_fails_while_it_is_cancelled_is_heard(
    server: ScriptedServer, place: str
) -> None:
    async def fails_at_the_end(_: object) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("cleaning up failed") from None
        return server.url()

    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, c: unheard.append(c))
    session = resilient_ws.connect(
        fails_at_the_end if place == "url" else server.url(),
        on_open=fails_at_the_end if place == "on_open" else None,
        wait_open=False,
    )
    async with session:
        wanted = State.CONNECTING if place == "url" else State.RESTORING
        await session.wait_until(wanted)
        await turns()
        await session.close()
    del session
    gc.collect()
    assert unheard == []


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
    async with resilient_ws.connect(
        server.url(),
        liveness=liveness,
        inbox=Inbox(max_messages=1),
        reconnect=Reconnect(wait=wait_fixed(1000)),
    ) as session:
        await asyncio.sleep(30)
        assert [await session.receive() for _ in range(3)] == ["a", "b", "c"]
        read = now()
        async with asyncio.timeout(60):
            await session.wait_until(State.BACKOFF)
        assert now() - read <= 10.01


async def test_after_giving_up_and_closing_send_still_says_gave_up(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503))
    session = resilient_ws.connect(
        server.url(), wait_open=False, reconnect=Reconnect(stop=stop_after_attempt(1))
    )
    async with session:
        with pytest.raises(GaveUp):
            await session.wait_closed()
    with pytest.raises(GaveUp):
        await session.receive()
    with pytest.raises(GaveUp):
        await session.wait_until(State.OPEN)
    with pytest.raises(GaveUp):
        await session.send("x")


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


async def test_entering_cancelled_before_it_began_is_an_end_too(
    server: ScriptedServer,
) -> None:
    session = resilient_ws.connect(server.url())

    async def enters() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        async with session:
            pass

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(enters())
    assert session.state is State.CLOSED
    with pytest.raises(resilient_ws.SessionClosed):
        async with asyncio.timeout(60):
            await session.receive()


async def test_close_keeps_its_deadline_when_the_server_keeps_the_stream_open(
    server: ScriptedServer,
) -> None:
    async def answers_and_stays(peer: Peer) -> None:
        peer.answers_close = False
        await peer.accept()
        await peer.goodbye()
        await peer.write(close_frame(1000))
        await peer.ended()

    server.play(answers_and_stays)
    async with resilient_ws.connect(
        server.url(), timeouts=Timeouts(close=5)
    ) as session:
        began = now()
        record = await session.close()
        assert record is not None
        assert record.clean
        assert now() - began <= 5.0


async def test_what_keeps_coming_does_not_hold_the_goodbye_up(
    server: ScriptedServer,
) -> None:
    async def floods(peer: Peer) -> None:
        peer.answers_close = False
        await peer.accept()
        await peer.send(*["early"] * 5)
        await peer.goodbye()
        await peer.send(*["late"] * 100)
        await peer.write(close_frame(1000))
        await asyncio.sleep(0.01)

    server.play(floods)
    async with resilient_ws.connect(
        server.url(), inbox=Inbox(max_messages=10)
    ) as session:
        await until(lambda: session.statistics().inbox_messages == 5)
        began = now()
        record = await session.close()
        assert record is not None
        assert record.clean
        assert now() - began < 1


async def test_close_during_a_replacement_finishes_its_goodbye(
    server: ScriptedServer,
) -> None:
    async def slow_goodbye(peer: Peer) -> None:
        peer.answers_close = False
        await peer.accept()
        await peer.goodbye()
        await asyncio.sleep(1)
        await peer.write(close_frame(1000))

    server.play(slow_goodbye)
    async with resilient_ws.connect(server.url()) as session:
        session.reconnect("a reason")
        await asyncio.sleep(0.5)
        record = await session.close()
        assert record is not None
        assert record.clean
    assert len(server.peers) == 1


async def test_reconnect_while_restoring_leaves_the_hole_as_it_was(
    server: ScriptedServer,
) -> None:
    first = True

    async def slow_after_the_first(_: Connection) -> None:
        nonlocal first
        if first:
            first = False
            return
        await asyncio.sleep(1)

    async def drops(peer: Peer) -> None:
        await peer.accept()
        await peer.send("before")
        await asyncio.sleep(5)
        await peer.reset()

    async def feeds(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(5)
        await peer.send("after")
        await peer.ended()

    server.play(drops, feeds)
    async with resilient_ws.connect(
        server.url(), on_open=slow_after_the_first, reconnect=QUICK
    ) as session:
        await session.wait_until(State.BACKOFF)
        await session.wait_until(State.RESTORING)
        session.reconnect("while it is restored")
        items = session.with_interruptions()
        assert await anext(items) == "before"
        hole = await anext(items)
        assert isinstance(hole, Interruption)
        assert isinstance(hole.cause, resilient_ws.ConnectionLost)
        assert hole.drops == 1


async def test_before_the_first_open_connection_there_is_no_hole(
    server: ScriptedServer,
) -> None:
    async def slow(_: Connection) -> None:
        await asyncio.sleep(1)

    async def feeds(peer: Peer) -> None:
        await peer.accept()
        await peer.send("first")
        await peer.ended()

    server.play(feeds)
    session = resilient_ws.connect(
        server.url(), on_open=slow, wait_open=False, reconnect=QUICK
    )
    events = recorded(session)
    async with session:
        await session.wait_until(State.RESTORING)
        session.reconnect("too early")
        await session.wait_until(State.OPEN)
        items = session.with_interruptions()
        assert await anext(items) == "first"
    (opened,) = of(events, resilient_ws.ConnectionOpened)
    assert opened.resumed_after is None


async def test_a_callback_that_raises_cancelled_error_silences_nobody(
    server: ScriptedServer,
) -> None:
    seen: list[object] = []

    def reads_a_cancelled_result(_: resilient_ws.StateChanged) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        future.result()

    session = resilient_ws.connect(server.url())
    session.on(resilient_ws.StateChanged, reads_a_cancelled_result)
    session.on(resilient_ws.HandlerFailed, seen.append)
    session.on(resilient_ws.SessionClosed, seen.append)
    async with session:
        await turns()
    kinds = {type(event) for event in seen}
    assert kinds == {resilient_ws.HandlerFailed, resilient_ws.SessionClosed}


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


class Lowest(random.Random):
    """Draws what is smallest."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


async def test_no_endpoint_is_dialled_twice_within_the_spacing_in_a_round(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503))
    async with ScriptedServer(rejecting(503)) as other:
        policy = Reconnect(wait=wait_none(), rng=Lowest(), stop=stop_after_attempt(10))
        with pytest.raises(GaveUp):
            async with resilient_ws.connect(
                [server.url(), other.url()], reconnect=policy
            ):
                pass
        for dials in (server.dials, other.dials):
            gaps = [b - a for a, b in itertools.pairwise(dials)]
            assert len(gaps) == 4
            assert min(gaps) >= 0.2 - 0.02, gaps


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


async def test_two_receives_of_one_hook_each_get_theirs(
    server: ScriptedServer,
) -> None:
    got: list[str | bytes] = []

    async def feeds(peer: Peer) -> None:
        await peer.accept()
        for text in ("b", "a"):
            await asyncio.sleep(0.1)
            await peer.send(text)
        await peer.ended()

    async def awaits_both(connection: Connection) -> None:
        async def take(wanted: str) -> None:
            got.append(await connection.receive(lambda data: data == wanted))

        await asyncio.gather(take("a"), take("b"))

    server.play(feeds)
    async with resilient_ws.connect(
        server.url(), on_open=awaits_both, wait_open=5, timeouts=Timeouts(restore=2)
    ):
        assert sorted(map(str, got)) == ["a", "b"]


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


async def test_empty_messages_are_bounded_too(server: ScriptedServer) -> None:
    async with resilient_ws.connect(server.url()) as session:
        most = 0
        for _ in range(20_000):
            await session.send("")
            most = max(most, session.statistics().outbox_messages)
        # A joined write leaves at 64 KiB, and no message costs less than 64 bytes.
        assert most <= JOINED_WRITE // MESSAGE_COST


async def test_a_url_callable_that_will_not_be_cancelled_dials_nothing_after_the_end(
    server: ScriptedServer,
) -> None:
    release = asyncio.Event()

    async def stubborn(_: Attempt) -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return server.url()

    async with resilient_ws.connect(stubborn, wait_open=False) as session:
        await turns()
        await session.close()
        assert session.state is State.CLOSED
    release.set()
    await asyncio.sleep(1)
    assert server.peers == []


async def test_a_loop_is_not_kept_alive_by_its_ticker() -> None:
    loop = VirtualLoop()
    ticker_of(loop).subscribe(print)
    ticker_of(loop).unsubscribe(print)
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


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
    session = resilient_ws.connect(
        server.url(),
        liveness=Liveness(idle_timeout=10),
        reconnect=Reconnect(wait=wait_fixed(1000)),
    )
    events = recorded(session)
    async with session:
        await until(lambda: of(events, resilient_ws.ConnectionDropped))
        await asyncio.sleep(5)
        assert session.statistics().inbox_messages == 0


async def test_a_hook_whose_connection_half_closes_cannot_send_into_the_void(
    server: ScriptedServer,
) -> None:
    seen: list[str] = []

    async def half_closes(peer: Peer) -> None:
        peer.answers_close = False
        await peer.accept()
        peer.transport.write_eof()
        await peer.ended()

    async def logs_in(connection: Connection) -> None:
        await asyncio.sleep(0.02)  # within the window of the end-of-stream probe
        await connection.send("login")
        seen.append("sent")

    server.play(half_closes)
    async with resilient_ws.connect(
        server.url(), on_open=logs_in, wait_open=False, reconnect=QUICK
    ):
        await server.arrivals(2)
    assert seen == []
    assert server.received == []


async def test_waiting_for_what_is_no_state_says_so(server: ScriptedServer) -> None:
    async with resilient_ws.connect(server.url()) as session:
        with pytest.raises(TypeError, match="state"):
            await session.wait_until("open")  # type: ignore[arg-type]


async def test_a_session_closed_before_entering_is_over(server: ScriptedServer) -> None:
    session = resilient_ws.connect(server.url())
    await session.close()
    await session.wait_closed()


async def test_a_forced_end_while_the_goodbye_lingers_frees_those_who_wait(
    server: ScriptedServer,
) -> None:
    server.play(mute_at_close)
    session = resilient_ws.connect(server.url())
    receiving: asyncio.Task[str | bytes] | None = None

    async def body() -> None:
        nonlocal receiving
        async with session:
            receiving = asyncio.create_task(session.receive())
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await server.arrivals(1)
    await session_open(session)
    for _ in range(5):
        task.cancel()
        await turns(2)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert session.state is State.CLOSED
    assert receiving is not None
    with pytest.raises(resilient_ws.SessionClosed):
        async with asyncio.timeout(60):
            await receiving


async def session_open(session: resilient_ws.Session) -> None:
    await until(lambda: session.state is State.OPEN)


async def test_close_at_every_turn_of_a_restless_session(
    server: ScriptedServer,
) -> None:
    """Wherever the loop stands, close ends it, in time, with nobody left waiting."""

    async def restless(peer: Peer) -> None:
        await peer.accept()
        await peer.send("x")
        await asyncio.sleep(0)
        await peer.reset()

    async def restores(connection: Connection) -> None:
        await connection.send("hello")
        await asyncio.sleep(0)

    policy = Reconnect(wait=wait_fixed(0), stable_after=100)
    for turn in range(0, 120, 3):
        server.play(restless, hold)
        session = resilient_ws.connect(
            server.url(), on_open=restores, wait_open=False, reconnect=policy
        )
        async with session:
            receiving = asyncio.create_task(drained(session))
            delivery: Delivery = await session.send("kept")
            await turns(turn)
            began = now()
            await session.close()
            assert now() - began <= 5.0
        assert session.state is State.CLOSED
        assert delivery.state is not DeliveryState.QUEUED
        async with asyncio.timeout(10):
            await receiving


async def drained(session: resilient_ws.Session) -> list[str | bytes]:
    return [data async for data in session]
