"""The wall clock runs away from the monotonic one, as it does while a machine sleeps.

libfaketime moves the wall clock of the client's process alone, and leaves the monotonic
clock as it is. Nothing is faked in the library, nor in the loop.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
from typing import TYPE_CHECKING

import pytest

from resilient_ws.eventloop import sleep
from tests.examples.program import Program
from tests.servers.process import missing


if TYPE_CHECKING:
    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire

#: Where Debian's package puts it, on any architecture.
LIBRARY = "*/faketime/libfaketime.so.1"
CLIENT = pathlib.Path(__file__).with_name("clock_client.py")


class Clock:
    """The wall clock of a process."""

    def __init__(self, folder: pathlib.Path) -> None:
        library = next(pathlib.Path("/usr/lib").glob(LIBRARY), None)
        if library is None:
            missing("libfaketime", "apt-get install faketime, or make servers")
        self._file = folder / "clock"
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set(0)

    def set(self, seconds: int) -> None:
        """Put the clock so far from the true time."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}s\n")
        # In one step: the process reads it whenever it asks for the time.
        os.replace(fresh, self._file)  # noqa: PTH105 - says atomic


@pytest.fixture
def clock(tmp_path: pathlib.Path) -> Clock:
    return Clock(tmp_path)


def client_of(server: ServerProcess, clock: Clock) -> Program:
    return Program(str(CLIENT), f"{server.url}/echo", environment=clock.environment)


async def test_after_a_jump_the_link_is_probed_at_once(
    websockets_server: ServerProcess, clock: Clock
) -> None:
    async with client_of(websockets_server, clock) as client:
        await client.said("in")
        clock.set(+600)
        # The clocks are looked at every 5 s.
        await client.said("PongReceived", within=15)
        clock.set(+1200)
        await client.said("PongReceived", count=2, within=15)
        assert client.all_of("ConnectionDropped") == []


async def test_after_a_jump_a_wait_of_ten_minutes_is_cut_short(
    websockets_server: ServerProcess, clock: Clock
) -> None:
    async with client_of(websockets_server, clock) as client:
        await client.said("in")
        await websockets_server.kill()
        await client.said("RetryScheduled")
        await websockets_server.start()
        clock.set(+600)
        await client.said("ConnectionOpened", within=15)


async def test_a_clock_that_is_set_back_is_no_sleep(
    websockets_server: ServerProcess, clock: Clock
) -> None:
    async with client_of(websockets_server, clock) as client:
        await client.said("in")
        clock.set(-600)
        # Time for a look at the clocks, and for a pong, if there were one.
        await asyncio.sleep(sleep.LOOK_INTERVAL + 1)
        assert client.all_of("PongReceived") == []
        # From where it stands now, forward is forward.
        clock.set(-300)
        await client.said("PongReceived", within=15)
