"""Sessions are measured in virtual time, but for what needs threads or processes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from resilient_ws.testing import ScriptedServer, VirtualLoop, assert_no_leaks
from resilient_ws.testing.scripts import hold


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

_REAL: Final = {"test_loop_reading.py", "test_scraped.py"}


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each test the loop of virtual time, but those that need threads."""
    if item.path.name in _REAL:
        return {"real": asyncio.SelectorEventLoop}
    return {"virtual": VirtualLoop}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A server in the same loop; with it, proof that nothing is left behind."""
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        yield server
