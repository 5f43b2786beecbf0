"""Home Assistant, against a server that does what its documentation says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import Fatal, connect
from resilient_ws.feeds import Channel, Gap, MessageOdd, Stage, SubscribeRefused
from resilient_ws.feeds.protocols import HomeAssistant, HomeAssistantError
from tests.feeds.talk import scripted, take, until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws.feeds import Subscription
    from resilient_ws.testing import Peer, ScriptedServer


def say(kind: str, **rest: Any) -> str:
    return json.dumps({"type": kind, **rest})


def event(number: int, value: Any) -> str:
    return say("event", id=number, event={"data": value})


def result(number: int, value: Any = None) -> str:
    return say("result", id=number, success=True, result=value)


def refusal(number: int, code: str) -> str:
    return say("result", id=number, success=False, error={"code": code, "message": "m"})


async def greeted(server: ScriptedServer, within: float = 10.0) -> Peer:
    peer = await server.accept(within=within)
    await peer.send(say("auth_required", ha_version="2026.11"))
    await peer.expect('{"type":"auth","access_token":"t0ken"}')
    await peer.send(say("auth_ok", ha_version="2026.11"))
    return peer


async def wish(peer: Peer, kind: str, within: float = 10.0) -> dict[str, Any]:
    """Return the next command, which is of a type."""
    came = await peer.expect(lambda m: json.loads(m)["type"] == kind, within=within)
    found: dict[str, Any] = json.loads(came)
    return found


@contextlib.asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[tuple[ScriptedServer, Channel, Any]]:
    home = HomeAssistant("t0ken")
    async with scripted() as server:
        session = connect(server.url(), wait_open=False)
        async with Channel(session, home, **settings) as feed:
            yield server, feed, home


async def subscribed(
    peer: Peer, feed: Channel, home: HomeAssistant, **settings: Any
) -> tuple[Subscription[Any], int]:
    asked = asyncio.create_task(
        feed.subscribe(home.events("state_changed"), **settings)
    )
    came = await wish(peer, "subscribe_events")
    assert came["event_type"] == "state_changed"
    await peer.send(result(came["id"]))
    return await asked, came["id"]


def data(items: list[Any]) -> list[Any]:
    return [Gap if isinstance(item, Gap) else item["data"] for item in items]


async def test_events_come_and_a_drop_is_a_gap() -> None:
    async with client() as (server, feed, home):
        peer = await greeted(server)
        stream, number = await subscribed(peer, feed, home)
        await peer.send(event(number, 1), f"[{event(number, 2)},{event(number, 3)}]")
        assert data(await take(stream, 3)) == [1, 2, 3]
        await peer.drop()
        peer = await greeted(server)
        again = await wish(peer, "subscribe_events")
        assert again["id"] > number
        await peer.send(event(again["id"], 4), result(again["id"]))
        assert data(await take(stream, 2)) == [Gap, 4]


async def test_events_before_the_result_are_kept() -> None:
    async with client() as (server, feed, home):
        peer = await greeted(server)
        asked = asyncio.create_task(feed.subscribe(home.events()))
        came = await wish(peer, "subscribe_events")
        assert came.keys() == {"id", "type"}
        number = came["id"]
        await peer.send(*[event(number, n) for n in range(200)], result(number))
        assert data(await take(await asked, 200)) == [*range(200)]


async def test_a_token_that_is_refused_ends_the_session() -> None:
    async with scripted() as server:
        feed = Channel(connect(server.url()), HomeAssistant("t0ken"))
        entering = asyncio.create_task(feed.__aenter__())
        peer = await server.accept()
        await peer.send(say("auth_required"))
        await peer.receive()
        await peer.send(say("auth_invalid", message="Invalid access token t0ken"))
        with pytest.raises(Fatal) as refused:
            await entering
        assert "t0ken" not in str(refused.value)


async def test_each_login_asks_for_a_fresh_token() -> None:
    tokens = iter("ab")

    async def token() -> str:
        return next(tokens)

    async with scripted() as server:
        session = connect(server.url(), wait_open=False)
        async with Channel(session, HomeAssistant(token)):
            for expected in "ab":
                peer = await server.accept()
                await peer.send(say("auth_required"))
                await peer.expect(say_exactly("auth", access_token=expected))
                await peer.send(say("auth_ok"))
                await peer.drop()


def say_exactly(kind: str, **rest: Any) -> str:
    return json.dumps({"type": kind, **rest}, separators=(",", ":"))


async def test_commands_are_answered_or_refused() -> None:
    async with client() as (server, feed, home):
        peer = await greeted(server)
        asked = asyncio.create_task(home.call(feed, "call_service", domain="light"))
        came = await wish(peer, "call_service")
        assert came["domain"] == "light"
        await peer.send(result(came["id"], {"context": 1}))
        assert await asked == {"context": 1}
        asked = asyncio.create_task(home.call(feed, "get_states"))
        await peer.send(refusal((await wish(peer, "get_states"))["id"], "unauthorized"))
        with pytest.raises(HomeAssistantError, match="unauthorized"):
            await asked


async def test_a_command_whose_id_is_too_old_gets_another() -> None:
    async with client() as (server, feed, home):
        peer = await greeted(server)
        asked = asyncio.create_task(home.call(feed, "get_states"))
        came = await wish(peer, "get_states")
        await peer.send(refusal(came["id"], "id_reuse"))
        again = await wish(peer, "get_states")
        assert again["id"] > came["id"]
        await peer.send(result(again["id"], [1]))
        assert await asked == [1]


async def test_a_subscription_that_is_refused_says_so() -> None:
    async with client() as (server, feed, home):
        peer = await greeted(server)
        source = home.subscription("subscribe_trigger", trigger={"platform": "x"})
        asked = asyncio.create_task(feed.subscribe(source))
        came = await wish(peer, "subscribe_trigger")
        assert came["trigger"] == {"platform": "x"}
        await peer.send(refusal(came["id"], "invalid_format"))
        with pytest.raises(SubscribeRefused) as refused:
            await asked
        assert isinstance(refused.value.__cause__, HomeAssistantError)
        assert refused.value.__cause__.code == "invalid_format"


async def test_unsubscribing_is_told() -> None:
    async with client() as (server, feed, home):
        peer = await greeted(server)
        stream, number = await subscribed(peer, feed, home)
        closing = asyncio.create_task(stream.aclose())
        came = await wish(peer, "unsubscribe_events")
        assert came["subscription"] == number
        await peer.send(result(came["id"]))
        await closing


async def test_pings_go_out_and_their_absence_is_a_dead_link() -> None:
    odd: list[MessageOdd] = []
    async with client(report=odd.append) as (server, _, _):
        peer = await greeted(server)
        last = 0
        for _ in range(3):
            ping = await wish(peer, "ping", within=31)
            assert ping["id"] > last
            last = ping["id"]
            await peer.send(say("pong", id=last))
        await wish(peer, "ping", within=31)
        await greeted(server, within=31)
        assert odd == []


HOSTILE: list[str | bytes] = [
    *("", "{", "null", "[1]", "{}", '"x"', "[" * 100_000),
    *(b"\xff", '{"type":[]}', '{"type":"event"}', '{"type":"event","id":[],"event":1}'),
    '{"type":"result","id":99,"success":true}',
    '{"type":"result","id":99,"success":false}',
    '{"type":"result","id":99,"success":false,"error":1}',
    '{"type":"auth_ok"}',
]


@pytest.mark.usefixtures("without_collection")
async def test_what_makes_no_sense_is_counted_and_does_no_harm() -> None:
    odd: list[MessageOdd] = []
    async with client(report=odd.append) as (server, feed, home):
        peer = await greeted(server)
        stream, number = await subscribed(peer, feed, home)
        await peer.send(*HOSTILE, event(number, 1))
        assert data(await take(stream, 1)) == [1]
        assert stream.state is Stage.LIVE
        assert len(odd) == len(HOSTILE)


async def test_a_flood_is_bounded() -> None:
    async with client() as (server, feed, home):
        peer = await greeted(server)
        stream, number = await subscribed(peer, feed, home, buffer=100)
        await peer.send(*[event(number, n) for n in range(1000)])
        await until(lambda: stream.dropped == 900)
        assert data(await take(stream, 101)) == [*range(100), Gap]
