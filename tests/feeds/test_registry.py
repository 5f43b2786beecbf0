"""What comes before its key is known, and what becomes of it."""

from __future__ import annotations

import asyncio
import json

from resilient_ws import connect
from resilient_ws.feeds import Channel, Gap, Item, Plain, Reply, Requests, Route, Source
from resilient_ws.testing import ScriptedServer, assert_no_leaks


class Wire(Plain):
    """A number answers the request; a list is an item."""

    def route(self, message: str | bytes) -> Route:
        data = json.loads(message)
        return Item("key", data[0]) if isinstance(data, list) else Reply(data)


async def _subscribe(requests: Requests) -> str:
    await requests.ask(7, "subscribe")
    return "key"


async def test_items_that_found_no_room_before_their_key_was_known_are_a_gap() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        accepting = asyncio.create_task(server.accept())
        async with Channel(connect(server.url()), Wire(), early=10) as channel:
            peer = await accepting
            source = Source[int, int](subscribe=_subscribe)
            subscribing = asyncio.create_task(channel.subscribe(source))
            await peer.expect("subscribe")
            for number in range(15):
                await peer.send(f"[{number}]")
            await peer.send("7")
            subscription = await subscribing
            found = [await anext(subscription) for _ in range(11)]
            assert isinstance(found[0], Gap)
            assert found[1:] == list(range(5, 15))
