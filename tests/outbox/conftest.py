"""Outboxes are tested in virtual time, whose wall clock moves with the loop's."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from resilient_ws.testing import ScriptedServer, VirtualLoop, assert_no_leaks
from resilient_ws.testing.scripts import hold


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


#: The wall clock when the loop's clock is at 0.
EPOCH = 1_800_000_000.0


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each test the loop of virtual time."""
    return {"virtual": VirtualLoop}


@pytest.fixture
async def server(wall: None) -> AsyncIterator[ScriptedServer]:
    """A server in the same loop; with it, proof that nothing is left behind."""
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        yield server


@pytest.fixture
async def wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the wall clock go with the loop's: a ttl in a store counts on it."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(time, "time", lambda: EPOCH + loop.time())
