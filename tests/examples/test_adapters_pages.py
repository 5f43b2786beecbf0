"""docs/codec.md and docs/adapters/: their blocks run as they stand, over a drop."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import connect
from resilient_ws.codec import JSON, Coded
from resilient_ws.testing import FaultProxy, Reset, ScriptedServer
from resilient_ws.testing.scripts import hold
from tests.adapters.host import SocketIO
from tests.servers.process import HOST, ROOT


if TYPE_CHECKING:
    from collections.abc import Coroutine

    from resilient_ws.testing import Peer

pytestmark = pytest.mark.wire
PATIENCE = 20.0


def blocks(page: str) -> dict[str, Any]:
    """The names that the blocks of a page define."""
    text = (ROOT / "docs" / page).read_text()
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, page, "exec"), names)
    return names


class Taken(asyncio.Queue[Any]):
    """What a program of a page was given, while it runs."""

    async def during(self, program: Coroutine[Any, Any, None], *wanted: object) -> None:
        running = asyncio.create_task(program)
        try:
            async with asyncio.timeout(PATIENCE):
                for one in wanted:
                    assert await self.get() == one
        finally:
            running.cancel()
            await asyncio.wait([running])


async def trading(peer: Peer) -> None:
    await peer.accept()
    await peer.expect('{"type":"subscribe","channel":"trades"}')
    await peer.send('{"type":"trade","price":1.5}', '{"type":"book","bid":2}')
    await peer.drop()


async def test_typed_messages_over_a_drop() -> None:
    page = blocks("codec.md")
    trade, book = page["Trade"](1.5), page["Book"](2)
    taken = Taken()
    async with ScriptedServer(trading) as server:
        watch = page["watch"](server.url(), taken.put_nowait)
        await taken.during(watch, trade, book, trade, book)


@pytest.mark.parametrize("way", ["careful", "lenient"])
async def test_what_does_not_decode_is_reported_in_its_place(way: str) -> None:
    page = blocks("codec.md")
    taken = Taken()

    def report(data: object, because: object) -> None:
        assert isinstance(because, Exception)
        taken.put_nowait(data)

    async with ScriptedServer(hold) as server, connect(server.url()) as session:
        if way == "careful":
            program = page["careful"](Coded(session, JSON), taken.put_nowait, report)
            wanted: list[object] = [1, "?", 2]
            await server.peer.send("1", "?", "2")
        else:
            program = page["lenient"](session, taken.put_nowait, report)
            wanted = [page["Trade"](1.0), "?"]
            await server.peer.send('{"type":"trade","price":1}', "?")
        await taken.during(program, *wanted)


async def test_socketio_over_a_reset() -> None:
    page = blocks("adapters/aiohttp.md")
    taken = Taken()
    async with (
        SocketIO().serving() as server,
        FaultProxy(HOST, server.port) as proxy,
    ):

        async def ticking() -> None:
            number = 0
            while True:
                number += 1
                await server.hub.emit("tick", number)
                await asyncio.sleep(0.01)

        def take(number: int) -> None:
            if len(server.sids) == 1:
                proxy.apply(Reset())
            taken.put_nowait(len(server.sids))

        beside = asyncio.create_task(ticking())
        running = asyncio.create_task(page["follow"](proxy.url(scheme="http"), take))
        async with asyncio.timeout(PATIENCE):
            while await taken.get() < 2:
                pass
        for task in (beside, running):
            task.cancel()
        await asyncio.wait([beside, running])


async def test_a_program_for_websockets_over_a_drop() -> None:
    page = blocks("adapters/websockets.md")
    taken = Taken()

    async def news(peer: Peer) -> None:
        await peer.accept()
        await peer.expect("subscribe")
        await peer.send("news")
        await peer.close(1012)

    async with ScriptedServer(news) as server:
        follow = page["follow"](server.url(), taken.put_nowait)
        await taken.during(follow, "news", "news")
