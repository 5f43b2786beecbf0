"""The event loops that the tests of this folder run on, and a private authority."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import trustme


if TYPE_CHECKING:
    from collections.abc import Callable


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own loop; uvloop as well for a test that names it in its mark."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop
    }
    mark = item.get_closest_marker("asyncio")
    if mark is not None and "uvloop" in (mark.kwargs.get("loop_factories") or ()):
        uvloop = pytest.importorskip("uvloop")
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """An issuer of certificates that no system trusts."""
    return trustme.CA()
