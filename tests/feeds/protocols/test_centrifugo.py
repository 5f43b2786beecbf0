"""Centrifugo, against a server that does what its documentation says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import Fatal, connect
from resilient_ws.feeds import (
    BackfillFailed,
    Channel,
    Gap,
    MessageOdd,
    Stage,
    StreamEnded,
    StreamReset,
    SubscribeRefused,
)
from resilient_ws.feeds.protocols import Centrifugo, CentrifugoError, Publication
from tests.feeds.talk import scripted, take, until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws.feeds import Subscription
    from resilient_ws.testing import Peer, ScriptedServer


def pub(offset: int) -> dict[str, Any]:
    return {"data": offset, "offset": offset}


def pushed(offset: int, name: str = "news") -> str:
    return json.dumps({"push": {"channel": name, "pub": pub(offset)}})


def reply(number: int, kind: str, **rest: Any) -> str:
    return json.dumps({"id": number, kind: rest})


def refusal(number: int, code: int, **rest: Any) -> str:
    return json.dumps({"id": number, "error": {"code": code, "message": "no", **rest}})


def stream_at(offset: int, epoch: str = "e", **rest: Any) -> dict[str, Any]:
    return {"recoverable": True, "epoch": epoch, "offset": offset, **rest}


async def wish(peer: Peer, kind: str, within: float = 10.0) -> tuple[int, Any]:
    """Return the id of the next command, which is of a kind, and what it needs."""
    came = await peer.expect(lambda m: kind in json.loads(m), within=within)
    found = json.loads(came)
    return found["id"], found[kind]


async def greeted(server: ScriptedServer, *behind: str, within: float = 10.0) -> Peer:
    peer = await server.accept(within=within)
    number, login = await wish(peer, "connect")
    assert login == {"token": "t0ken", "name": "resilient_ws"}
    granted = reply(number, "connect", client="c", version="6", ping=25, pong=True)
    await peer.send("\n".join([granted, *behind]))
    return peer


@contextlib.asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[tuple[ScriptedServer, Channel, Any]]:
    async with scripted() as server:
        centrifugo = Centrifugo(server.url(), "t0ken")
        session = connect(centrifugo.url, wait_open=False)
        async with Channel(session, centrifugo, **settings) as feed:
            yield server, feed, centrifugo


async def subscribed(
    peer: Peer, feed: Channel, centrifugo: Centrifugo, **settings: Any
) -> Subscription[Any]:
    """Return the subscription to a stream that is at offset 10."""
    source = centrifugo.channel("news", "s3cret")
    asked = asyncio.create_task(feed.subscribe(source, **settings))
    number, what = await wish(peer, "subscribe")
    assert what == {"channel": "news", "token": "s3cret"}
    await peer.send(reply(number, "subscribe", **stream_at(10)))
    return await asked


def offsets(items: list[Any]) -> list[Any]:
    return [
        item.data if isinstance(item, Publication) else type(item) for item in items
    ]


async def test_publications_come_and_lines_share_a_message() -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        stream = await subscribed(peer, feed, centrifugo)
        await peer.send("\n".join([pushed(11), "{}", pushed(12)]), pushed(13) + "\n")
        found = await take(stream, 3)
        assert found[0] == Publication(11, ("e", 11), {})
        assert offsets(found) == [11, 12, 13]
        await peer.expect("{}")


async def test_what_shares_the_message_of_the_login_is_not_lost() -> None:
    async with client() as (server, feed, _):
        listening = feed.listen()
        await greeted(server, pushed(1), pushed(2))
        assert [item["data"] for item in await take(listening, 2)] == [1, 2]


async def test_a_drop_is_recovered_from_the_last_item() -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        stream = await subscribed(peer, feed, centrifugo)
        at = 10
        for _ in range(4):
            await peer.send(pushed(at + 1), pushed(at + 2))
            assert offsets(await take(stream, 2)) == [at + 1, at + 2]
            await peer.drop()
            peer = await greeted(server)
            number, what = await wish(peer, "subscribe")
            del what["token"], what["channel"]
            assert what == {"recover": True, "epoch": "e", "offset": at + 2}
            missed = [pub(at + n) for n in range(3, 600)]
            at += 600
            granted = stream_at(at - 1, recovered=True, publications=missed)
            # The next comes in the same message as what was recovered.
            answer = reply(number, "subscribe", **granted)
            await peer.send(answer + "\n" + pushed(at))
            assert offsets(await take(stream, 598)) == [*range(at - 597, at + 1)]
        assert stream.gaps == 0


async def test_a_drop_before_the_first_item_is_recovered_too() -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        stream = await subscribed(peer, feed, centrifugo)
        await peer.drop()
        peer = await greeted(server)
        number, what = await wish(peer, "subscribe")
        assert (what["epoch"], what["offset"]) == ("e", 10)
        granted = stream_at(11, recovered=True, publications=[pub(11)])
        await peer.send(reply(number, "subscribe", **granted))
        assert offsets(await take(stream, 1)) == [11]


async def test_a_program_that_starts_again_asks_from_where_it_was() -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        source = centrifugo.channel("news")
        asked = asyncio.create_task(feed.subscribe(source, after=("e", 5)))
        number, what = await wish(peer, "subscribe")
        assert what == {"channel": "news", "recover": True, "epoch": "e", "offset": 5}
        granted = stream_at(7, recovered=True, publications=[pub(6), pub(7)])
        await peer.send(reply(number, "subscribe", **granted))
        assert offsets(await take(await asked, 2)) == [6, 7]


@pytest.mark.parametrize("epoch", ["e", "another"])
async def test_what_cannot_be_recovered_is_one_gap(epoch: str) -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        stream = await subscribed(peer, feed, centrifugo)
        await peer.send(pushed(11))
        assert offsets(await take(stream, 1)) == [11]
        await peer.drop()
        peer = await greeted(server)
        number, _ = await wish(peer, "subscribe")
        granted = stream_at(500, epoch, recovered=False)
        await peer.send(reply(number, "subscribe", **granted))
        (gap,) = await take(stream, 1)
        assert isinstance(gap.because, StreamReset)
        await peer.send(pushed(501), pushed(502))
        assert offsets(await take(stream, 2)) == [501, 502]


async def test_a_channel_without_a_stream_has_a_gap_at_each_drop() -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        asked = asyncio.create_task(feed.subscribe(centrifugo.channel("plain")))
        await peer.send(reply((await wish(peer, "subscribe"))[0], "subscribe"))
        stream = await asked
        for _ in range(2):
            await peer.send('{"push":{"channel":"plain","pub":{"data":1}}}')
            assert await take(stream, 1) == [Publication(1, None, {})]
            await peer.drop()
            peer = await greeted(server)
            number, what = await wish(peer, "subscribe")
            assert what == {"channel": "plain"}
            await peer.send(reply(number, "subscribe"))
            assert offsets(await take(stream, 1)) == [Gap]


async def history(peer: Peer, last: int) -> None:
    """Answer from the history until there is no more."""
    at = 0
    while at < last:
        number, what = await wish(peer, "history")
        first = what["since"]["offset"] + 1
        assert what["since"]["epoch"] == "e"
        at = min(first + what["limit"] - 1, last)
        found = [pub(n) for n in range(first, at + 1)]
        await peer.send(reply(number, "history", publications=found, epoch="e"))


async def test_what_a_slow_consumer_left_is_fetched_from_the_history() -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        stream = await subscribed(peer, feed, centrifugo, buffer=50)
        await peer.send(*[pushed(n) for n in range(11, 471)])
        await until(lambda: stream.state is Stage.BEHIND)
        answering = asyncio.create_task(history(peer, 470))
        assert offsets(await take(stream, 460)) == [*range(11, 471)]
        assert stream.gaps == 0
        answering.cancel()


async def test_a_client_that_may_not_read_the_history_gets_a_gap() -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        stream = await subscribed(peer, feed, centrifugo)
        await peer.send(pushed(11), pushed(20))  # a jump
        number, _ = await wish(peer, "history")
        await peer.send(refusal(number, 103))
        found = await take(stream, 3)
        assert offsets(found) == [11, Gap, 20]
        assert isinstance(found[1].because, BackfillFailed)


@pytest.mark.parametrize("code", [2500, 2501])
async def test_an_end_that_asks_for_it_is_followed_by_a_recovery(code: int) -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        stream = await subscribed(peer, feed, centrifugo)
        end = {"channel": "news", "unsubscribe": {"code": code, "reason": "r"}}
        await peer.send(pushed(11), json.dumps({"push": end}))
        number, what = await wish(peer, "subscribe")
        assert what["offset"] == 11
        granted = stream_at(12, recovered=True, publications=[pub(12)])
        await peer.send(reply(number, "subscribe", **granted))
        assert offsets(await take(stream, 2)) == [11, 12]


async def test_an_end_that_is_for_good_ends_the_stream() -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        stream = await subscribed(peer, feed, centrifugo)
        end = {"channel": "news", "unsubscribe": {"code": 2000, "reason": "kicked"}}
        await peer.send(pushed(11), json.dumps({"push": end}))
        assert offsets(await take(stream, 1)) == [11]
        with pytest.raises(StreamEnded, match="2000 'kicked'"):
            await anext(stream)


async def test_a_refusal_that_may_pass_is_asked_again_another_is_told() -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        asked = asyncio.create_task(feed.subscribe(centrifugo.channel("news")))
        for code, rest in ((100, {"temporary": True}), (109, {}), (103, {})):
            number, _ = await wish(peer, "subscribe")
            await peer.send(refusal(number, code, **rest))
        with pytest.raises(SubscribeRefused) as refused:
            await asked
        assert isinstance(refused.value.__cause__, CentrifugoError)
        assert refused.value.__cause__.code == 103


async def test_leaving_is_told() -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        stream = await subscribed(peer, feed, centrifugo)
        closing = asyncio.create_task(stream.aclose())
        number, what = await wish(peer, "unsubscribe")
        assert what == {"channel": "news"}
        await peer.send(reply(number, "unsubscribe"))
        await closing


async def test_commands_are_answered_or_refused() -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        command = centrifugo.command("rpc", method="m", data=[1])
        asked = asyncio.create_task(feed.ask(*command))
        number, what = await wish(peer, "rpc")
        assert what == {"method": "m", "data": [1]}
        await peer.send(reply(number, "rpc", data=2))
        assert (await asked)["rpc"] == {"data": 2}
        command = centrifugo.command("publish", channel="x", data=1)
        asked = asyncio.create_task(feed.ask(*command))
        await peer.send(refusal((await wish(peer, "publish"))[0], 103))
        with pytest.raises(CentrifugoError, match="103"):
            await asked


async def test_a_login_that_may_pass_is_tried_again_another_is_fatal() -> None:
    async with scripted() as server:
        centrifugo = Centrifugo(server.url(), "t0ken")
        feed = Channel(connect(centrifugo.url), centrifugo)
        entering = asyncio.create_task(feed.__aenter__())
        for code, rest in ((100, {"temporary": True}), (109, {}), (101, {})):
            peer = await server.accept()
            number, _ = await wish(peer, "connect")
            await peer.send(refusal(number, code, **rest))
        with pytest.raises(Fatal, match="101") as refused:
            await entering
        assert "t0ken" not in str(refused.value)


@pytest.mark.parametrize("code", [3001, 3012, 4000])
async def test_a_close_that_may_be_followed_is(code: int) -> None:
    async with client() as (server, _, _):
        peer = await greeted(server)
        await peer.send('{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}')
        await peer.close(code, "why")
        await greeted(server)


@pytest.mark.parametrize("code", [3500, 3503, 4500])
async def test_a_close_that_is_for_good_ends_the_session(code: int) -> None:
    async with client() as (server, feed, centrifugo):
        peer = await greeted(server)
        stream = await subscribed(peer, feed, centrifugo)
        await peer.close(code, "why")
        with pytest.raises(Fatal, match=str(code)):
            await take(stream, 1)


async def test_a_server_that_does_not_ping_is_left() -> None:
    async with client() as (server, _, _):
        peer = await greeted(server)
        for _ in range(3):
            await asyncio.sleep(25)
            await peer.send("{}")
            await peer.expect("{}")
        await greeted(server, within=71)


HOSTILE: list[str | bytes] = [
    *("", "{", "null", "[1]", '"x"', "[" * 100_000, b"\xff", '{"push":{}'),
    *('{"push":1,"id":[]}', '{"id":99}', '{"id":99,"error":1}', '{"a":1}'),
    '{"push":{"channel":[],"pub":{}}}',
    '{"push":{"channel":"news","unsubscribe":{"code":"x"}}}',
    '{"push":{"channel":"?","unsubscribe":{"code":2000}}}',
]


@pytest.mark.usefixtures("without_collection")
async def test_what_makes_no_sense_is_counted_and_does_no_harm() -> None:
    odd: list[MessageOdd] = []
    async with client(report=odd.append) as (server, feed, centrifugo):
        peer = await greeted(server)
        stream = await subscribed(peer, feed, centrifugo)
        await peer.send(*HOSTILE, '{"push":{"channel":"news","join":{}}}', pushed(11))
        assert offsets(await take(stream, 1)) == [11]
        assert stream.state is Stage.LIVE
        assert len(odd) == len(HOSTILE)
