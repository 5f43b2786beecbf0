"""A ScriptedServer and a session that talks to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Reconnect
from resilient_ws.testing import ScriptedServer, assert_no_leaks


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws import Session


@contextlib.asynccontextmanager
async def talking(
    *scripts: Any, **options: Any
) -> AsyncIterator[tuple[ScriptedServer, Session]]:
    """A server, and a session to it that comes back at once."""
    async with (
        assert_no_leaks(),
        ScriptedServer(*scripts) as server,
        resilient_ws.connect(
            server.url("/feed"),
            wait_open=False,
            reconnect=Reconnect(wait=wait_fixed(0)),
            **options,
        ) as session,
    ):
        yield server, session
