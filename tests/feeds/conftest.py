"""Feeds are tested in virtual time, but for what talks to a process of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws.testing import VirtualLoop


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest


#: These talk to servers in processes of their own.
REAL = {"test_calls_shown.py"}


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each test the loop of virtual time, but those that need the real one."""
    if item.path.name in REAL or item.get_closest_marker("wire"):
        return {"real": asyncio.SelectorEventLoop}
    return {"virtual": VirtualLoop}
