"""What a session reports, and what becomes of those who listen."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import (
    Connection,
    ConnectionDropped,
    ConnectionOpened,
    DeliveryState,
    Event,
    HandlerFailed,
    Inbox,
    Liveness,
    MessageReceived,
    PongReceived,
    Reconnect,
    RetryScheduled,
    ServerTerminated,
    SessionClosed,
    State,
    StateChanged,
)
from resilient_ws.testing import assert_no_leaks
from resilient_ws.testing.scripts import (
    SOON,
    closing,
    feeding,
    hold,
    rejecting,
    resetting,
)
from tests.record import now, of, recorded, turns, until


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws import Delivery, Session
    from resilient_ws.testing import Peer, ScriptedServer


def session_to(server: ScriptedServer, **options: Any) -> Session:
    return resilient_ws.connect(
        server.url(), reconnect=Reconnect(wait=wait_fixed(1)), **options
    )


def story(events: list[Event]) -> list[str]:
    """The events by name, and changes of state by the state."""
    return [
        e.current.value if isinstance(e, StateChanged) else type(e).__name__
        for e in events
    ]


OPENING = ["connecting", "restoring", "open", "ConnectionOpened"]
ENDING = ["closing", "closed", "SessionClosed"]


@pytest.mark.parametrize(
    ("script", "restores", "began", "loss"),
    [
        (
            closing(1001, "bye"),
            False,
            OPENING,
            ["ServerTerminated", "ConnectionDropped"],
        ),
        (
            closing(1001, after=0),
            False,
            OPENING,
            ["ServerTerminated", "ConnectionDropped"],
        ),
        (resetting(), False, OPENING, ["ConnectionDropped"]),
        (
            closing(1001),
            True,
            OPENING[:2],
            ["ServerTerminated", "AttemptFailed"],
        ),
        (rejecting(503), False, OPENING[:1], ["AttemptFailed"]),
    ],
    ids=["closed", "closed at once", "reset", "closed before open", "refused"],
)
async def test_a_loss_is_told_once_and_in_order(
    server: ScriptedServer,
    script: Any,
    restores: bool,
    began: list[str],
    loss: list[str],
) -> None:
    hooked = 0

    async def on_open(connection: Connection) -> None:
        nonlocal hooked
        hooked += 1
        if hooked == 1:
            await connection.receive()

    server.play(script, hold)
    session = session_to(server, on_open=on_open if restores else None)
    events = recorded(session)
    async with session:
        await until(lambda: len(server.dials) == 2 and session.state is State.OPEN)
    assert story(events) == [
        *began,
        *loss,
        "backoff",
        "RetryScheduled",
        *OPENING,
        *ENDING,
    ]


async def test_what_a_loss_tells(server: ScriptedServer) -> None:
    server.play(closing(1013, "busy", after=4.0), hold)
    session = session_to(server)
    events = recorded(session)
    async with session:
        await session.wait_until(State.BACKOFF)
    (terminated,) = of(events, ServerTerminated)
    assert (terminated.code, terminated.reason) == (1013, "busy")
    assert terminated.meaning == "try again later"
    (dropped,) = of(events, ConnectionDropped)
    assert dropped.epoch == 1
    assert dropped.uptime == pytest.approx(4)
    assert dropped.close is not None
    assert (dropped.close.code, dropped.close.initiator) == (1013, "peer")
    assert dropped.clean
    (scheduled,) = of(events, RetryScheduled)
    assert (scheduled.delay, scheduled.attempt) == (6.0, 2)
    assert scheduled.because is dropped.because
    changed = [e for e in of(events, StateChanged) if e.current is State.BACKOFF]
    assert [(e.retry_in, e.because) for e in changed] == [(6.0, dropped.because)]


async def test_callbacks_run_in_order_sync_and_async(server: ScriptedServer) -> None:
    ran: list[str] = []
    session = session_to(server)

    @session.on(ConnectionOpened)
    async def slow(_: ConnectionOpened) -> None:
        await asyncio.sleep(1)
        ran.append("slow")

    @session.on(ConnectionOpened)
    def quick(_: ConnectionOpened) -> None:
        ran.append("quick")

    session.on(SessionClosed, lambda _: ran.append("closed"))
    session.on(
        Event, lambda e: ran.append("any") if type(e) is ConnectionOpened else None
    )
    async with session:
        await asyncio.sleep(2)
    assert ran == ["slow", "quick", "any", "closed"]


async def test_a_slow_callback_delays_neither_pongs_nor_messages(
    server: ScriptedServer,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        while True:
            await asyncio.sleep(1)
            await peer.send("tick")

    server.play(script)
    session = session_to(server)

    @session.on(ConnectionOpened)
    async def slow(_: ConnectionOpened) -> None:
        await asyncio.sleep(25)

    async with session:
        for number in range(1, 20):
            assert await session.receive() == "tick"
            assert now() == pytest.approx(number)


async def test_a_callback_that_raises_is_reported_and_the_next_one_runs(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    session = session_to(server)

    @session.on(ConnectionOpened)
    def broken(_: ConnectionOpened) -> None:
        raise ZeroDivisionError

    @session.on(ConnectionOpened)
    async def broken_later(_: ConnectionOpened) -> None:
        await asyncio.sleep(0)
        raise KeyError

    @session.on(ConnectionOpened)
    async def cancels_itself(_: ConnectionOpened) -> None:
        raise asyncio.CancelledError

    session.on(ConnectionOpened, lambda _: ran.append("after"))
    events = recorded(session)

    @session.on(HandlerFailed)
    def broken_too(_: HandlerFailed) -> None:
        raise ZeroDivisionError

    async with session:
        await asyncio.sleep(1)
        assert session.state is State.OPEN
    assert ran == ["after"]
    failed = of(events, HandlerFailed)
    kinds = [type(e.because) for e in failed]
    assert kinds == [ZeroDivisionError, KeyError, RuntimeError]
    assert all(e.event == "ConnectionOpened" for e in failed)
    assert "broken_later" in failed[1].handler
    assert "broken_too" in caplog.text


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


@pytest.mark.parametrize("style", ["sync", "async"])
async def test_fatal_from_a_callback_ends_the_session(
    server: ScriptedServer, style: str
) -> None:
    fatal = resilient_ws.Fatal("enough")

    def sync_handler(_: Event) -> None:
        raise fatal

    async def async_handler(_: Event) -> None:
        raise fatal

    session = session_to(server)
    session.on(ConnectionOpened, sync_handler if style == "sync" else async_handler)
    async with session:
        with pytest.raises(resilient_ws.Fatal) as caught:
            await session.wait_closed()
        assert caught.value is fatal
        assert session.failure is fatal
        with pytest.raises(resilient_ws.Fatal):
            await session.send("x")


async def test_a_callback_that_never_returns_is_cancelled_at_the_end(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    cancelled = asyncio.Event()
    session = session_to(server)

    @session.on(ConnectionOpened)
    async def endless(_: ConnectionOpened) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with assert_no_leaks(turns=10), session:
        await session.send("x")
        await asyncio.sleep(31)
        assert "endless" in caplog.text
        began = now()
        await session.close()
        assert now() - began == pytest.approx(1.0)
        assert cancelled.is_set()


async def test_a_callback_that_never_returns_holds_up_neither_messages_nor_reconnects(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1", then=closing_soon), feeding("2"))
    session = session_to(server)

    @session.on(ConnectionOpened)
    async def endless(_: ConnectionOpened) -> None:
        await asyncio.Event().wait()

    async with session:
        assert await session.receive() == "1"
        assert await session.receive() == "2"
        await (await session.send("3")).confirmed()
        await until(lambda: server.peer.received == ["3"])
    assert session.epoch == 2


async def closing_soon(peer: Peer) -> None:
    await asyncio.sleep(SOON)
    await peer.close(1001)


@pytest.mark.parametrize(
    "occasion", [ConnectionOpened, ConnectionDropped, RetryScheduled]
)
async def test_send_from_a_callback_is_a_send_like_any_other(
    server: ScriptedServer, occasion: type[Event]
) -> None:
    server.play(closing(1001), hold)
    deliveries: list[Delivery] = []
    session = session_to(server)

    @session.on(occasion)
    async def tell(_: Event) -> None:
        deliveries.append(await session.send(f"by callback {len(deliveries)}"))

    async with session:
        await until(lambda: session.epoch == 2)
        await session.send("by the body")
        await turns()
    count = 2 if occasion is ConnectionOpened else 1
    assert [d.state for d in deliveries] == [DeliveryState.WRITTEN] * count
    *told, last = server.received
    assert told == [f"by callback {number}" for number in range(count)]
    assert last == "by the body"


async def test_a_send_from_a_callback_that_waits_for_room_stops_the_callbacks_alone(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503), rejecting(503), feeding("on we go"))
    session = session_to(
        server,
        wait_open=False,
        outbox=resilient_ws.Outbox(max_messages=1, overflow="wait"),
    )

    @session.on(RetryScheduled)
    async def tell(event: RetryScheduled) -> None:
        await session.send(f"attempt {event.attempt}")

    async with session:
        assert await session.receive() == "on we go"
        await until(lambda: len(server.received) == 2)
    assert server.received == ["attempt 2", "attempt 3"]


async def test_a_send_from_a_callback_after_the_end_is_reported(
    server: ScriptedServer,
) -> None:
    session = session_to(server)
    raised: list[Exception] = []

    @session.on(SessionClosed)
    async def too_late(_: SessionClosed) -> None:
        await session.send("too late")

    session.on(HandlerFailed, lambda event: raised.append(event.because))
    async with session:
        pass
    assert [type(error) for error in raised] == [SessionClosed]
    assert server.received == []


async def test_close_from_a_callback_and_from_a_task_share_one_end(
    server: ScriptedServer,
) -> None:
    session = session_to(server)
    callbacks: list[object] = []

    @session.on(ConnectionOpened)
    async def by_callback(_: ConnectionOpened) -> None:
        callbacks.append(await session.close(4000))

    async with session:
        records = await asyncio.gather(session.close(4001), session.close(4002))
    assert callbacks == [None]
    assert records[0] == records[1]
    assert records[0] is not None
    assert server.peer.close_received == (records[0].code, "")


async def test_of_more_than_a_thousand_events_the_oldest_go_and_are_counted(
    server: ScriptedServer,
) -> None:
    released = asyncio.Event()
    session = resilient_ws.connect(
        server.url(), wait_open=False, reconnect=Reconnect(wait=wait_fixed(1))
    )
    server.play(rejecting(503))

    @session.on(StateChanged)
    async def blocked(_: StateChanged) -> None:
        await released.wait()

    events = recorded(session)
    async with session:
        await asyncio.sleep(500)
        discarded = session.statistics().events_discarded
        assert discarded > 500
        released.set()
        await turns(50)
    # What is left is the newest, in order.
    attempts = [e.attempt for e in of(events, RetryScheduled)]
    assert attempts == list(range(attempts[0], attempts[0] + len(attempts)))
    assert attempts[-1] >= 500
    assert 1000 <= len(events) <= 1010


async def test_alike_events_are_merged_with_a_count(server: ScriptedServer) -> None:
    server.play(feeding(*map(str, range(5))))
    session = session_to(
        server,
        liveness=Liveness(ping_interval=1),
        inbox=Inbox(max_messages=1, overflow="drop_oldest"),
        outbox=resilient_ws.Outbox(max_messages=1, overflow="drop_newest"),
    )
    loop: Any = asyncio.get_running_loop()

    @session.on(ConnectionOpened)
    async def slow(_: ConnectionOpened) -> None:
        await asyncio.sleep(25)

    events = recorded(session)
    async with session:
        await asyncio.sleep(5.5)
        loop.advance(4)
        await asyncio.sleep(1.5)
        loop.advance(6)
        await asyncio.sleep(3)
        await server.peer.send("a", "b", "c")
        await turns()
        await server.peer.send("d")
        await asyncio.sleep(10)
    (pong,) = [e for e in of(events, PongReceived) if e.count > 1]
    assert pong.count >= 5
    (lagged,) = of(events, resilient_ws.LoopLagged)
    assert lagged.count == 2
    assert lagged.by == pytest.approx(6, abs=1)
    # Some came before the slow callback; what came during it is one event.
    *before, merged = of(events, resilient_ws.InboxOverflowed)
    assert merged.count >= 2
    assert sum(e.discarded for e in [*before, merged]) == 8


async def test_outbox_overflows_are_merged(server: ScriptedServer) -> None:
    server.play(rejecting(503))
    session = resilient_ws.connect(
        server.url(),
        wait_open=False,
        outbox=resilient_ws.Outbox(max_messages=1, overflow="drop_newest"),
    )
    events = recorded(session)
    async with session:
        for _ in range(4):
            await session.send("x")
        await turns()
    (overflowed,) = of(events, resilient_ws.OutboxOverflowed)
    assert (overflowed.discarded, overflowed.count) == (3, 3)


async def test_messages_by_callback_with_back_pressure(server: ScriptedServer) -> None:
    server.play(feeding(*map(str, range(50))), hold)
    taken: list[str | bytes] = []
    session = session_to(server, inbox=Inbox(max_messages=5))

    @session.on(MessageReceived)
    async def consume(event: MessageReceived) -> None:
        await asyncio.sleep(1)
        taken.append(event.data)

    everything = recorded(session)
    async with session:
        await asyncio.sleep(10.5)
        assert taken == [str(n) for n in range(10)]
        assert session.statistics().inbox_messages <= 10
        await until(lambda: len(taken) == 50)
        for consumer in (
            session.receive,
            session.receive_many,
            session.__aiter__,
            session.with_interruptions,
        ):
            with pytest.raises(RuntimeError, match=r"one consumer|callback"):
                await as_call(consumer)
        with pytest.raises(RuntimeError, match="consumer"):
            session.on(MessageReceived, print)
    assert taken == [str(n) for n in range(50)]
    assert not of(everything, MessageReceived)


def told_of(session: Session, *, pace: float | None) -> list[str]:
    """What callbacks are told of connections and messages, as they begin."""
    told: list[str] = []

    def plain(event: Event) -> None:
        if isinstance(event, MessageReceived):
            told.append(f"{event.epoch}:{event.data!s}")
        else:
            told.append(type(event).__name__)

    async def slow(event: Event) -> None:
        plain(event)
        await asyncio.sleep(pace or 0)

    session.on(MessageReceived, plain if pace is None else slow)
    for kind in (ConnectionOpened, ServerTerminated, ConnectionDropped, SessionClosed):
        session.on(kind, plain)
    return told


@pytest.mark.parametrize("pace", [None, 0.0, 1.0])
@pytest.mark.parametrize("together", [True, False])
async def test_an_event_never_overtakes_a_message(
    server: ScriptedServer, pace: float | None, together: bool
) -> None:
    async def closes(peer: Peer) -> None:
        if not together:
            await asyncio.sleep(SOON)
            await peer.send("c", "d")
        await peer.close(1001)

    server.play(feeding("a", "b", then=closes), feeding("e"))
    session = session_to(server)
    told = told_of(session, pace=pace)
    async with session:
        await until(lambda: "2:e" in told)
    assert told == [
        "ConnectionOpened",
        *(["1:a", "1:b"] if together else ["1:a", "1:b", "1:c", "1:d"]),
        "ServerTerminated",
        "ConnectionDropped",
        "ConnectionOpened",
        "2:e",
        "SessionClosed",
    ]


@pytest.mark.parametrize("max_messages", [5, 1024])
async def test_a_loss_interrupts_only_what_was_not_answered(
    server: ScriptedServer, max_messages: int
) -> None:
    async def answers(peer: Peer) -> None:
        await peer.accept()
        requests = [await peer.receive() for _ in range(50)]
        await peer.send(*requests[:44])
        await peer.close(1001)

    server.play(answers, hold)
    pending = {str(number) for number in range(50)}
    answered: list[str | bytes] = []
    interrupted: list[str] = []
    session = session_to(server, inbox=Inbox(max_messages=max_messages))

    @session.on(MessageReceived)
    async def answer(event: MessageReceived) -> None:
        await asyncio.sleep(0)
        pending.remove(str(event.data))
        answered.append(event.data)

    @session.on(ConnectionDropped)
    def interrupt(_: ConnectionDropped) -> None:
        interrupted.extend(pending)

    async with session:
        for number in sorted(pending, key=int):
            await session.send(number)
        await until(lambda: interrupted)
    assert answered == [str(number) for number in range(44)]
    assert sorted(interrupted) == ["44", "45", "46", "47", "48", "49"]


async def test_events_do_not_wait_for_a_consumer_that_pulls(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1", "2", "3", then=closing_soon), hold)
    session = session_to(server)
    events = recorded(session)
    async with session:
        assert await session.receive() == "1"
        await until(lambda: of(events, ConnectionDropped))
        assert [await session.receive() for _ in range(2)] == ["2", "3"]


async def test_a_failure_is_told_before_the_messages_that_wait(
    server: ScriptedServer,
) -> None:
    server.play(feeding("good", "bad", "good again"))
    session = session_to(server)
    told: list[str | bytes] = []

    @session.on(MessageReceived)
    def take(event: MessageReceived) -> None:
        told.append(event.data)
        if event.data == "bad":
            raise ValueError

    session.on(HandlerFailed, lambda event: told.append(event.event))
    async with session:
        await until(lambda: len(told) == 4)
    assert told == ["good", "bad", "MessageReceived", "good again"]


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_what_the_inbox_discards_holds_no_event_up(
    server: ScriptedServer, overflow: Any
) -> None:
    server.play(feeding(*"abcdef", then=closing_soon), feeding("g"))
    session = session_to(server, inbox=Inbox(max_messages=2, overflow=overflow))
    told = told_of(session, pace=1.0)
    async with session:
        await until(lambda: "2:g" in told)
    kept = "ef" if overflow == "drop_oldest" else "ab"
    assert told == [
        "ConnectionOpened",
        *(f"1:{text}" for text in kept),
        "ServerTerminated",
        "ConnectionDropped",
        "ConnectionOpened",
        "2:g",
        "SessionClosed",
    ]


async def test_the_end_is_told_last_and_always(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.play(feeding(*map(str, range(100))))
    session = session_to(server)
    told = told_of(session, pace=0.4)
    async with session:
        await until(lambda: len(told) > 2)
        began = now()
        await session.close()
        # A second for what waits; the end needs none.
        assert now() - began == pytest.approx(1.0)
    assert told[0] == "ConnectionOpened"
    assert told[1:-1] == [f"1:{number}" for number in range(len(told) - 2)]
    assert 4 <= len(told) - 2 <= 6
    assert told[-1] == "SessionClosed"
    left = 100 - (len(told) - 2)
    assert f"{left} received messages were not passed to it" in caplog.text


async def test_the_end_is_told_although_a_message_is_being_taken_for_ever(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1"))
    session = session_to(server)
    told = told_of(session, pace=3600.0)
    async with session:
        await until(lambda: len(told) == 2)
    assert told == ["ConnectionOpened", "1:1", "SessionClosed"]


async def test_an_abort_has_no_time_for_the_end(server: ScriptedServer) -> None:
    session = session_to(server)
    told: list[Event] = []

    @session.on(SessionClosed)
    async def slow(event: SessionClosed) -> None:
        told.append(event)
        await asyncio.sleep(60)

    async def body() -> None:
        async with session:
            await asyncio.sleep(60)

    task = asyncio.create_task(body())
    await session_open(session)
    task.cancel()
    await until(lambda: told)
    began = now()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() - began <= SOON


async def session_open(session: Session) -> None:
    await until(lambda: session.state is State.OPEN)


async def test_pongs_of_two_connections_are_not_one(server: ScriptedServer) -> None:
    async def drops(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(3.5)
        await peer.close(1001)

    server.play(drops, hold)
    session = session_to(server, liveness=Liveness(ping_interval=1))

    @session.on(ConnectionOpened)
    async def slow(_: ConnectionOpened) -> None:
        await asyncio.sleep(12.5)

    events = recorded(session)
    async with session:
        # The second connection is open for 8 s when its event is told, and then for
        # as long as the callback takes.
        await asyncio.sleep(26)
    told = [
        event.count if isinstance(event, PongReceived) else event.epoch
        for event in events
        if isinstance(event, PongReceived | ConnectionDropped)
    ]
    assert told[:2] == [3, 1]
    assert told[2] >= 15


async def as_call(consumer: Callable[[], Any]) -> None:
    result = consumer()
    if asyncio.iscoroutine(result):
        await result


async def test_pulling_and_callbacks_do_not_mix(server: ScriptedServer) -> None:
    server.play(feeding("1"))
    async with session_to(server) as session:
        assert await session.receive() == "1"
        with pytest.raises(RuntimeError, match="consumer"):
            session.on(MessageReceived, print)


async def test_a_decorator_that_is_used_too_late_registers_no_second_consumer(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1", "2"))
    async with session_to(server) as session:
        register = session.on(MessageReceived)
        assert await session.receive() == "1"
        with pytest.raises(RuntimeError, match="consumer"):
            register(print)
        assert await session.receive() == "2"


async def test_a_callback_that_is_refused_is_no_consumer(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1"))
    no_callback: Any = 5
    async with session_to(server) as session:
        with pytest.raises(TypeError, match="callback"):
            session.on(MessageReceived, no_callback)
        assert await session.receive() == "1"


async def test_a_second_consumer_is_refused(server: ScriptedServer) -> None:
    async with session_to(server) as session:
        first = asyncio.create_task(session.receive())
        await turns(1)
        with pytest.raises(RuntimeError, match="one consumer"):
            await session.receive()
        with pytest.raises(RuntimeError, match="one consumer"):
            await session.receive_many()
        with pytest.raises(RuntimeError, match="one consumer"):
            await anext(aiter(session))
        await server.peer.send("for the first")
        assert await first == "for the first"


async def test_a_callback_runs_in_the_context_it_was_registered_in(
    server: ScriptedServer,
) -> None:
    who = contextvars.ContextVar("who", default="nobody")
    seen: list[str] = []
    session = session_to(server)

    async def look(_: Event) -> None:
        await asyncio.sleep(0)
        seen.append(who.get())

    who.set("registrar")
    session.on(ConnectionOpened, look)
    session.on(ConnectionOpened, lambda _: seen.append(who.get()))
    who.set("somebody else")
    async with session:
        await turns()
    assert seen == ["registrar", "registrar"]


async def test_a_callback_may_be_registered_later(server: ScriptedServer) -> None:
    async with session_to(server) as session:
        events = recorded(session)
        session.reconnect("to hear something")
        await until(lambda: session.epoch == 2)
        await turns()
        assert of(events, ConnectionOpened)


async def test_callbacks_take_a_task_only_where_there_are_any(
    server: ScriptedServer,
) -> None:
    def running() -> int:
        names = [task.get_name() for task in asyncio.all_tasks()]
        return names.count("resilient_ws callbacks")

    async with session_to(server) as session:
        assert running() == 0
        events = recorded(session)
        assert running() == 1
        recorded(session)
        assert running() == 1
    assert [type(event) for event in events][-1] is SessionClosed
    assert running() == 0
    # Nothing is told any more, and nothing waits for it.
    recorded(session)
    assert running() == 0


async def test_a_callback_that_waits_for_the_end_is_told_that_it_never_comes(
    server: ScriptedServer,
) -> None:
    session = session_to(server)

    @session.on(ConnectionOpened)
    async def wait(_: ConnectionOpened) -> None:
        await session.wait_closed()

    events = recorded(session)
    async with session:
        await turns()
        (failed,) = of(events, HandlerFailed)
        assert "wait for itself" in str(failed.because)


@pytest.mark.parametrize("event", [int, "ConnectionOpened", None])
async def test_what_is_no_event_is_refused(event: Any) -> None:
    session = resilient_ws.connect("ws://127.0.0.1:1234")
    not_callable: Any = 17
    with pytest.raises(TypeError, match="event"):
        session.on(event)
    with pytest.raises(TypeError, match="callable"):
        session.on(ConnectionOpened, not_callable)


async def test_a_callback_that_was_taken_back_hears_no_more(
    server: ScriptedServer,
) -> None:
    heard, kept = list[Event](), list[Event]()
    session = session_to(server)
    session.on(Event, heard.append)
    session.on(Event, kept.append)

    async with session:
        await turns()
        before = story(heard)
        session.off(Event, heard.append)
        session.off(Event, heard.append)  # it is not there any more

    assert before == ["connecting", "restoring", "open", "ConnectionOpened"]
    assert story(heard) == before
    assert story(kept)[-1] == "SessionClosed"


async def test_a_callback_may_take_itself_back(server: ScriptedServer) -> None:
    heard = list[StateChanged]()

    def once(event: StateChanged) -> None:
        heard.append(event)
        session.off(StateChanged, once)

    session = session_to(server)
    session.on(StateChanged, once)
    async with session:
        await turns()

    assert [event.current for event in heard] == [State.CONNECTING]


def test_the_consumer_of_the_messages_cannot_be_taken_back() -> None:
    session = resilient_ws.connect("wss://stream.example.com")
    with pytest.raises(ValueError, match="keeps the consumer"):
        session.off(MessageReceived, print)
    with pytest.raises(TypeError, match=r"class from resilient_ws\.events"):
        session.off(int, print)  # type: ignore[type-var]
