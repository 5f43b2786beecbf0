"""Scripts are played to connections in turn; those of the kit do what they say."""

from __future__ import annotations

import pytest

from resilient_ws import State
from resilient_ws.testing.scripts import (
    black_hole,
    closing,
    echo,
    feeding,
    hang,
    hold,
    mute_at_close,
    rejecting,
    resetting,
)
from tests.testing.talking import talking


#: Sessions wait for seconds here.
IN_VIRTUAL_TIME = pytest.mark.asyncio(loop_factories=["virtual"])


@IN_VIRTUAL_TIME
async def test_scripts_are_played_in_turn_and_the_last_to_the_rest() -> None:
    async with talking(rejecting(503), closing(1012), resetting(), echo) as (
        server,
        session,
    ):
        await server.arrivals(4)
        await session.wait_until(State.OPEN)
        await session.send("x")
        assert await session.receive() == "x"
        server.play(feeding("1", "2", then=closing(1001)), hold)
        await server.peer.reset()
        assert [await session.receive() for _ in range(2)] == ["1", "2"]
        await server.arrivals(6)
        server.play()
        await server.peer.drop()
        await (await server.accept()).send("live")
        assert await session.receive() == "live"


@IN_VIRTUAL_TIME
async def test_the_scripts_of_silence() -> None:
    async with talking(hang, black_hole, mute_at_close) as (server, session):
        await server.arrivals(1)
        assert session.state is State.CONNECTING
        session.reconnect("it hangs")
        peer = await server.arrivals(2)
        await session.wait_until(State.OPEN)
        assert not peer.answers_pings
        await peer.reset()
        await server.arrivals(3)
        await session.wait_until(State.OPEN)
        await server.peer.reset()
