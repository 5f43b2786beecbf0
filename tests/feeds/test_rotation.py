"""A new connection before the old one is left, on a server that asks for it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import Reconnect, connect
from resilient_ws.feeds import Channel, Item, Plain, Rotate, Source, overlap
from resilient_ws.testing import ScriptedServer, assert_no_leaks


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from resilient_ws.feeds import Gap, Requests, Route
    from resilient_ws.testing import Peer


class Numbers(Plain):
    """Sends numbers unasked; an object asks for a new connection."""

    def route(self, message: str | bytes) -> Route:
        said: Any = json.loads(message)
        if isinstance(said, int):
            return Item("numbers", said)
        return Rotate(said["reason"], said["url"])


async def _numbers(_: Requests) -> str:
    return "numbers"


class Legs:
    """Opens the legs of a test, and counts them."""

    def __init__(self, url: str, *, failures: int = 0) -> None:
        self._url = url
        self.failures = failures
        self.opened: list[Rotate | None] = []
        self.open = 0
        self.stand = asyncio.Semaphore(0)

    @asynccontextmanager
    async def __call__(
        self, on_rotate: Callable[[Rotate], None], rotate: Rotate | None
    ) -> AsyncGenerator[AsyncIterator[int | Gap], None]:
        self.opened.append(rotate)
        if rotate is not None and self.failures:
            self.failures -= 1
            raise ConnectionError
        url = self._url if rotate is None else rotate.url or self._url
        session = connect(url, reconnect=Reconnect())
        async with Channel(session, Numbers(), on_rotate=on_rotate) as channel:
            self.open += 1
            items = await channel.subscribe(Source[int, int](subscribe=_numbers))
            self.stand.release()
            try:
                yield items
            finally:
                self.open -= 1


async def send(peer: Peer, *numbers: int) -> None:
    for number in numbers:
        await peer.send(str(number))


async def drain(events: AsyncIterator[int | Gap]) -> list[int | Gap]:
    return [event async for event in events]


async def ask(peer: Peer, url: str | None = None) -> None:
    await peer.send(json.dumps({"reason": "refresh_requested", "url": url}))


async def test_both_connections_are_read_until_the_old_one_is_left() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        legs = Legs(server.url("/old"))
        accepting = asyncio.create_task(server.accept())
        async with overlap(legs, identity=int, linger=5) as events:
            old = await accepting
            await legs.stand.acquire()
            await send(old, 1)
            assert await anext(events) == 1
            await ask(old, server.url("/new"))
            new = await server.accept()
            await legs.stand.acquire()
            assert new.path == "/new"
            # What is sent on both, on the old alone, and on the new alone.
            await send(old, 2, 3)
            assert [await anext(events) for _ in range(2)] == [2, 3]
            await send(new, 2, 4)
            assert await anext(events) == 4
            assert not old.gone
            await old.ended()
            await send(new, 5)
            assert await anext(events) == 5
            assert events.legs[1].late == 1
            assert legs.open == 1
        assert [r and r.reason for r in legs.opened] == [None, "refresh_requested"]


async def test_an_old_connection_that_ends_first_leaves_no_gap() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        legs = Legs(server.url())
        accepting = asyncio.create_task(server.accept())
        async with overlap(legs, identity=int, linger=30) as events:
            old = await accepting
            await legs.stand.acquire()
            await send(old, 1)
            assert await anext(events) == 1
            await ask(old)
            new = await server.accept()
            await legs.stand.acquire()
            await send(new, 2)
            assert await anext(events) == 2
            await old.drop()
            again = await server.accept()
            await again.ended()
            await send(new, 3)
            assert await anext(events) == 3


async def test_the_old_one_goes_on_while_the_new_one_cannot_be_opened() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        legs = Legs(server.url(), failures=3)
        accepting = asyncio.create_task(server.accept())
        async with overlap(legs, identity=int) as events:
            loop = asyncio.get_running_loop()
            old = await accepting
            await legs.stand.acquire()
            await ask(old)
            began = loop.time()
            await asyncio.sleep(3)
            await send(old, 1)
            assert await anext(events) == 1
            new = await server.accept()
            await legs.stand.acquire()
            # At once, then after 1, 2 and 4 seconds.
            assert loop.time() - began == pytest.approx(7, abs=0.1)
            await old.ended()
            await send(new, 2)
            assert await anext(events) == 2


async def test_a_server_that_always_asks_meets_a_backoff() -> None:
    async def asks(peer: Peer) -> None:
        await peer.accept()
        await ask(peer)
        await peer.ended()

    async with assert_no_leaks(), ScriptedServer(asks) as server:
        legs = Legs(server.url())
        async with overlap(legs, identity=int, linger=1):
            await asyncio.sleep(600)
            assert 10 < len(server.dials) < 20
            assert legs.open <= 2


async def test_what_opening_the_first_raises_is_raised() -> None:
    @asynccontextmanager
    async def fails(
        _on_rotate: Callable[[Rotate], None], rotate: Rotate | None
    ) -> AsyncGenerator[AsyncIterator[int | Gap], None]:
        if rotate is None:
            raise ConnectionError("no")
        yield Channel(connect("ws://127.0.0.1:1/")).listen()

    async with assert_no_leaks():
        with pytest.raises(ConnectionError, match="no"):
            async with overlap(fails, identity=int):
                pytest.fail("it was opened")


async def test_the_end_of_the_only_leg_is_the_end() -> None:
    async def once(peer: Peer) -> None:
        await peer.accept()
        await send(peer, 1)
        await peer.close(1000)

    async with assert_no_leaks(), ScriptedServer(once) as server:

        @asynccontextmanager
        async def leg(
            on_rotate: Callable[[Rotate], None], _: Rotate | None
        ) -> AsyncGenerator[AsyncIterator[int | Gap], None]:
            session = connect(server.url(), reconnect=Reconnect.once())
            async with Channel(session, Numbers(), on_rotate=on_rotate) as channel:
                yield channel.listen()

        async with overlap(leg, identity=int) as events:
            assert await drain(events) == [1]
