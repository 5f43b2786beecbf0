"""A full inbox is reported each time that it stops a connection."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Inbox, InboxOverflowed, Reconnect, State
from tests.record import of, recorded, until


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.testing import Peer, ScriptedServer


def reached(items: Callable[[], list[InboxOverflowed]], count: int) -> bool:
    return len(items()) == count


@pytest.mark.parametrize("overflow", ["pause", "close"])
async def test_each_connection_that_a_full_inbox_stops_is_reported(
    server: ScriptedServer, overflow: Literal["pause", "close"]
) -> None:
    """Also if the inbox was still full when the connection before it ended."""

    async def sends_three(peer: Peer) -> None:
        await peer.accept()
        await peer.send("1", "2", "3")
        await peer.receive()  # a close frame, or the word to go
        await peer.reset()

    server.play(sends_three)
    session = resilient_ws.connect(
        server.url(),
        inbox=Inbox(max_messages=2, overflow=overflow),
        reconnect=Reconnect(wait=wait_fixed(1)),
    )
    events = recorded(session)
    overflows = partial(of, events, InboxOverflowed)
    async with session:
        for epoch in (1, 2, 3):
            await until(partial(reached, overflows, epoch))
            if overflow == "pause":
                await session.send("go")
            await session.wait_until(State.BACKOFF)
            # The third was behind the full inbox, and may be lost.
            assert (await session.receive_many())[:2] == ["1", "2"]
    assert len(overflows()) == 3
