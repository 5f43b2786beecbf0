"""Servers of other hands confirm what they have parsed, whatever cuts the link."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import (
    Delivery,
    DeliveryState,
    MemoryStore,
    Outbox,
    Session,
    SQLiteStore,
)
from resilient_ws.testing import assert_no_leaks
from tests.wire.witness import BOTH_LOOPS, watched


if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire

COUNT = 300


def ack_of(message: str | bytes) -> str | None:
    """The echo of a message is its acknowledgement."""
    return str(message).strip()


def cut(session: Session) -> None:
    """Lose the connection without a word, with whatever is on its way."""
    supervisor = session._supervisor
    assert supervisor is not None
    assert supervisor.wire is not None
    assert supervisor.wire._transport is not None
    supervisor.wire._transport.abort()


@BOTH_LOOPS
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("confirm", ["pong", ack_of], ids=["pong", "ack_of"])
async def test_what_is_confirmed_has_arrived(
    any_server: ServerProcess, tmp_path: Path, kind: str, confirm: Any
) -> None:
    store = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "outbox.db")
    outbox = Outbox(store=store, confirm=confirm, resend=True, confirm_interval=0.01)
    sent: list[Delivery] = []
    async with (
        assert_no_leaks(),
        watched(f"{any_server.url}/echo", outbox=outbox) as (session, _),
    ):

        async def sends() -> None:
            for number in range(COUNT):
                sent.append(await session.send(str(number), message_id=str(number)))
                if number % 10 == 0:
                    await asyncio.sleep(0.005)

        async def takes() -> None:
            async for _ in session:
                pass

        sending = asyncio.create_task(sends())
        taking = asyncio.create_task(takes())
        await any_server.received(COUNT // 3)
        if confirm == "pong":
            cut(session)
        else:
            # Whoever acknowledged has taken it; a pong comes before it is logged.
            await any_server.restart()
        await sending
        async with asyncio.timeout(30):
            await asyncio.gather(*[delivery.confirmed() for delivery in sent])
        taking.cancel()
        await asyncio.wait({taking})
    assert {delivery.state for delivery in sent} == {DeliveryState.CONFIRMED}
    arrived = [int(text) for text in await any_server.received(COUNT)]
    assert set(arrived) == set(range(COUNT))
    repeats = len(arrived) - COUNT
    assert repeats <= sum(delivery.transmissions - 1 for delivery in sent)
