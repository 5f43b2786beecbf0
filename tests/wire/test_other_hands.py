"""A session talks to servers that nobody here wrote, and comes back to them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import ConnectionDropped, ConnectionOpened, State
from resilient_ws.testing import assert_no_leaks
from tests.wire.brokers import Client, publication
from tests.wire.witness import BOTH_LOOPS, soon, take, watched


if TYPE_CHECKING:
    from tests.servers.daemons import Mosquitto, Nginx
    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire


@BOTH_LOOPS
async def test_talks_and_comes_back_after_a_kill(any_server: ServerProcess) -> None:
    url = f"{any_server.url}/echo?token=abc"
    options: dict[str, Any] = {
        "headers": {"Authorization": "Bearer x"},
        "subprotocols": ["b.v1", "a.v2"],
    }
    large = os.urandom(1024 * 1024)
    async with assert_no_leaks(), watched(url, **options) as (session, seen):
        assert (session.epoch, session.subprotocol) == (1, "b.v1")
        for message in ("hello", "häßlich", b"\x00\xff", "", b"", large):
            await session.send(message)
            assert await soon(session) == message
        await any_server.restart()
        await session.send("again")
        assert await soon(session) == "again"
        assert session.epoch == 2
        first, second = await seen.until(ConnectionOpened, count=2)
        assert first.resumed_after is None
        assert second.resumed_after is not None
        assert second.resumed_after > 0
        assert len(seen.of(ConnectionDropped)) == 1
    await any_server.logged("close", code=1000)
    for opened in await any_server.logged("open", count=2):
        assert opened["path"] == "/echo?token=abc"
        assert opened["headers"]["authorization"] == "Bearer x"
        assert opened["headers"]["sec-websocket-protocol"].startswith("b.v1")
    assert await any_server.received(5) == ["hello", "häßlich", "", "again"]


async def test_iterates_across_connections(any_server: ServerProcess) -> None:
    url = f"{any_server.url}/count?n=20&every=0.002&then=1012"
    received: list[int] = []
    async with assert_no_leaks(), watched(url) as (session, _):
        async for message in session:
            received.append(int(message))
            if len(received) == 30:
                break
            if len(received) == 20:
                # A restart is announced with 1012, which waits 5 s; it is back now.
                await session.wait_until(State.BACKOFF)
                session.retry_now()
    assert received == list(range(1, 31))


async def test_mqtt_through_a_broker_that_is_killed(mosquitto: Mosquitto) -> None:
    listener, talker = Client("listener", "rooms/1", "rooms/2"), Client("talker")
    url = f"{mosquitto.url}/mqtt"
    async with (
        assert_no_leaks(),
        watched(url, subprotocols=["mqtt"], on_open=listener.on_open) as (ears, heard),
        watched(url, subprotocols=["mqtt"], on_open=talker.on_open) as (mouth, spoken),
    ):
        assert ears.subprotocol == "mqtt"
        await mouth.send(publication("rooms/1", "21.5"))
        assert await soon(ears) == publication("rooms/1", "21.5")
        await mosquitto.kill()
        for seen in (heard, spoken):
            [drop] = await seen.until(ConnectionDropped)
            assert drop.close is None
        # Kept until the broker is back; the subscriber must be back before it leaves.
        await mosquitto.start()
        await heard.until(ConnectionOpened, count=2)
        await mouth.send(publication("rooms/2", "22.0"))
        assert await soon(ears) == publication("rooms/2", "22.0")
        assert ears.epoch == 2
        assert mouth.epoch == 2


async def test_comes_back_through_nginx_after_its_reload(
    nginx: Nginx, websockets_server: ServerProcess
) -> None:
    async with assert_no_leaks(), watched(f"{nginx.url}/echo") as (session, seen):
        await session.send("before")
        assert await take(session, 1) == ["before"]
        await nginx.reload()
        # The old worker ends what it holds a second later, without a close frame.
        [drop] = await seen.until(ConnectionDropped)
        assert drop.close is None
        assert getattr(drop.because, "how", None) == "eof"
        await session.send("after")
        assert await take(session, 1) == ["after"]
        assert session.epoch == 2
    assert await websockets_server.received(2) == ["before", "after"]


async def test_waits_for_the_upstream_behind_nginx(
    nginx: Nginx, websockets_server: ServerProcess
) -> None:
    async with assert_no_leaks(), watched(f"{nginx.url}/echo") as (session, seen):
        await websockets_server.kill()
        await seen.until(ConnectionDropped)
        await session.send("kept")
        # nginx answers 502 as long as it has nothing behind it.
        await websockets_server.start()
        assert await take(session, 1) == ["kept"]
    assert await websockets_server.received(1) == ["kept"]
