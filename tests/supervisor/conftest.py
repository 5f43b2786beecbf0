"""The parts of the supervisor are tested in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.testing import VirtualLoop


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], VirtualLoop]]:
    """Give each test the loop of virtual time."""
    return {"virtual": VirtualLoop}
