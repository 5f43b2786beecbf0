"""The kit is tested on every loop that users run it on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import trustme
import uvloop

from resilient_ws.testing import VirtualLoop


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REAL = {"asyncio": asyncio.SelectorEventLoop}
VIRTUAL = {"virtual": VirtualLoop}
UVLOOP = {"uvloop": uvloop.new_event_loop}

#: Tests whose peers live in the same loop run in virtual time. What depends on how a
#: loop reads, writes and closes runs on all three.
LOOPS: dict[str, Mapping[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "test_client_stream.py": VIRTUAL,
    "test_faults.py": {**VIRTUAL, **REAL, **UVLOOP},
    "test_faults_in_time.py": VIRTUAL,
    "test_peer.py": {**VIRTUAL, **REAL, **UVLOOP},
    "test_pipe.py": {**VIRTUAL, **REAL, **UVLOOP},
    "test_proxied_connection.py": {**VIRTUAL, **REAL, **UVLOOP},
    "test_proxy.py": {**VIRTUAL, **REAL, **UVLOOP},
    "test_refusals.py": {**VIRTUAL, **REAL, **UVLOOP},
    "test_scripts.py": {**VIRTUAL, **REAL, **UVLOOP},
    "test_server.py": {**VIRTUAL, **REAL, **UVLOOP},
    "test_virtual_time.py": VIRTUAL,
}


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each file its loops."""
    return LOOPS.get(item.path.name, REAL)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """An issuer of certificates that no system trusts."""
    return trustme.CA()
