"""The codec is tested in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resilient_ws.testing import ScriptedServer, VirtualLoop, assert_no_leaks
from resilient_ws.testing.scripts import hold


if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Mapping


def pytest_asyncio_loop_factories() -> Mapping[
    str, Callable[[], asyncio.AbstractEventLoop]
]:
    """Give each test the loop of virtual time."""
    return {"virtual": VirtualLoop}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A server in the same loop; with it, proof that nothing is left behind."""
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        yield server
