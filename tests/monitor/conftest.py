"""What is remembered is tested in virtual time; what is served, over real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resilient_ws.testing import ScriptedServer, VirtualLoop, assert_no_leaks
from resilient_ws.testing.scripts import hold
from tests.monitor.browser import Browser


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


_REAL = ("test_page.py", "test_serving.py")


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each test the loop of virtual time, but those that serve somebody."""
    if item.path.name in _REAL:
        return {"real": asyncio.SelectorEventLoop}
    return {"virtual": VirtualLoop}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A server in the same loop; with it, proof that nothing is left behind."""
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        yield server


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A browser with one page, in which nothing went wrong at the end."""
    async with Browser() as browser:
        await browser.show(1280, 900)
        yield browser
    assert not browser.complaints
