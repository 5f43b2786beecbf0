"""What a session is and does before it runs: unentered, and while its store opens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import resilient_ws
from resilient_ws import SessionClosed, State, StateChanged, Statistics, StoreError
from resilient_ws.outbox.queue import OutboxQueue
from resilient_ws.testing.scripts import feeding
from tests.record import recorded, turns


if TYPE_CHECKING:
    from resilient_ws import Event, Session
    from resilient_ws.testing import ScriptedServer

URL = "wss://stream.example.com/feed"


class Gate:
    """Holds every outbox that is opened, until it is told how that ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._passed = asyncio.Event()
        self._failure: Exception | None = None
        opens = OutboxQueue.open

        async def open_later(queue: OutboxQueue) -> None:
            await self._passed.wait()
            if self._failure is not None:
                raise self._failure
            await opens(queue)

        monkeypatch.setattr(OutboxQueue, "open", open_later)

    def open(self, failure: Exception | None = None) -> None:
        self._failure = failure
        self._passed.set()


@pytest.fixture
async def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


async def entering(session: Session) -> asyncio.Task[Session]:
    """A task that enters a session, as far as its store lets it."""
    task = asyncio.create_task(session.__aenter__())
    await turns()
    assert not task.done()
    return task


def end(failure: Exception | None = None) -> list[Event]:
    """What a session reports that ends before its first attempt."""
    moves = [(State.IDLE, State.CLOSING), (State.CLOSING, State.CLOSED)]
    return [
        StateChanged(previous=previous, current=current, because=failure)
        for previous, current in moves
    ]


async def test_a_session_that_is_closed_first_is_closed_for_good() -> None:
    session = resilient_ws.connect(URL, name="feed")
    assert repr(session) == f"<resilient_ws.Session 'feed' idle, epoch 0, {URL}>"
    for _ in range(2):
        assert await session.close(4000, "never") is None
    assert repr(session) == f"<resilient_ws.Session 'feed' closed, epoch 0, {URL}>"
    assert (session.state, session.failure) == (State.CLOSED, None)
    assert session.statistics() == Statistics()
    assert session.outstanding() == []
    await session.wait_closed()
    with pytest.raises(RuntimeError, match="entered once"):
        await session.__aenter__()
    for call in (session.receive, lambda: session.send("x"), session.ping):
        with pytest.raises(SessionClosed):
            await call()


async def test_a_session_closed_before_entering_is_over(server: ScriptedServer) -> None:
    session = resilient_ws.connect(server.url())
    await session.close()
    await session.wait_closed()


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


async def test_before_it_is_entered_only_close_may_be_called() -> None:
    session = resilient_ws.connect(URL)
    for call in (
        session.receive,
        session.ping,
        session.wait_closed,
        lambda: session.send("x"),
        lambda: session.wait_until(State.OPEN),
    ):
        with pytest.raises(RuntimeError, match="not entered"):
            await call()
    assert session.state is State.IDLE


async def test_while_the_store_opens_a_session_is_idle(
    server: ScriptedServer, gate: Gate
) -> None:
    server.play(feeding("1"))
    session = resilient_ws.connect(server.url(), wait_open=False)
    events = recorded(session)
    task = await entering(session)
    states = [session.state]
    with pytest.raises(RuntimeError, match="entered once"):
        await session.__aenter__()
    with pytest.raises(RuntimeError, match="not entered"):
        await session.send("x")
    # Others may wait already for what will come.
    waiting = asyncio.create_task(session.wait_until(State.OPEN))
    receiving = asyncio.create_task(session.receive())
    session.reconnect("no attempt has begun", server.url("/elsewhere"))
    await turns()
    assert events == []
    assert server.peers == []
    gate.open()
    assert await task is session
    states.append(session.state)
    assert states == [State.IDLE, State.CONNECTING]
    await waiting
    assert await receiving == "1"
    assert server.peer.request.path == "/elsewhere"
    await session.close()


async def test_closed_while_the_store_opens_it_reports_its_end(
    server: ScriptedServer, gate: Gate
) -> None:
    session = resilient_ws.connect(server.url())
    events = recorded(session)
    task = await entering(session)
    closing = asyncio.create_task(session.close())
    await turns()
    assert not closing.done()
    gate.open()
    assert await closing is None
    with pytest.raises(SessionClosed):
        await task
    assert session.failure is None
    *moves, closed = events
    assert moves == end()
    assert isinstance(closed, SessionClosed)
    assert server.peers == []


async def test_a_store_that_cannot_be_opened_ends_the_session_as_any_failure_does(
    server: ScriptedServer, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    session = resilient_ws.connect(server.url())
    events = recorded(session)
    task = await entering(session)
    receiving = asyncio.create_task(session.receive())
    await turns()
    failure = StoreError("the store is in use")
    gate.open(failure)
    with pytest.raises(StoreError) as caught:
        await task
    assert caught.value is failure
    assert session.failure is failure
    for call in (session.wait_closed, session.receive, lambda: session.send("x")):
        with pytest.raises(StoreError):
            await call()
    with pytest.raises(StoreError):
        await receiving
    *moves, closed = events
    assert moves == end(failure)
    assert isinstance(closed, SessionClosed)
    assert closed.failure is failure
    assert "the session ended: the store is in use" in caplog.text


async def test_cancelled_while_the_store_opens_it_ends_when_that_is_done(
    server: ScriptedServer, gate: Gate
) -> None:
    session = resilient_ws.connect(server.url())
    task = await entering(session)
    for _ in range(3):
        task.cancel()
        await turns()
        assert not task.done()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert session.state is State.CLOSED
    assert server.peers == []
