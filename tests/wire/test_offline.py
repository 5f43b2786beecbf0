"""What is sent while there is no server arrives when there is one again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resilient_ws import ConnectionDropped, DeliveryState, Outbox, State
from resilient_ws.testing import assert_no_leaks
from tests.wire.witness import SOON, eventually, soon, watched


if TYPE_CHECKING:
    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire


async def test_arrives_after_the_restart_in_order_and_once(
    any_server: ServerProcess,
) -> None:
    kept = [f"kept {number}" for number in range(200)]
    async with assert_no_leaks(), watched(f"{any_server.url}/echo") as (session, seen):
        await session.send("before")
        assert await soon(session) == "before"
        await any_server.kill()
        await seen.until(ConnectionDropped)
        deliveries = [await session.send(text) for text in kept]
        assert session.state is not State.OPEN
        assert {one.state for one in deliveries} == {DeliveryState.QUEUED}
        await any_server.start()
        for one in deliveries:
            await one.confirmed(timeout=SOON)
            assert one.state is DeliveryState.WRITTEN
        await session.send("after")
        received = await any_server.received(len(kept) + 2)
        assert received == ["before", *kept, "after"]
        assert [await soon(session) for _ in range(201)] == [*kept, "after"]


async def test_what_is_sent_before_the_first_server_exists(
    websockets_server: ServerProcess,
) -> None:
    await websockets_server.kill()
    url = f"{websockets_server.url}/echo"
    async with assert_no_leaks(), watched(url, wait_open=False) as (session, _):
        for number in range(20):
            await session.send(str(number))
        await websockets_server.start()
        assert await websockets_server.received(20) == [str(n) for n in range(20)]


async def test_survives_many_restarts_without_loss_of_what_was_kept(
    websockets_server: ServerProcess,
) -> None:
    sent = []
    url = f"{websockets_server.url}/echo"
    outbox = Outbox(overflow="wait")
    async with assert_no_leaks(), watched(url, outbox=outbox) as (session, seen):
        for life in range(1, 4):
            await websockets_server.kill()
            await seen.until(ConnectionDropped, count=life)
            for number in range(10):
                sent.append(f"{life}.{number}")
                await session.send(sent[-1])
            await websockets_server.start()
            await websockets_server.received(len(sent))
    assert await websockets_server.received(len(sent)) == sent


async def test_a_message_that_is_too_old_stays_behind(
    websockets_server: ServerProcess,
) -> None:
    url = f"{websockets_server.url}/echo"
    async with assert_no_leaks(), watched(url) as (session, seen):
        await websockets_server.kill()
        await seen.until(ConnectionDropped)
        stale = await session.send("stale", ttl=0.05)
        fresh = await session.send("fresh")
        await eventually(lambda: stale.state is not DeliveryState.QUEUED)
        assert stale.state is DeliveryState.EXPIRED
        await websockets_server.start()
        await fresh.confirmed(timeout=SOON)
        assert await websockets_server.received(1) == ["fresh"]
