"""A server that lets nobody stay is dialled at the pace of the backoff."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from resilient_ws import connect
from resilient_ws.testing import assert_no_leaks
from tests.wire.witness import Witness


if TYPE_CHECKING:
    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire

DURATION = 10.0

#: The default backoff draws the waits evenly from 0 to 1, 2, 4, ... 60 s. Eight of
#: them within ten seconds have a chance of at most 10^8 / 8! / (1 2 4 ... 32 60 60),
#: which is one in 47,000; so nine dials are not luck.
MOST_DIALS = 8

#: 1012 and 1013 add five seconds to each wait: the third dial is later than 10 s.
MOST_DIALS_WITH_FLOOR = 2

ENDS = ("1000", "1001", "1011", "rst", "fin", "1012", "1013")


async def test_never_a_storm_with_default_settings(
    websockets_server: ServerProcess,
) -> None:
    paths = [f"/accept-close?code={code}" for code in ENDS] + ["/refuse?status=503"]
    async with assert_no_leaks():
        began, burnt = time.monotonic(), time.process_time()
        async with asyncio.TaskGroup() as tasks:
            held = [tasks.create_task(hold(websockets_server, p)) for p in paths]
        took, burnt = time.monotonic() - began, time.process_time() - burnt
    # Eight sessions that wait must cost next to nothing: a hot loop costs it all.
    assert burnt < 0.25 * took
    for path, task in zip(paths, held, strict=True):
        dials = [
            entry
            for kind in ("open", "refuse")
            for entry in websockets_server.entries(kind, path=path)
        ]
        has_floor = path.endswith(("1012", "1013"))
        most = MOST_DIALS_WITH_FLOOR if has_floor else MOST_DIALS
        # Never less than two: it does come back.
        assert 2 <= len(dials) <= most, path
        # The session counts what the server saw, but for one that it left half-way.
        assert task.result() - len(dials) in {0, 1}, path


async def hold(server: ServerProcess, path: str) -> int:
    """Hold a session with a URL for a while; return how often it dialled."""
    session = connect(server.url + path, wait_open=False)
    seen = Witness(session)
    async with session:
        await asyncio.sleep(DURATION)
        attempts = session.statistics().attempts
    assert seen.events
    return attempts


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_says_when_is_not_asked_before(
    websockets_server: ServerProcess, status: int
) -> None:
    path = f"/refuse?status={status}&retry_after=2&times=1"
    async with assert_no_leaks():
        began = time.monotonic()
        async with connect(websockets_server.url + path) as session:
            waited = time.monotonic() - began
            # Two seconds, and the jittered first second on top of them.
            assert 2.0 <= waited < 3.5
            await session.send("in")
    assert await websockets_server.received(1) == ["in"]
    assert len(websockets_server.entries("refuse", path=path)) == 1
