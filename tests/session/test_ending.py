"""However and whenever a session ends, it leaves nothing behind, and in time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import DeliveryState, Inbox, Reconnect, State, Timeouts
from resilient_ws.testing import assert_no_leaks
from resilient_ws.testing.frames import close_frame
from resilient_ws.testing.scripts import (
    black_hole,
    closing,
    hang,
    hold,
    mute_at_close,
    rejecting,
)
from tests.record import now, of, recorded, turns, until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from resilient_ws import Attempt, Connection, Delivery, Session
    from resilient_ws.testing import Peer, ScriptedServer

LIMIT = 5.0
STATES = (
    State.CONNECTING,
    State.RESTORING,
    State.OPEN,
    State.BACKOFF,
    State.CLOSING,
)


async def never_restored(connection: Connection) -> None:
    await asyncio.Event().wait()


def session_for(server: ScriptedServer, state: State, **options: Any) -> Session:
    """A session that gets as far as a state, and stays there."""
    script = {
        State.CONNECTING: hang,
        State.BACKOFF: rejecting(503),
        State.CLOSING: mute_at_close,
    }.get(state, hold)
    server.play(script)
    return resilient_ws.connect(
        server.url(),
        wait_open=False,
        on_open=never_restored if state is State.RESTORING else None,
        reconnect=Reconnect(wait=wait_fixed(1000)),
        timeouts=Timeouts(open=1000, restore=1000, close=LIMIT),
        **options,
    )


async def arrive(session: Session, server: ScriptedServer, state: State) -> None:
    if state is State.CLOSING:
        await session.wait_until(State.OPEN)
        closer = asyncio.create_task(session.close())
        await session.wait_until(State.CLOSING)
        closer.cancel()
        await asyncio.wait({closer})
    else:
        await session.wait_until(state)
        await server.arrivals(1)
    await turns()
    assert session.state is state


@contextlib.asynccontextmanager
async def ends_in_time(limit: float = LIMIT) -> AsyncIterator[None]:
    began = now()
    async with assert_no_leaks(turns=10):
        yield
    assert now() - began <= limit


@pytest.mark.parametrize("state", STATES)
async def test_close_in_every_state(server: ScriptedServer, state: State) -> None:
    async with ends_in_time(), session_for(server, state) as session:
        await arrive(session, server, state)
        await session.close()
        assert session.state is State.CLOSED
        assert session.failure is None
        await session.wait_closed()


@pytest.mark.parametrize("state", STATES)
async def test_cancelling_the_body_in_every_state(
    server: ScriptedServer, state: State
) -> None:
    session = session_for(server, state)

    async def body() -> None:
        async with session:
            await asyncio.Event().wait()

    async with ends_in_time():
        task = asyncio.create_task(body())
        await turns(1)
        await arrive(session, server, state)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert session.state is State.CLOSED


@pytest.mark.parametrize("state", STATES)
async def test_an_exception_in_the_body_in_every_state(
    server: ScriptedServer, state: State
) -> None:
    session = session_for(server, state)
    async with ends_in_time():
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the body is the test
            async with session:
                await arrive(session, server, state)
                raise ZeroDivisionError
        assert session.state is State.CLOSED
        assert session.failure is None


@pytest.mark.parametrize("state", STATES)
async def test_a_second_cancellation_aborts_at_once_in_every_state(
    server: ScriptedServer, state: State
) -> None:
    session = session_for(server, state)

    async def body() -> None:
        async with session:
            await asyncio.Event().wait()

    async with assert_no_leaks(turns=10):
        task = asyncio.create_task(body())
        await turns(1)
        await arrive(session, server, state)
        server.play(mute_at_close)
        for peer in server.peers:
            peer.answers_close = False
        began = now()
        task.cancel()
        await turns(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert now() == began


async def session_open(session: resilient_ws.Session) -> None:
    await until(lambda: session.state is State.OPEN)


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


@pytest.mark.parametrize(
    "state", [State.CONNECTING, State.RESTORING, State.BACKOFF], ids=str
)
async def test_cancelling_the_entering_leaves_nothing(
    server: ScriptedServer, state: State
) -> None:
    script = {State.CONNECTING: hang, State.BACKOFF: rejecting(503)}.get(state, hold)
    server.play(script)
    session = resilient_ws.connect(
        server.url(),
        on_open=never_restored if state is State.RESTORING else None,
        reconnect=Reconnect(wait=wait_fixed(1000)),
        wait_open=True,
    )
    async with assert_no_leaks(turns=10):
        task = asyncio.create_task(session.__aenter__())
        await until(lambda: session.state is state)
        began = now()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert session.state is State.CLOSED
        assert now() == began


async def test_closing_before_entering() -> None:
    session = resilient_ws.connect("ws://127.0.0.1:9999")
    assert session.state.value == "idle"
    assert await session.close() is None
    assert session.state is State.CLOSED
    with pytest.raises(RuntimeError, match="entered once"):
        await session.__aenter__()
    with pytest.raises(resilient_ws.SessionClosed):
        await session.send("x")


async def test_a_server_that_never_answers_the_close_is_given_its_time_and_no_more(
    server: ScriptedServer,
) -> None:
    server.play(black_hole)
    async with resilient_ws.connect(
        server.url(), timeouts=Timeouts(close=3.0)
    ) as session:
        events = recorded(session)
        began = now()
        await session.close(4000, "enough")
        assert now() - began == pytest.approx(3.0)
        timed_out = of(events, resilient_ws.ConnectionTimedOut)
        assert [(e.kind, e.after) for e in timed_out] == [("close", 3.0)]
    assert server.peer.close_received == (4000, "enough")


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


async def test_close_tells_both_sides_what_was_said(server: ScriptedServer) -> None:
    server.play(hold)
    async with resilient_ws.connect(server.url()) as session:
        events = recorded(session)
        record = await session.close(4000, "done")
    assert record is not None
    assert (record.code, record.reason, record.initiator) == (4000, "done", "us")
    assert record.clean
    assert server.peer.close_received == (4000, "done")
    assert not of(events, resilient_ws.ConnectionDropped)
    (closed,) = of(events, resilient_ws.SessionClosed)
    assert closed.close == record
    assert closed.failure is None


async def test_concurrent_closes_share_one_result(server: ScriptedServer) -> None:
    server.play(hold)
    async with resilient_ws.connect(server.url()) as session:
        first, second = await asyncio.gather(
            session.close(4000, "first"), session.close(4001, "second")
        )
        third = await session.close()
    assert first is not None
    assert first.code == 4000
    assert first == second == third
    assert server.peer.close_received == (4000, "first")


@pytest.mark.parametrize(
    ("code", "reason"), [(1005, ""), (1006, ""), (999, ""), (1000, "é" * 62)]
)
async def test_a_close_that_may_not_be_sent_is_refused(
    server: ScriptedServer, code: int, reason: str
) -> None:
    async with resilient_ws.connect(server.url()) as session:
        with pytest.raises(ValueError, match=r"."):
            await session.close(code, reason)
        assert session.state is State.OPEN
        with pytest.raises((TypeError, ValueError)):
            await session.close(drain=-1)


async def test_close_inside_on_open_starts_the_end_and_returns(
    server: ScriptedServer,
) -> None:
    returned: list[object] = []

    async def on_open(connection: Connection) -> None:
        returned.append(await session.close(4000))
        await asyncio.Event().wait()

    session = resilient_ws.connect(server.url(), on_open=on_open, wait_open=False)
    async with ends_in_time(0.0), session:
        with pytest.raises(resilient_ws.SessionClosed):
            await session.wait_until(State.OPEN)
    assert returned == [None]
    assert server.peer.close_received == (4000, "")


@pytest.mark.parametrize("style", ["sync-started", "async"])
async def test_close_inside_a_callback_starts_the_end_and_returns(
    server: ScriptedServer, style: str
) -> None:
    returned: list[object] = []
    tasks: list[asyncio.Task[object]] = []

    async def close(_: object) -> None:
        returned.append(await session.close(4000))

    def start(event: object) -> None:
        tasks.append(asyncio.ensure_future(close(event)))

    session = resilient_ws.connect(server.url())
    session.on(resilient_ws.ConnectionOpened, close if style == "async" else start)
    async with ends_in_time(0.0), session:
        await session.wait_closed()
        await asyncio.gather(*tasks)
    assert len(returned) == 1
    assert server.peer.close_received == (4000, "")


async def test_leaving_the_block_sends_what_waits_first(server: ScriptedServer) -> None:
    server.play(hold)
    async with resilient_ws.connect(server.url()) as session:
        for number in range(100):
            await session.send(str(number))
    assert server.peer.received == [str(number) for number in range(100)]


async def test_what_cannot_be_sent_in_time_is_dropped_and_counted(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503))
    session = resilient_ws.connect(
        server.url(), wait_open=False, reconnect=Reconnect(wait=wait_fixed(1000))
    )
    async with session:
        events = recorded(session)
        deliveries = [await session.send("x") for _ in range(3)]
        await session.wait_until(State.BACKOFF)
    assert {d.state for d in deliveries} == {resilient_ws.DeliveryState.DROPPED}
    (closed,) = of(events, resilient_ws.SessionClosed)
    assert closed.dropped == 3
    assert session.statistics().outbox_lost == 3
    with pytest.raises(resilient_ws.DeliveryError) as caught:
        await deliveries[0].confirmed()
    assert caught.value.state is resilient_ws.DeliveryState.DROPPED


async def test_a_backlog_behind_a_slow_server_is_sent_before_the_goodbye(
    server: ScriptedServer,
) -> None:
    async def slow(peer: Peer) -> None:
        await peer.accept()
        peer.freeze()
        await asyncio.sleep(3)
        peer.thaw()
        await peer.ended()

    server.play(rejecting(503), slow)
    async with resilient_ws.connect(
        server.url(),
        wait_open=False,
        reconnect=Reconnect(wait=wait_fixed(1)),
        outbox=resilient_ws.Outbox(max_bytes=1 << 30),
    ) as session:
        deliveries = [await session.send(bytes([n]) * 200_000) for n in range(100)]
        await session.wait_until(State.OPEN)
        opened_at = now()
        assert deliveries[-1].state is resilient_ws.DeliveryState.QUEUED
    assert now() - opened_at == pytest.approx(3, abs=0.1)
    assert [m[0] for m in server.received] == list(range(100))
    assert server.peer.close_received == (1000, "")


async def blocked(session: Session, server: ScriptedServer) -> list[Any]:
    """Make the server read nothing, and queue more than the kernel takes."""
    server.peer.freeze()
    chunk = b"x" * 65536
    senders = [asyncio.ensure_future(session.send(chunk)) for _ in range(400)]
    await turns(1000)
    return senders


@pytest.mark.parametrize(("drain", "limit"), [(None, 5.0), (0, 5.0), (7.0, 12.0)])
async def test_draining_is_bounded(
    server: ScriptedServer, drain: float | None, limit: float
) -> None:
    server.play(hold)
    async with resilient_ws.connect(server.url()) as session:
        senders = await blocked(session, server)
        began = now()
        await session.close(drain=drain)
        assert now() - began == pytest.approx(limit)
        results = await asyncio.gather(*senders, return_exceptions=True)
    refused = [r for r in results if isinstance(r, BaseException)]
    assert all(isinstance(r, resilient_ws.SessionClosed) for r in refused)
    assert refused


async def test_the_server_closing_while_we_close(server: ScriptedServer) -> None:
    server.play(closing(1001, after=1.0))
    async with ends_in_time(2.0), resilient_ws.connect(server.url()) as session:
        await asyncio.sleep(1.0)
        await session.close()
        assert session.failure is None
        assert session.state is State.CLOSED


async def test_a_hook_that_will_not_be_cancelled_does_not_hold_the_end_up(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    released = asyncio.Event()

    async def stubborn(connection: Connection) -> None:
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    session = resilient_ws.connect(server.url(), on_open=stubborn, wait_open=False)
    async with session:
        await session.wait_until(State.RESTORING)
        await server.arrivals(1)
        began = now()
        await session.close()
        assert now() - began <= LIMIT
    assert "is still running although it was cancelled" in caplog.text
    released.set()
    await turns()


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


async def test_a_closed_session_says_so_to_every_call(server: ScriptedServer) -> None:
    async with resilient_ws.connect(server.url()) as session:
        pass
    calls: tuple[Callable[[], Any], ...] = (
        lambda: session.send("x"),
        session.receive,
        lambda: session.wait_until(State.OPEN),
    )
    for call in calls:
        with pytest.raises(resilient_ws.SessionClosed):
            await call()
    for steer in (session.retry_now, lambda: session.reconnect("why")):
        with pytest.raises(resilient_ws.SessionClosed):
            steer()
    assert [m async for m in session] == []
    assert [m async for m in session.with_interruptions()] == []
    await session.wait_closed()
    assert await session.close() is not None
    with pytest.raises(RuntimeError, match="entered once"):
        await session.__aenter__()


async def drained(session: resilient_ws.Session) -> list[str | bytes]:
    return [data async for data in session]


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
