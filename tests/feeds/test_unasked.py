"""Streams that a server sends without being asked, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import attrs
import pytest
from typing_extensions import override

from resilient_ws.feeds import (
    Channel,
    Gap,
    Item,
    MessageOdd,
    Requests,
    Source,
    SubscribeRefused,
    consecutive,
)
from tests.feeds.talk import Talk, channel, say, scripted, take


def unasked(key: str = "news") -> Source[int, int]:
    return Source(
        keys=[key], cursor_of=lambda number: number, follows=consecutive(lambda n: n)
    )


async def test_a_stream_that_comes_unasked_is_there_at_once() -> None:
    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        subscription = await feed.subscribe(unasked())
        await peer.send(*[say("item", key="news", value=n) for n in range(500)])
        assert await take(subscription, 500) == list(range(500))
        await peer.drop()
        peer = await server.accept()
        # More than what is held of items with an unknown key, in one packet.
        await peer.send(*[say("item", key="news", value=n) for n in range(500, 1000)])
        assert await take(subscription, 500) == list(range(500, 1000))
        assert subscription.gaps == 0


@pytest.mark.parametrize("missed", [[], [7, 8]])
async def test_a_drop_before_the_first_item_is_a_hole_like_any_other(
    missed: list[int],
) -> None:
    source = attrs.evolve(unasked(), begins_at=lambda: 6)
    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        subscription = await feed.subscribe(source)
        assert subscription.cursor == 6
        await peer.drop()
        peer = await server.accept()
        await peer.send(say("item", key="news", value=7 + len(missed)))
        if missed:
            (gap,) = await take(subscription, 1)
            assert (gap.first_missing, gap.until) == (missed[0], missed[-1])
        assert await take(subscription, 1) == [7 + len(missed)]
        assert subscription.gaps == bool(missed)


async def test_what_comes_before_the_first_subscription_is_held() -> None:
    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        await peer.send(*[say("item", key="news", value=n) for n in range(3)])
        await peer.ping()
        subscription = await feed.subscribe(unasked())
        assert await take(subscription, 3) == [0, 1, 2]
        await asyncio.sleep(6)
        await peer.send(say("item", key="other", value=1))
        await peer.ping()
        late = await feed.subscribe(unasked("other"))
        await peer.send(say("item", key="other", value=2))
        assert await take(late, 1) == [2]


async def test_a_subscription_that_finds_no_network_tries_again() -> None:
    tries = 0

    async def subscribe(_: Requests) -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionRefusedError
        return "news"

    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        source: Source[int, Any] = Source(subscribe=subscribe)
        subscription = await feed.subscribe(source)
        assert tries == 3
        await peer.send(say("item", key="news", value=1))
        assert await take(subscription, 1) == [1]


async def test_what_was_refused_is_not_asked_for_again() -> None:
    tries = 0

    async def subscribe(_: Requests) -> str:
        nonlocal tries
        tries += 1
        raise SubscribeRefused("No.")

    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        with pytest.raises(SubscribeRefused):
            await feed.subscribe(Source(subscribe=subscribe))
        await peer.drop()
        await server.accept()
        await asyncio.sleep(10)
        assert tries == 1


async def test_two_subscriptions_of_one_name_both_come_back() -> None:
    async def subscribe(requests: Requests) -> str:
        await requests.send("subscribe")
        return "news"

    named: Source[int, Any] = Source(subscribe=subscribe, name="news")
    other: Source[int, Any] = Source(keys=["other"], name="news")
    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        first, second = await feed.subscribe(named), await feed.subscribe(other)
        await peer.drop()
        peer = await server.accept()
        await peer.expect("subscribe")
        await peer.send(say("item", key="news", value=1))
        await peer.send(say("item", key="other", value=2))
        found = [await take(subscription, 2) for subscription in (first, second)]
        assert [items[1] for items in found] == [1, 2]
        assert all(isinstance(items[0], Gap) for items in found)


class Acknowledging(Talk):
    @override
    def ack(self, item: Item) -> str:
        # As an encoder does that is not asked for ASCII.
        return json.dumps({"ack": item.value["id"]}, ensure_ascii=False)


async def test_an_item_that_cannot_be_acknowledged_does_no_harm() -> None:
    odd: list[MessageOdd] = []

    async def acknowledged(feed: Channel) -> None:
        peer = await server.accept()
        source: Source[Any, Any] = Source(keys=["news"])
        subscription = await feed.subscribe(source)
        values = [{"no id": 1}, {"id": "\ud800"}, {"id": "good"}]
        await peer.send(*[say("item", key="news", value=value) for value in values])
        await peer.expect('{"ack": "good"}')
        assert await take(subscription, 3) == values

    async with (
        scripted() as server,
        channel(server, Acknowledging(), report=odd.append) as feed,
    ):
        await acknowledged(feed)
    assert [what.kind for what in odd] == ["malformed"]
