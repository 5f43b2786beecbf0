"""A login by a request, whose answer the protocol's own route finds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from resilient_ws import Fatal, connect
from resilient_ws.feeds import (
    Answer,
    Channel,
    Item,
    LoginRefused,
    NumberedCommands,
    Reply,
    RequestRefused,
    Unreadable,
    log_in,
)
from resilient_ws.feeds.json import values_by_line
from resilient_ws.feeds.login_requests import MAX_LEFT
from tests.feeds.talk import scripted, take, until


if TYPE_CHECKING:
    from resilient_ws import Connection
    from resilient_ws.feeds import Route
    from resilient_ws.feeds.protocol import Left


class Desk(NumberedCommands):
    """``{"id", "do", ...}``, answered with ``{"id", "value"}`` or ``{"id", "error"}``."""

    def __init__(self) -> None:
        super().__init__(values_by_line)
        self.answers: list[Any] = []
        self.refusals: list[str] = []

    @override
    async def login(self, connection: Connection, resume: bool) -> list[Left]:
        try:
            answer, left = await self.log_in(connection, "enter", token="t")
        except LoginRefused as refusal:
            self.refusals.append(str(refusal))
            raise
        self.answers.append(answer)
        return left

    @override
    def write(self, number: int, kind: str, about: dict[str, Any]) -> Any:
        return {"id": number, "do": kind, **about}

    @override
    def read(self, data: Any) -> Route:
        match data:
            case {"id": number, "error": error}:
                return Reply(number, error=RequestRefused(error))
            case {"id": number, "value": value}:
                return Reply(number, value)
            case {"ping": ping}:
                return Answer(f"pong {ping}")
            case "broken":
                raise Unreadable("It has no length.")
            case _:
                return Item("items", data["item"])


async def test_what_came_around_the_answer_is_routed_first_and_in_order() -> None:
    async with scripted() as server:
        desk = Desk()
        async with Channel(connect(server.url(), wait_open=False), desk) as feed:
            stream = feed.listen()
            peer = await server.accept()
            await peer.expect('{"id":1,"do":"enter","token":"t"}')
            await peer.send(
                '{"item":1}\n{"ping":7}',
                "[",
                '{"item":2}\n{"id":1,"value":"in"}\n{"item":3}',
                '{"item":4}',
            )
            await peer.expect("pong 7")
            assert await take(stream, 4) == [1, 2, 3, 4]
            assert desk.answers == ["in"]
            assert feed.statistics().malformed == 1


async def test_a_refusal_that_passes_is_tried_again_another_ends_the_session() -> None:
    async with scripted() as server:
        desk = Desk()
        entering = asyncio.create_task(
            Channel(connect(server.url()), desk).__aenter__()
        )
        for number, error in ((1, '{"code":1,"temporary":true}'), (2, '{"code":2}')):
            peer = await server.accept()
            await peer.receive()
            await peer.send(f'{{"id":{number},"error":{error}}}')
        with pytest.raises(Fatal, match="error 2"):
            await entering
        assert desk.refusals == ["The server answered with error 1."]


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (['"broken"'], "It has no length."),
        (['{"item":1}'] * (MAX_LEFT + 1), "The server sent much, and no answer"),
        (["["] * (MAX_LEFT + 1), "The server sent much, and no answer"),
    ],
)
async def test_a_server_that_never_answers_is_left(sent: list[str], says: str) -> None:
    async with scripted() as server:
        desk = Desk()
        async with Channel(connect(server.url(), wait_open=False), desk):
            peer = await server.accept()
            await peer.receive()
            await peer.send(*sent)
            await until(lambda: desk.refusals)
            assert says in desk.refusals[0]
            peer = await server.accept()
            await peer.receive()
            await peer.send('{"id":2,"value":"in"}')
            await until(lambda: desk.answers)


async def test_what_cannot_be_read_has_the_connection_replaced() -> None:
    async with scripted() as server:
        desk = Desk()
        async with Channel(connect(server.url(), wait_open=False), desk) as feed:
            for number in (1, 2):
                peer = await server.accept()
                await peer.receive()
                await peer.send(f'{{"id":{number},"value":"in"}}')
                await until(lambda: desk.answers)
                desk.answers.clear()
                await peer.send('"broken"')
            await server.accept()
            assert feed.statistics().malformed == 2


async def test_commands_are_numbered_and_asked() -> None:
    async with scripted() as server:
        desk = Desk()
        async with Channel(connect(server.url(), wait_open=False), desk) as feed:
            peer = await server.accept()
            await peer.receive()
            await peer.send('{"id":1,"value":"in"}')
            asked = asyncio.create_task(desk.ask(feed, "look", at="it"))
            await peer.expect('{"id":2,"do":"look","at":"it"}')
            await peer.send('{"id":2,"value":[1]}')
            assert await asked == [1]


async def test_a_single_route_will_do() -> None:
    class Plainly(Desk):
        @override
        async def login(self, connection: Connection, resume: bool) -> list[Left]:
            value, left = await log_in(
                connection, lambda message: Reply(message, 1), "hello", "hi"
            )
            self.answers.append(value)
            return left

    async with scripted() as server:
        desk = Plainly()
        async with Channel(connect(server.url(), wait_open=False), desk):
            peer = await server.accept()
            await peer.expect("hi")
            await peer.send("hello")
            await until(lambda: desk.answers == [1])
