from __future__ import annotations

import asyncio
from typing import Any

import pytest

import resilient_ws
from resilient_ws import GaveUp, Reconnect, State
from resilient_ws.feeds.pump import Pump
from resilient_ws.feeds.turns import Turns
from resilient_ws.testing import ScriptedServer
from tests.feeds.scripted_session import ScriptedSession
from tests.record import turns, until


class Desk:
    """A pump, and what it told, in order."""

    def __init__(self, session: Any) -> None:
        self.told: list[Any] = []
        self.turns = Turns()
        self.pump = Pump(
            session,
            route=self.told.append,
            on_open=self.told.append,
            on_lost=lambda: self.told.append("lost"),
            on_overflow=lambda: self.told.append("overflow"),
            turns=self.turns,
        )
        self.task = asyncio.create_task(self.pump.run())


async def test_what_came_before_a_drop_is_routed_before_the_drop_is_told() -> None:
    session = ScriptedSession()
    desk = Desk(session.session)
    await turns(3)
    assert desk.told == [], "it is not open"
    session.open()
    session.receive("a", "b")
    session.drop()
    await turns()
    assert desk.told == [1, "a", "b", "lost"], "and not at the next open"
    session.open()
    session.receive("c")
    await turns()
    assert desk.told[4:] == [2, "c"]
    session.close()
    assert await desk.task is None


async def test_what_a_new_connection_lost_is_told_behind_its_opening() -> None:
    session = ScriptedSession()
    session.open()
    desk = Desk(session.session)
    await turns()
    session.drop()
    session.open(discarded=3)
    await turns()
    assert desk.told == [1, "lost", 2, "overflow"]
    session.close()
    await desk.task


async def test_discarded_messages_are_no_drop() -> None:
    session = ScriptedSession()
    session.open()
    desk = Desk(session.session)
    await turns()
    session.receive("a")
    session.discard(3)
    session.receive("b")
    await turns()
    assert desk.told == [1, "a", "overflow", "b"]
    desk.task.cancel()


@pytest.mark.parametrize("unread", [0, 3])
async def test_the_end_of_a_replaced_connection_is_told_when_all_was_routed(
    unread: int,
) -> None:
    session = ScriptedSession()
    session.open()
    desk = Desk(session.session)
    await turns()
    messages = [str(number) for number in range(unread)]
    session.receive(*messages)
    session.replace()
    await turns()
    assert desk.told == [1, *messages, "lost"]
    session.open()
    await turns()
    assert desk.told[-1] == 2
    desk.task.cancel()


async def test_an_end_that_is_told_late_belongs_to_its_own_connection() -> None:
    session = ScriptedSession()
    session.open()
    desk = Desk(session.session)
    await turns()
    session.replace()
    session.open()
    await turns()
    assert desk.told == [1, "lost", 2]
    desk.task.cancel()


async def test_the_failure_of_the_session_is_returned() -> None:
    session = ScriptedSession()
    desk = Desk(session.session)
    await turns()
    failure = GaveUp("enough", attempts=3, elapsed=1.0, history=())
    session.close(failure)
    assert await desk.task is failure


async def test_others_run_when_a_turn_is_due_and_not_more_often() -> None:
    session = ScriptedSession()
    session.open()
    desk = Desk(session.session)
    ran = []

    async def other() -> None:
        while True:
            ran.append(len(desk.told))
            await asyncio.sleep(0)

    def route(message: Any) -> None:
        desk.told.append(message)
        desk.turns.due = message == "turn"

    desk.pump._route = route
    await turns(3)
    task = asyncio.create_task(other())
    session.receive(*["a"] * 500, "turn", *["b"] * 500)
    await turns(10)
    assert len(desk.told) == 1002
    assert 502 in ran
    assert not [count for count in ran if 502 < count < 1002]
    task.cancel()
    desk.task.cancel()


async def test_with_a_real_session_a_drop_and_a_replacement_are_told_at_once() -> None:
    async with (
        ScriptedServer() as server,
        asyncio.TaskGroup() as group,
    ):
        session = resilient_ws.connect(
            server.url(), reconnect=Reconnect(wait=lambda _: 60.0)
        )
        entering = group.create_task(session.__aenter__())
        peer = await server.accept()
        await entering
        desk = Desk(session)
        await peer.send("a", "b")
        await until(lambda: len(desk.told) == 3)
        await peer.send("c", "d")
        await peer.reset()
        await until(lambda: session.state is State.BACKOFF)
        await turns()
        assert desk.told == [1, "a", "b", "c", "d", "lost"]
        session.retry_now()
        peer = await server.accept()
        await until(lambda: len(desk.told) == 7)
        session.reconnect("asked")
        await until(lambda: session.state is not State.OPEN)
        await turns()
        assert desk.told[6:] == [2, "lost"], "before the next is open"
        await server.accept()
        await until(lambda: len(desk.told) == 9)
        assert desk.told[8:] == [3]
        await session.close()
        assert await desk.task is None


async def test_what_a_connection_brought_that_has_ended_already_is_routed() -> None:
    session = ScriptedSession()
    session.open()
    session.receive("a")
    session.drop()
    session.close()
    desk = Desk(session.session)
    assert await desk.task is None
    assert desk.told == [1, "a", "lost"]
