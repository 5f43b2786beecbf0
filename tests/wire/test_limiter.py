"""The server itself never sees more dials than the limiter of its clients allows."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import pytest

from resilient_ws import ConnectLimiter, Reconnect, State, connect
from resilient_ws.testing import assert_no_leaks
from tests.wire.witness import eventually


if TYPE_CHECKING:
    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire

SESSIONS = 40


async def test_a_server_killed_and_back_sees_its_clients_at_the_pace(
    any_server: ServerProcess,
) -> None:
    """On the server's own clock, however busy this machine delivers what is dialled."""
    limiter = ConnectLimiter(rate=8, per=0.5, concurrency=4)
    async with assert_no_leaks(), contextlib.AsyncExitStack() as stack:
        sessions = [
            connect(
                f"{any_server.url}/echo?{number}",
                limiter=limiter,
                reconnect=Reconnect(rng=random.Random(number)),
                wait_open=False,
            )
            for number in range(SESSIONS)
        ]
        for session in sessions:
            await stack.enter_async_context(session)

        def all_open() -> bool:
            return all(session.state is State.OPEN for session in sessions)

        await eventually(all_open, within=30.0)
        await any_server.restart()
        await eventually(
            lambda: all(session.epoch > 1 for session in sessions) and all_open(),
            within=60.0,
        )
        seen = await any_server.logged("request", count=2 * SESSIONS)
        assert (limiter.waiting, limiter.in_use) == (0, 0)
    # Two lives of the server, each with a clock of its own.
    lives = [seen[:SESSIONS], seen[SESSIONS:]]
    for life in lives:
        assert len({entry["path"] for entry in life}) == SESSIONS, "each exactly once"
        at = [entry["at"] for entry in life]
        for first, after in zip(at, at[limiter.rate :], strict=False):
            assert after - first > limiter.per
