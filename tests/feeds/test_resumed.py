"""Streams that the server keeps while there is no connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from resilient_ws.feeds import Gap, Source
from tests.feeds.talk import Talk, channel, say, scripted, take


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds import Requests


def kept(resumed: Callable[[], bool]) -> Source[Any, Any]:
    """Return a source that the server grants with a reply."""

    async def subscribe(requests: Requests) -> str:
        await requests.ask("s", "subscribe")
        return "k"

    return Source(subscribe=subscribe, keys=("k",), resumed=resumed)


async def test_a_drop_that_the_server_bridges_is_no_gap() -> None:
    current = [False]
    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        wish = asyncio.create_task(feed.subscribe(kept(lambda: current[0])))
        await peer.expect("subscribe")
        await peer.send(say("reply", id="s"), say("item", key="k", value=0))
        stream = await wish
        assert await take(stream, 1) == [0]
        for resumed in (True, False, True):
            current[0] = resumed
            await peer.drop()
            peer = await server.accept()
            # More than is held for a key that is not known.
            items = [say("item", key="k", value=n) for n in range(1000)]
            if resumed:
                await peer.send(*items)
                assert await take(stream, 1000) == [*range(1000)]
            await peer.expect("subscribe")
            await peer.send(say("reply", id="s"), say("item", key="k", value="live"))
            if not resumed:
                (gap,) = await take(stream, 1)
                assert isinstance(gap, Gap)
            assert await take(stream, 1) == ["live"]
        assert stream.gaps == 1


async def test_a_gap_that_waits_for_room_outlives_a_drop_that_is_bridged() -> None:
    current = [False]
    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        wish = asyncio.create_task(feed.subscribe(kept(lambda: current[0]), buffer=4))
        await peer.expect("subscribe")
        items = [say("item", key="k", value=n) for n in range(4)]
        await peer.send(say("reply", id="s"), *items)
        stream = await wish
        await asyncio.sleep(1)
        assert stream.lag == 4
        for resumed in (False, True):  # the first is a hole, the second is none
            current[0] = resumed
            await peer.drop()
            peer = await server.accept()
            await peer.expect("subscribe")
            await peer.send(say("reply", id="s"))
            await asyncio.sleep(1)
        await peer.send(say("item", key="k", value="live"))
        found = await take(stream, 6)
        assert found[:4] == [0, 1, 2, 3]
        assert isinstance(found[4], Gap)
        assert found[5:] == ["live"]
        assert stream.gaps == 1


async def test_a_gap_behind_what_is_held_goes_with_the_drop_that_made_it() -> None:
    current = [False]
    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        wish = asyncio.create_task(feed.subscribe(kept(lambda: current[0]), buffer=4))
        await peer.expect("subscribe")
        items = [say("item", key="k", value=n) for n in range(4)]
        await peer.send(say("reply", id="s"), *items)
        stream = await wish
        await peer.drop()
        peer = await server.accept()
        await peer.expect("subscribe")
        await peer.send(say("reply", id="s"), say("item", key="k", value="held"))
        await asyncio.sleep(1)
        current[0] = True
        await peer.drop()
        peer = await server.accept()
        await peer.expect("subscribe")
        await peer.send(say("reply", id="s"), say("item", key="k", value="live"))
        found = await take(stream, 7)
        assert found[:4] == [0, 1, 2, 3]
        assert isinstance(found[4], Gap)
        assert found[5:] == ["held", "live"]


async def test_a_subscription_that_is_made_anew_has_its_gap() -> None:
    current = [False]
    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        wish = asyncio.create_task(feed.subscribe(kept(lambda: current[0])))
        await peer.expect("subscribe")
        await peer.send(say("reply", id="s"), say("item", key="k", value=0))
        stream = await wish
        assert await take(stream, 1) == [0]
        await peer.drop()
        peer = await server.accept()
        await peer.expect("subscribe")
        current[0] = True  # what it is from now, not what it was between the two
        await peer.send(say("reply", id="s"), say("item", key="k", value=1))
        gap, item = await take(stream, 2)
        assert isinstance(gap, Gap)
        assert item == 1
        await peer.send(say("ended", key="k", again=True))
        await peer.expect("subscribe")
        await peer.send(say("reply", id="s"), say("item", key="k", value=2))
        gap, item = await take(stream, 2)
        assert isinstance(gap, Gap)
        assert item == 2
