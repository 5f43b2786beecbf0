"""Servers of other hands confirm what they have parsed, whatever cuts the link."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
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
from resilient_ws.testing import Cut, FaultProxy, assert_no_leaks
from tests.servers.daemons import Nginx
from tests.servers.process import HOST
from tests.wire.recipients import RECIPIENTS, Recipient, recipient
from tests.wire.witness import BOTH_LOOPS, eventually, watched


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
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


#: So many connections are cut, each at a byte that was drawn; the next one is not.
CUTS = 6


def cuts(seed: str) -> list[Cut]:
    """Where the link breaks: in handshakes, in messages, in pongs and in between."""
    rng = random.Random(seed)
    bytes_passed = {"up": (100, 3000), "down": (50, 800)}
    return [
        Cut(
            rng.randrange(*bytes_passed[direction]),
            direction,
            rng.choice(("reset", "drop")),
        )
        for direction in rng.choices(("up", "down"), k=CUTS)
    ]


@contextlib.asynccontextmanager
async def road(peer: Recipient, way: str, folder: Path) -> AsyncIterator[Any]:
    """A way to a server with a proxy on it that breaks; its URL, and the proxy."""
    port = peer.server.port
    async with contextlib.AsyncExitStack() as stack:
        if way == "before nginx":
            nginx = await stack.enter_async_context(Nginx(folder, port))
            port = nginx.port
        proxy = await stack.enter_async_context(FaultProxy(HOST, port))
        url = proxy.url()
        if way == "behind nginx":
            nginx = await stack.enter_async_context(Nginx(folder, proxy.port))
            url = nginx.url
        yield url + peer.path, proxy


@pytest.mark.parametrize("resend", [False, True], ids=["once", "again"])
@pytest.mark.parametrize("way", ["direct", "before nginx", "behind nginx"])
@pytest.mark.parametrize("name", RECIPIENTS)
async def test_a_pong_tells_the_truth_wherever_the_link_is_cut(
    tmp_path: Path, name: str, way: str, resend: bool
) -> None:
    outbox = Outbox(
        confirm="pong",
        resend=resend,
        confirm_interval=0.01,
        max_transmissions=2 * CUTS,
        overflow="wait",
    )
    sent: dict[str, Delivery] = {}
    async with (
        assert_no_leaks(),
        asyncio.timeout(60),
        recipient(name, tmp_path) as peer,
        road(peer, way, tmp_path) as (url, proxy),
    ):
        proxy.play(*cuts(f"{name} {way} {resend}"))
        async with watched(url, outbox=outbox, **peer.options) as (session, _):
            while proxy.accepted <= CUTS or len(sent) < COUNT:
                text = f"reading {len(sent)}"
                sent[text] = await session.send(peer.message(text))
                await asyncio.sleep(0.001)
            await asyncio.gather(
                *[delivery.confirmed() for delivery in sent.values()],
                return_exceptions=True,
            )
        by_state = collections.defaultdict[DeliveryState, set[str]](set)
        for text, delivery in sent.items():
            by_state[delivery.state].add(text)
        confirmed = by_state.pop(DeliveryState.CONFIRMED)
        await eventually(lambda: confirmed <= set(peer.arrived()))
        arrived = collections.Counter(peer.arrived())
    if resend:
        assert confirmed == set(sent)
        assert any(delivery.transmissions > 1 for delivery in sent.values())
    else:
        lost = by_state.pop(DeliveryState.FAILED)
        assert all(sent[text].maybe_delivered for text in lost)
        assert len(lost) >= 1
    assert not by_state
    for text, times in arrived.items():
        assert times <= sent[text].transmissions, text
