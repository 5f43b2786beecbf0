"""A session seen through a codec."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pydantic
import pytest

import resilient_ws
from resilient_ws import (
    ConnectionDropped,
    GaveUp,
    Interruption,
    ResilientWSError,
    Session,
    SessionClosed,
)
from resilient_ws.codec import JSON, Codec, Coded, CodedConnection, Undecodable, of


if TYPE_CHECKING:
    from resilient_ws.testing import Peer, ScriptedServer


class Trade(msgspec.Struct, tag="trade"):
    price: float


class Book(msgspec.Struct, tag="book"):
    bid: float


class Welcome(pydantic.BaseModel):
    user: str


class Goodbye(pydantic.BaseModel):
    at: int


@dataclass
class Tick:
    n: int


TRADE = '{"type":"trade","price":1.5}'
BOOK = '{"type":"book","bid":2.5}'


def connected(server: ScriptedServer, **options: Any) -> Session:
    return resilient_ws.connect(server.url(), **options)


# Codecs.


@pytest.mark.parametrize(
    ("codec", "text", "item"),
    [
        (JSON, '{"a":[1,null]}', {"a": [1, None]}),
        (of(Trade), TRADE, Trade(1.5)),
        (of(Trade, Book), BOOK, Book(2.5)),
        (of(Trade | Book), BOOK, Book(2.5)),
        (of(Tick), '{"n":3}', Tick(3)),
        (of(dict[str, int]), '{"n":3}', {"n": 3}),
        (of(Welcome), '{"user":"me"}', Welcome(user="me")),
        (of(Welcome, Goodbye), '{"at":5}', Goodbye(at=5)),
    ],
)
async def test_a_codec_goes_there_and_back(
    server: ScriptedServer, codec: Codec[Any], text: str, item: object
) -> None:
    async with connected(server) as session:
        feed = Coded(session, codec)
        await feed.send(item)
        assert json.loads(await server.peer.receive()) == json.loads(text)
        # Binary as well: some servers send JSON so.
        await server.peer.send(text, text.encode())
        assert await feed.receive() == item
        assert await feed.receive() == item


def test_two_callables_are_a_codec() -> None:
    codec = Codec(str, int)
    assert codec.encode(5) == "5"
    assert codec.read("5") == 5
    with pytest.raises(TypeError):
        Codec("x", int)  # type: ignore[arg-type]


def test_a_type_is_needed() -> None:
    with pytest.raises(TypeError, match=r"of\(\) needs a type"):
        of()


def test_structs_of_a_union_need_tags() -> None:
    class One(msgspec.Struct):
        a: int

    class Other(msgspec.Struct):
        a: int

    with pytest.raises(TypeError, match="tagged"):
        of(One, Other)


async def test_wrong_arguments(server: ScriptedServer) -> None:
    session = connected(server)
    with pytest.raises(TypeError, match="session must be"):
        Coded("ws://x", JSON)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="codec must be"):
        Coded(session, json)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="undecodable must be"):
        Coded(session, JSON, undecodable="skip")  # type: ignore[call-overload]


# Iterating.


async def test_iterating_goes_on_over_drops_and_ends_at_close(
    server: ScriptedServer,
) -> None:
    got = []
    async with connected(server) as session:
        feed = Coded(session, of(Trade, Book))
        await server.peer.send(TRADE, BOOK)
        await server.peer.drop()
        async for item in feed:
            got.append(item)
            if len(got) == 2:
                await later(server, BOOK)
            if len(got) == 3:
                await session.close()
    assert got == [Trade(1.5), Book(2.5), Book(2.5)]
    with pytest.raises(SessionClosed):
        await feed.receive()


async def later(server: ScriptedServer, *messages: str, epoch: int = 2) -> None:
    while len(server.peers) < epoch or not server.peer.accepted:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    await server.peer.send(*messages)


async def test_what_ended_the_session_is_raised(server: ScriptedServer) -> None:
    reconnect = resilient_ws.Reconnect(max_outage=5)
    async with connected(server, reconnect=reconnect) as session:
        feed = Coded(session, JSON)
        await server.peer.send("1")
        server.play(refuse)
        await server.peer.drop()
        items = aiter(feed)
        assert await anext(items) == 1
        with pytest.raises(GaveUp):
            await anext(items)


async def refuse(peer: Peer) -> None:
    await peer.reject(503)


async def test_only_passes_others_over(server: ScriptedServer) -> None:
    async with connected(server) as session:
        feed = Coded(session, of(Trade, Book), undecodable="yield")
        await server.peer.send(TRADE, BOOK, TRADE, "?", BOOK)
        books = feed.only(Book)
        assert await anext(books) == Book(2.5)
        # What does not decode is of no type, and must not be lost.
        with pytest.raises(Undecodable):
            await anext(books)
        assert await anext(books) == Book(2.5)


async def test_interruptions_stand_in_their_place(server: ScriptedServer) -> None:
    async with connected(server) as session:
        feed = Coded(session, JSON)
        items = feed.with_interruptions(drops=True)
        await server.peer.send("1", "2")
        await server.peer.drop()
        assert [await anext(items) for _ in range(2)] == [1, 2]
        assert isinstance(await anext(items), ConnectionDropped)
        await later(server, "3")
        hole = await anext(items)
        assert isinstance(hole, Interruption)
        assert hole.epoch == 2
        assert await anext(items) == 3

        await server.peer.drop()
        await later(server, "4", epoch=3)
        fewer = feed.with_interruptions()
        assert isinstance(await anext(fewer), Interruption)
        assert await anext(fewer) == 4


async def test_an_interruption_taken_and_not_read_does_not_stop_receive(
    server: ScriptedServer,
) -> None:
    async with connected(server) as session:
        feed = Coded(session, JSON)
        await server.peer.send("1")
        assert await anext(feed.with_interruptions()) == 1
        await server.peer.drop()
        items = feed.with_interruptions(drops=True)
        assert isinstance(await anext(items), ConnectionDropped)
        await later(server, "2")
        assert await feed.receive() == 2


# What does not decode.


async def test_it_is_raised_and_iterating_goes_on_behind_it(
    server: ScriptedServer,
) -> None:
    async with connected(server) as session:
        feed = Coded(session, of(Trade))
        await server.peer.send(TRADE, '{"secret":"hunter2"}', b"\xff", TRADE)
        items = aiter(feed)
        assert await anext(items) == Trade(1.5)
        with pytest.raises(Undecodable) as caught:
            await anext(items)
        assert caught.value.data == '{"secret":"hunter2"}'
        assert isinstance(caught.value.because, msgspec.ValidationError)
        with pytest.raises(Undecodable):
            await feed.receive()
        async for item in feed:
            assert item == Trade(1.5)
            break


@pytest.mark.usefixtures("without_collection")
async def test_it_is_yielded_in_its_place(server: ScriptedServer) -> None:
    async with connected(server) as session:
        feed = Coded(session, JSON, undecodable="yield")
        await server.peer.send("1", "?", "[" * 100_000, "2")
        items = aiter(feed)
        got = [await anext(items) for _ in range(4)]
    assert [got[0], got[3]] == [1, 2]
    assert isinstance(got[1], Undecodable)
    assert got[1].data == "?"
    assert isinstance(got[1].because, ValueError)
    assert isinstance(got[2], Undecodable)
    assert isinstance(got[2].because, RecursionError)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_plain_json_refuses_what_json_has_not(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        JSON.encode({"price": [number]})
    with pytest.raises(TypeError, match="bytes"):
        JSON.encode({"data": b"x"})
    # As the docs say.
    for typed in (of(Trade), of(Welcome)):
        assert typed.encode([number]) == "[null]"


@pytest.mark.parametrize("codec", [JSON, of(Trade), of(Welcome)])
async def test_no_text_of_it_shows_the_message(
    server: ScriptedServer, codec: Codec[Any]
) -> None:
    async with connected(server) as session:
        feed = Coded(session, codec)
        await server.peer.send('{"user":["hunter2"]', '{"user":["hunter2"]')
        for receive in (feed.receive, aiter(feed).__anext__):
            with pytest.raises(Undecodable) as caught:
                await receive()
            shown = "".join(traceback.format_exception(caught.value))
            assert "hunter2" not in f"{shown}{caught.value!r}"
            assert isinstance(caught.value, ResilientWSError)


# Cancelling.


@pytest.mark.parametrize("way", ["receive", "iteration", "only", "with_interruptions"])
async def test_cancelling_a_thousand_times_loses_nothing(
    server: ScriptedServer, way: str
) -> None:
    async with connected(server) as session:
        feed = Coded(session, JSON)
        take: Any = {
            "receive": feed.receive,
            "iteration": aiter(feed).__anext__,
            "only": feed.only(int).__anext__,
            "with_interruptions": feed.with_interruptions().__anext__,
        }[way]
        got = []
        for number in range(1_000):
            waiting = asyncio.create_task(take())
            sending = asyncio.create_task(server.peer.send(str(number), str(number)))
            for _ in range(number % 6):
                await asyncio.sleep(0)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                got.append(await waiting)
            await sending
        while len(got) < 2_000:
            got.append(await take())
        assert got == [number for number in range(1_000) for _ in range(2)]


# Sending.


async def test_send_takes_the_arguments_of_the_session(server: ScriptedServer) -> None:
    async with connected(server) as session:
        feed = Coded(session, JSON)
        delivery = await feed.send({"a": 1}, epoch=7)
        assert delivery.state is resilient_ws.DeliveryState.DROPPED
        with pytest.raises(TypeError):
            await feed.send(object())
        delivery = await feed.send("é", message_id="m", ttl=5)
        assert delivery.state is resilient_ws.DeliveryState.WRITTEN
        assert json.loads(await server.peer.receive()) == "é"


# In on_open.


async def test_a_hook_gets_the_connection_through_the_codec(
    server: ScriptedServer,
) -> None:
    async def welcome(peer: Peer) -> None:
        await peer.accept()
        await peer.expect('{"login":"me"}')
        await peer.send("?", TRADE, BOOK, TRADE)
        await peer.ended()

    server.play(welcome)
    session = connected(server)
    feed = Coded(session, of(Trade, Book), undecodable="yield")
    found: list[object] = []

    @feed.on_open
    async def hook(connection: CodedConnection[Any]) -> None:
        await connection.send({"login": "me"})
        found.append(await connection.receive(Book))
        found.append(await connection.receive(only=Trade))

    async with session:
        assert found == [Book(2.5), Trade(1.5)]
        items = aiter(feed)
        assert isinstance(await anext(items), Undecodable)
        assert await anext(items) == Trade(1.5)


async def test_in_a_hook_the_first_message_may_not_decode(
    server: ScriptedServer,
) -> None:
    async def welcome(peer: Peer) -> None:
        await peer.accept()
        await peer.send("?", TRADE)
        await peer.ended()

    server.play(welcome)
    found: list[object] = []

    async def hook(connection: resilient_ws.Connection) -> None:
        coded = CodedConnection(connection, of(Trade))
        with pytest.raises(Undecodable):
            await coded.receive()
        found.append(await coded.receive())

    async with connected(server, on_open=hook):
        assert found == [Trade(1.5)]


async def test_it_keeps_its_session_alive(server: ScriptedServer) -> None:
    feed = Coded(connected(server), JSON)
    await feed.session.__aenter__()
    gc.collect()
    await server.peer.send("1")
    assert await feed.receive() == 1
    await feed.session.close()
