"""Fixtures for pytest, made of ``resilient_ws.testing``.

Rules: Nothing is imported or started until a test uses a fixture. This module is not
part of the package, because every run of pytest would then import the package, and
before coverage is measured.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from resilient_ws.testing import FaultProxy, ScriptedServer


def _fixture(function: Callable[[], AsyncIterator[object]]) -> object:
    """Make a fixture. Without pytest-asyncio, make one that says what is missing."""
    try:
        import pytest_asyncio
    except ImportError:
        pass
    else:
        return pytest_asyncio.fixture(function)

    @pytest.fixture(name=function.__name__)
    def missing() -> None:
        pytest.fail(
            f"The fixture {function.__name__} needs pytest-asyncio:"
            " pip install 'pytest-asyncio>=1.4'",
            pytrace=False,
        )

    missing.__doc__ = function.__doc__
    return missing


@_fixture
async def no_leaks() -> AsyncIterator[None]:
    """Fail the test if it leaves a task or a socket. Name this fixture first."""
    from resilient_ws.testing import assert_no_leaks

    async with assert_no_leaks():
        yield


@_fixture
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    """Start a ``ScriptedServer``, which the test drives or lets ``play``."""
    from resilient_ws.testing import ScriptedServer

    async with ScriptedServer() as server:
        yield server


@_fixture
async def fault_proxy() -> AsyncIterator[Callable[..., Awaitable[FaultProxy]]]:
    """Put a ``FaultProxy`` before a server, given its port; may be called again."""
    from resilient_ws.testing import FaultProxy

    async with contextlib.AsyncExitStack() as stack:

        async def before(port: int, *, host: str = "127.0.0.1") -> FaultProxy:
            return await stack.enter_async_context(FaultProxy(host, port))

        yield before
