"""Phoenix channels, against a server that does what its guide says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import connect
from resilient_ws.feeds import Channel, Gap, MessageOdd, Stage, SubscribeRefused
from resilient_ws.feeds.protocols import Phoenix, PhoenixError, PhoenixEvent
from tests.feeds.talk import scripted, take, until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws.feeds import Subscription
    from resilient_ws.testing import Peer, ScriptedServer


def frame(join: Any, ref: Any, topic: str, event: str, payload: Any) -> str:
    return json.dumps([join, ref, topic, event, payload])


def reply(wish: list[Any], response: Any = None, status: str = "ok") -> str:
    join, ref, topic, *_ = wish
    payload = {"status": status, "response": response or {}}
    return frame(join, ref, topic, "phx_reply", payload)


def pushed(number: int, join: str | None = None, topic: str = "room:1") -> str:
    return frame(join, None, topic, "msg", {"n": number})


async def wish(peer: Peer, event: str, within: float = 10.0) -> list[Any]:
    """Return the next frame, which is of an event."""
    came = await peer.expect(lambda m: json.loads(m)[3] == event, within=within)
    found: list[Any] = json.loads(came)
    return found


@contextlib.asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[tuple[ScriptedServer, Channel, Any]]:
    phoenix = Phoenix()
    async with scripted() as server:
        session = connect(server.url(), wait_open=False)
        async with Channel(session, phoenix, **settings) as feed:
            yield server, feed, phoenix


async def joined(
    peer: Peer, feed: Channel, phoenix: Phoenix, **settings: Any
) -> tuple[Subscription[Any], str]:
    """Return the subscription to a topic, and its join_ref."""
    source = phoenix.topic("room:1", {"token": "t"})
    asked = asyncio.create_task(feed.subscribe(source, **settings))
    join = await wish(peer, "phx_join")
    assert join[0] == join[1]
    assert join[2:] == ["room:1", "phx_join", {"token": "t"}]
    await peer.send(reply(join, {"state": 1}))
    return await asked, join[0]


def numbers(items: list[Any]) -> list[Any]:
    return [
        item.payload["n"] if isinstance(item, PhoenixEvent) else type(item)
        for item in items
    ]


async def test_a_topic_is_joined_and_its_events_come() -> None:
    async with client() as (server, feed, phoenix):
        peer = await server.accept()
        stream, join = await joined(peer, feed, phoenix)
        assert phoenix.joined == {"room:1": {"state": 1}}
        await peer.send(pushed(1), pushed(2, join), pushed(9, "old"), pushed(3))
        assert await take(stream, 1) == [PhoenixEvent("room:1", "msg", {"n": 1})]
        assert numbers(await take(stream, 2)) == [2, 3]


async def test_events_before_the_answer_to_the_join_are_kept() -> None:
    async with client() as (server, feed, phoenix):
        peer = await server.accept()
        asked = asyncio.create_task(feed.subscribe(phoenix.topic("room:1")))
        join = await wish(peer, "phx_join")
        await peer.send(*[pushed(n, join[0]) for n in range(200)], reply(join))
        assert numbers(await take(await asked, 200)) == [*range(200)]


async def test_a_join_that_is_refused_says_so() -> None:
    async with client() as (server, feed, phoenix):
        peer = await server.accept()
        asked = asyncio.create_task(feed.subscribe(phoenix.topic("secret")))
        join = await wish(peer, "phx_join")
        await peer.send(reply(join, {"reason": "unauthorized"}, "error"))
        with pytest.raises(SubscribeRefused) as refused:
            await asked
        assert isinstance(refused.value.__cause__, PhoenixError)
        assert refused.value.__cause__.response == {"reason": "unauthorized"}


async def test_each_join_asks_for_a_fresh_token() -> None:
    tokens = iter(range(1, 9))

    async def params() -> dict[str, int]:
        return {"token": next(tokens)}

    async with client() as (server, feed, phoenix):
        peer = await server.accept()
        asked = asyncio.create_task(feed.subscribe(phoenix.topic("t", params)))
        join = await wish(peer, "phx_join")
        assert join[4] == {"token": 1}
        await peer.send(reply(join))
        await asked
        await peer.drop()
        peer = await server.accept()
        assert (await wish(peer, "phx_join"))[4] == {"token": 2}


async def test_pushes_are_answered() -> None:
    async with client() as (server, feed, phoenix):
        peer = await server.accept()
        _, join = await joined(peer, feed, phoenix)
        for status in ("ok", "error"):
            push = phoenix.push("room:1", "shout", {"x": 1})
            asked = asyncio.create_task(feed.ask(*push))
            came = await wish(peer, "shout")
            assert (came[0], came[4]) == (join, {"x": 1})
            await peer.send(reply(came, {"y": 2}, status))
            if status == "ok":
                assert await asked == {"y": 2}
            else:
                with pytest.raises(PhoenixError) as refused:
                    await asked
                assert refused.value.response == {"y": 2}


async def test_a_drop_is_a_gap_and_the_topic_is_joined_again() -> None:
    async with client() as (server, feed, phoenix):
        peer = await server.accept()
        stream, join = await joined(peer, feed, phoenix)
        await peer.send(pushed(1))
        await peer.drop()
        peer = await server.accept()
        again = await wish(peer, "phx_join")
        assert again[0] != join
        await peer.send(reply(again), pushed(2))
        assert numbers(await take(stream, 3)) == [1, Gap, 2]


async def test_a_topic_that_crashes_is_joined_again_on_the_same_link() -> None:
    async with client() as (server, feed, phoenix):
        peer = await server.accept()
        stream, join = await joined(peer, feed, phoenix)
        await peer.send(frame(join, join, "room:1", "phx_error", {}))
        again = await wish(peer, "phx_join")
        # The end of the earlier join comes late, and ends nothing.
        late = frame(join, join, "room:1", "phx_close", {})
        await peer.send(late, reply(again), pushed(2))
        assert numbers(await take(stream, 2)) == [Gap, 2]
        assert not peer.gone


async def test_a_topic_that_the_server_closes_ends() -> None:
    async with client() as (server, feed, phoenix):
        peer = await server.accept()
        stream, join = await joined(peer, feed, phoenix)
        await peer.send(pushed(1), frame(join, join, "room:1", "phx_close", {}))
        assert numbers([item async for item in stream]) == [1]


async def test_leaving_is_told() -> None:
    async with client() as (server, feed, phoenix):
        peer = await server.accept()
        stream, join = await joined(peer, feed, phoenix)
        closing = asyncio.create_task(stream.aclose())
        leave = await wish(peer, "phx_leave")
        assert (leave[0], leave[2]) == (join, "room:1")
        await peer.send(reply(leave), frame(join, join, "room:1", "phx_close", {}))
        await closing
        assert phoenix.joined == {}


async def test_heartbeats_go_out_and_their_absence_is_a_dead_link() -> None:
    odd: list[MessageOdd] = []
    async with client(report=odd.append) as (server, _, _):
        peer = await server.accept()
        for _ in range(3):
            beat = await wish(peer, "heartbeat", within=31)
            assert (beat[0], beat[2], beat[4]) == (None, "phoenix", {})
            await peer.send(reply(beat))
        await wish(peer, "heartbeat", within=31)
        await server.accept(within=31)
        assert odd == []


async def test_binary_messages_are_read() -> None:
    async with client() as (server, feed, phoenix):
        peer = await server.accept()
        stream, join = await joined(peer, feed, phoenix)
        head = bytes([0, len(join), 6, 3]) + join.encode()
        await peer.send(head + b"room:1bin\0\xff", b"\x02\x06\x03room:1all\x01")
        asked = asyncio.create_task(feed.ask(*phoenix.push("room:1", "x", {})))
        ref = (await wish(peer, "x"))[1]
        sizes = bytes([1, len(join), len(ref), 6, 2])
        await peer.send(sizes + f"{join}{ref}room:1ok".encode() + b"\x07")
        assert await asked == b"\x07"
        assert await take(stream, 2) == [
            PhoenixEvent("room:1", "bin", b"\0\xff"),
            PhoenixEvent("room:1", "all", b"\x01"),
        ]


HOSTILE: list[str | bytes] = [
    *("", "{", "null", "[]", "{}", "[1,2,3]", "[" * 100_000, b"", b"\xff", b"\0\xff"),
    '[null,"99","t","phx_reply",{}]',
    '[null,"99","t","phx_reply",{"status":"ok","response":1}]',
    '[null,[],"t","phx_reply",{"status":"ok","response":1}]',
    '[[],null,"t","msg",{}]',
    '[null,null,[],"msg",{}]',
    '[null,null,"t","phx_close",{}]',
]


@pytest.mark.usefixtures("without_collection")
async def test_what_makes_no_sense_is_counted_and_does_no_harm() -> None:
    odd: list[MessageOdd] = []
    async with client(report=odd.append) as (server, feed, phoenix):
        peer = await server.accept()
        stream, _ = await joined(peer, feed, phoenix)
        await peer.send(*HOSTILE, pushed(1))
        assert numbers(await take(stream, 1)) == [1]
        assert stream.state is Stage.LIVE
        assert len(odd) == len(HOSTILE)


async def test_a_flood_is_bounded() -> None:
    async with client() as (server, feed, phoenix):
        peer = await server.accept()
        stream, _ = await joined(peer, feed, phoenix, buffer=100)
        await peer.send(*[pushed(n) for n in range(1000)])
        await until(lambda: stream.dropped == 900)
        assert numbers(await take(stream, 101)) == [*range(100), Gap]
