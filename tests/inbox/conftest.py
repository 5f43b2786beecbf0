"""The inbox is tested in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resilient_ws.testing import VirtualLoop


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each asynchronous test the loop of virtual time."""
    return {"virtual": VirtualLoop}


@pytest.fixture(scope="module")
def loop() -> Iterator[VirtualLoop]:
    """A loop that does not run, for what only holds one."""
    loop = VirtualLoop()
    yield loop
    loop.close()
