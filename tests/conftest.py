"""The real servers, each new for every test that asks for one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.record import ENDURANCE, no_collection
from tests.servers.daemons import Anvil, Mosquitto, Nats, Nginx
from tests.servers.scripted import (
    SERVERS,
    aiohttp_server as serve_aiohttp,
    node_server as serve_node,
    websockets_server as serve_websockets,
)


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.servers.process import ServerProcess


#: Python's own.
RECURSION_LIMIT = 1000


def pytest_collection_finish() -> None:
    """Undo what importing web3 does to every test of the process: see feeds/json.py."""
    sys.setrecursionlimit(RECURSION_LIMIT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless all was asked for."""
    if ENDURANCE:
        return
    left_out = pytest.mark.skip(reason="takes long: ENDURANCE=1 runs it, as make check")
    for item in items:
        if item.get_closest_marker("endurance") is not None:
            item.add_marker(left_out)


@pytest.fixture
def without_collection() -> Iterator[None]:
    """For a test that is sent JSON that is too deep."""
    with no_collection():
        yield


@pytest.fixture
async def websockets_server() -> AsyncIterator[ServerProcess]:
    """A server on the websockets library; what it does: tests/servers/behaviour.py."""
    async with serve_websockets() as server:
        yield server


@pytest.fixture
async def aiohttp_server() -> AsyncIterator[ServerProcess]:
    """The same on aiohttp."""
    async with serve_aiohttp() as server:
        yield server


@pytest.fixture
async def node_server() -> AsyncIterator[ServerProcess]:
    """The same on node's ws."""
    async with serve_node() as server:
        yield server


@pytest.fixture(params=sorted(SERVERS))
async def any_server(request: pytest.FixtureRequest) -> AsyncIterator[ServerProcess]:
    """Each of the three in turn."""
    async with SERVERS[request.param]() as server:
        yield server


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """An MQTT broker that speaks WebSocket (subprotocol ``mqtt``)."""
    async with Mosquitto(tmp_path) as server:
        yield server


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[Nats]:
    """A NATS server that speaks WebSocket."""
    async with Nats(tmp_path) as server:
        yield server


@pytest.fixture
async def nginx(
    tmp_path: Path, websockets_server: ServerProcess
) -> AsyncIterator[Nginx]:
    """A reverse proxy before ``websockets_server``."""
    async with Nginx(tmp_path, websockets_server.port) as server:
        yield server


@pytest.fixture
async def anvil(tmp_path: Path) -> AsyncIterator[Anvil]:
    """A chain node that mines when it is told to."""
    async with Anvil(tmp_path, "--no-mining") as server:
        yield server
