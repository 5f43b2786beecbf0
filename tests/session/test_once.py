"""``Reconnect.once()``: exactly one connection, and then the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import resilient_ws
from resilient_ws import Reconnect, State
from resilient_ws.testing import ScriptedServer
from resilient_ws.testing.scripts import feeding, hold, rejecting
from tests.record import of, recorded


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resilient_ws import Session
    from resilient_ws.testing import Peer


def bye(code: int | None) -> Callable[[Peer], Awaitable[None]]:
    async def close(peer: Peer) -> None:
        await asyncio.sleep(20)
        await peer.close(code)

    return close


async def cut(peer: Peer) -> None:
    await asyncio.sleep(1)
    await peer.reset()


def once(*urls: str, **options: Any) -> Session:
    return resilient_ws.connect(urls, reconnect=Reconnect.once(), **options)


@pytest.mark.parametrize("code", [1000, 1001, None])
async def test_after_a_goodbye_iteration_ends_and_nothing_failed(
    server: ScriptedServer, code: int | None
) -> None:
    server.play(feeding("1", "2", then=bye(code)), hold)
    async with once(server.url()) as session:
        assert [message async for message in session] == ["1", "2"]
        assert session.state is State.CLOSED
        assert session.failure is None
        await session.wait_closed()
        with pytest.raises(resilient_ws.SessionClosed):
            await session.send("x")
    assert len(server.dials) == 1


@pytest.mark.parametrize("ending", [bye(1011), bye(4000), cut])
async def test_any_other_end_is_raised_after_the_last_message(
    server: ScriptedServer, ending: Any
) -> None:
    server.play(feeding("1", then=ending), hold)
    taken = []
    async with once(server.url()) as session:
        events = recorded(session)
        with pytest.raises(resilient_ws.ConnectionLost) as caught:  # noqa: PT012 - the loop
            async for message in session:
                taken.append(message)  # noqa: PERF401 - it is kept when this raises
        assert taken == ["1"]
        assert session.failure is caught.value
    assert len(server.dials) == 1
    assert len(of(events, resilient_ws.ConnectionDropped)) == 1
    assert not of(events, resilient_ws.RetryScheduled)


@pytest.mark.parametrize("status", [503, 401, 404])
async def test_a_refusal_is_raised_at_once(server: ScriptedServer, status: int) -> None:
    server.play(rejecting(status, retry_after=30), hold)
    with pytest.raises(resilient_ws.HandshakeRejected):
        await once(server.url()).__aenter__()
    assert len(server.dials) == 1


async def test_each_url_is_dialled_once_until_one_opens(server: ScriptedServer) -> None:
    server.play(rejecting(503))
    async with ScriptedServer(hold) as good, once(server.url(), good.url()) as session:
        assert session.epoch == 1
        assert (len(server.dials), len(good.dials)) == (1, 1)
    with pytest.raises(resilient_ws.HandshakeRejected):
        await once(server.url("/a"), server.url("/b")).__aenter__()
    assert len(server.dials) == 3


async def test_it_is_not_replaced(server: ScriptedServer) -> None:
    async with once(server.url()) as session:
        with pytest.raises(RuntimeError, match="one connection"):
            session.reconnect("why not")
        assert session.state is State.OPEN
    with pytest.raises(ValueError, match="max_age"):
        attrs.evolve(Reconnect.once(), max_age=60)
    with pytest.raises(TypeError, match="single"):
        Reconnect(single=1)  # type: ignore[arg-type]


async def test_close_is_as_ever(server: ScriptedServer) -> None:
    async with once(server.url()) as session:
        record = await session.close()
        assert record is not None
        assert record.clean
        assert session.failure is None
