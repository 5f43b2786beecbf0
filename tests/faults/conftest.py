"""Network namespaces, or the reason why there are none."""

from __future__ import annotations

import os

import pytest

from benchmarks.reliability.network import obstacle
from tests.servers.process import missing, node_module


@pytest.fixture
async def namespaces() -> None:
    """End the test here unless namespaces can be made."""
    reason = await obstacle()
    if reason is None:
        node_module("ws/package.json")
    elif os.name != "posix" or os.geteuid() != 0:
        # Not a matter of what is installed: in CI the same.
        pytest.skip(reason)
    else:
        missing("what real faults need", reason)
