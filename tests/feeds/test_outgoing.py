from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from resilient_ws.feeds.links import Links
from resilient_ws.feeds.outgoing import MAX_IN_THE_MAKING, MAX_WAITING, OutgoingLine
from resilient_ws.feeds.throttled_log import ThrottledLog
from resilient_ws.feeds.turns import Turns
from resilient_ws.state import DeliveryState
from tests.feeds.scripted_session import ScriptedSession
from tests.record import now, turns


if TYPE_CHECKING:
    import pytest


class Desk:
    def __init__(self) -> None:
        self.session = ScriptedSession()
        self.session.open()
        self.link = Links(self.session.session).opened(1)
        self.turns = Turns()
        self.outgoing = OutgoingLine(
            self.turns, ThrottledLog(lambda: "channel", now), asyncio.create_task
        )
        self.task = asyncio.create_task(self.outgoing.run())

    async def end(self) -> list[str | bytes]:
        await turns()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        return [message for _, message in self.session.sent]


async def test_messages_go_out_in_order() -> None:
    desk = Desk()
    for number in range(10):
        desk.outgoing.put(desk.link, str(number))
        await turns(number % 3)
    assert await desk.end() == [str(number) for number in range(10)]
    assert desk.outgoing.dropped == 0


async def test_a_server_that_does_not_read_loses_the_oldest_and_they_are_counted() -> (
    None
):
    desk = Desk()
    desk.session.room.clear()
    for number in range(MAX_WAITING + 100):
        desk.outgoing.put(desk.link, str(number))
        await turns((number == 0 and 3) or 0)
    assert desk.outgoing.dropped == 99, "one is being sent"
    assert desk.turns.due, "the pump was asked for a turn at half of that"
    desk.session.room.set()
    sent = await desk.end()
    assert sent == ["0", *(str(number) for number in range(100, MAX_WAITING + 100))]


async def test_what_belongs_to_a_connection_that_ended_is_dropped() -> None:
    desk = Desk()
    desk.outgoing.put(desk.link, "a")
    desk.link.gone.set()
    desk.session.drop()
    assert await desk.end() == []
    assert desk.outgoing.dropped == 1


async def test_one_that_cannot_be_sent_is_told_and_does_not_hold_up_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()

    def on_send(message: Any) -> Any:
        return ValueError("secret") if message == "bad" else None

    desk.session.on_send = on_send
    with caplog.at_level(logging.WARNING, "resilient_ws"):
        for message in ("a", "bad", "bad", "b"):
            desk.outgoing.put(desk.link, message)
        assert await desk.end() == ["a", "b"]
    assert desk.outgoing.dropped == 2
    assert [record.getMessage() for record in caplog.records] == [
        "channel: an answer or a heartbeat could not be sent: ValueError"
    ]


async def test_one_that_the_session_dropped_is_counted() -> None:
    desk = Desk()
    desk.session.on_send = lambda _: DeliveryState.DROPPED
    desk.outgoing.put(desk.link, "a")
    await desk.end()
    assert desk.outgoing.dropped == 1


async def test_an_answer_that_is_made_later_is_sent_later_if_there_is_one() -> None:
    desk = Desk()

    async def make(answer: str | None) -> str | None:
        await asyncio.sleep(1)
        return answer

    desk.outgoing.answer(desk.link, make("made"))
    desk.outgoing.answer(desk.link, make(None))
    desk.outgoing.answer(desk.link, "at once")
    await asyncio.sleep(2)
    assert await desk.end() == ["at once", "made"]
    assert desk.outgoing._making == 0


async def test_only_so_many_answers_are_in_the_making() -> None:
    desk = Desk()
    made = 0

    async def make() -> str:
        nonlocal made
        made += 1
        await asyncio.sleep(1)
        return "made"

    for _ in range(MAX_IN_THE_MAKING + 50):
        desk.outgoing.answer(desk.link, make())
    await asyncio.sleep(2)
    assert (made, desk.outgoing.dropped) == (MAX_IN_THE_MAKING, 50)
    assert len(await desk.end()) == MAX_IN_THE_MAKING
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    desk.outgoing._making = MAX_IN_THE_MAKING
    desk.outgoing.answer(desk.link, future)
    assert future.cancelled()
