"""Adapters are tested in virtual time, but for what talks to another process."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest
import trustme

from resilient_ws.testing import ScriptedServer, VirtualLoop, assert_no_leaks
from resilient_ws.testing.scripts import hold


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each test the loop of virtual time, but those that need the real one."""
    if item.get_closest_marker("wire") is not None:
        return {"real": asyncio.SelectorEventLoop}
    return {"virtual": VirtualLoop}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A server in the same loop; with it, proof that nothing is left behind."""
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        yield server


@pytest.fixture
async def http(server: ScriptedServer) -> AsyncIterator[aiohttp.ClientSession]:
    """The user's own client; it ends before the server does."""
    assert server.port
    async with aiohttp.ClientSession(headers={"X-Own": "yes"}) as http:
        yield http


@pytest.fixture
def wrong_tls() -> ssl.SSLContext:
    """A server's context with a certificate that nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context
