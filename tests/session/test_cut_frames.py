"""A frame that a read cut behind another message, and what ends within it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import resilient_ws
from resilient_ws import ConnectionDropped, ConnectionLost, ProtocolError, Reconnect
from resilient_ws.testing import ScriptedServer
from resilient_ws.testing.frames import message
from resilient_ws.testing.scripts import SOON
from tests.record import of, recorded


if TYPE_CHECKING:
    from resilient_ws.testing import Peer

WRONG = b"\x81\x7e\x00\xc8" + b"\xff" * 199


@pytest.mark.parametrize("ending", ["drop", "reset"])
@pytest.mark.parametrize(
    ("chunks", "because"),
    [
        ([message("before") + WRONG], ProtocolError),
        ([message("before"), WRONG], ProtocolError),
        ([message("before") + message("x" * 200)[:-1]], ConnectionLost),
    ],
    ids=["wrong, in one read", "wrong, in two", "right"],
)
async def test_the_verdict_does_not_depend_on_the_cut(
    chunks: list[bytes], because: type[ConnectionLost], ending: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        for chunk in chunks:
            await asyncio.sleep(SOON)
            await peer.write(chunk)
        await asyncio.sleep(SOON)
        await getattr(peer, ending)()

    async with ScriptedServer(script) as server:
        session = resilient_ws.connect(server.url(), reconnect=Reconnect.once())
        events = recorded(session)
        async with session:
            assert await session.receive() == "before"
            with pytest.raises(ConnectionLost):
                await session.receive()
    (dropped,) = of(events, ConnectionDropped)
    assert type(dropped.because) is because
