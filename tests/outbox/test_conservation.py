"""Whatever happens, each message is in one place: arrived, stored, or reported.

The model: a message is accepted or refused; an accepted one ends in a state, and the
state says whether a server can have seen it, how often, and whether it is on disk.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import (
    DeliveryState,
    Liveness,
    MemoryStore,
    Outbox,
    Reconnect,
    Timeouts,
)
from resilient_ws.testing.scripts import hold, rejecting
from tests.outbox.stores import STORES, inside, new_store


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws import Delivery
    from resilient_ws.testing import Peer, ScriptedServer

SEEDS = 40


def moody(chance: random.Random) -> Any:
    """Accept; read, stall, answer pings or not; and reset some time."""

    async def script(peer: Peer) -> None:
        peer.answers_pings = chance.random() < 0.6
        await peer.accept()
        if chance.random() < 0.3:
            peer.freeze()
        await asyncio.sleep(chance.random() * 3)
        if not peer.gone:
            peer.thaw()
            await peer.reset()

    return script


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize(
    ("confirm", "resend"), [("write", False), ("pong", False), ("pong", True)]
)
async def test_every_message_is_accounted_for(
    server: ScriptedServer, tmp_path: Path, kind: str, confirm: Any, resend: bool
) -> None:
    for seed in range(SEEDS):
        chance = random.Random(seed)
        server.peers.clear()
        scripts = [moody(chance) for _ in range(4)] + [rejecting(503)]
        chance.shuffle(scripts)
        server.play(*scripts, hold)
        folder = tmp_path / str(seed)
        folder.mkdir()
        store = new_store(kind, folder)
        sent = await one_life(server, store, chance, confirm=confirm, resend=resend)
        check(server, store, sent, confirm=confirm, resend=resend)


async def one_life(
    server: ScriptedServer, store: Any, chance: random.Random, **outbox: Any
) -> dict[str, Delivery | None]:
    """Send, cancel, close at random; return the delivery of each accepted message."""
    sent: dict[str, Delivery | None] = {}
    session = resilient_ws.connect(
        server.url(),
        wait_open=False,
        outbox=Outbox(
            store=store,
            max_messages=30,
            max_in_flight=chance.choice([3, 1000]),
            overflow=chance.choice(["raise", "wait", "drop_oldest", "drop_newest"]),
            **outbox,
        ),
        liveness=Liveness(ping_interval=None),
        reconnect=Reconnect(wait=wait_fixed(chance.random() * 2)),
        timeouts=Timeouts(close=0.5),
    )

    async def sends(number: int) -> None:
        text = f"{number}:{'x' * chance.choice([0, 10, 5000])}"
        try:
            sent[text] = await session.send(
                text,
                ttl=chance.choice([None, None, 0.5]),
                only_if_open=chance.random() < 0.1,
            )
        except (resilient_ws.OutboxFull, resilient_ws.SessionClosed):
            sent[text] = None

    async with session:
        tasks = []
        for number in range(100):
            task = asyncio.create_task(sends(number), name=str(number))
            tasks.append(task)
            if chance.random() < 0.2:
                await asyncio.sleep(chance.random() * 0.3)
            if chance.random() < 0.1:
                chance.choice(tasks).cancel()
        await session.close(drain=chance.choice([None, 0]))
    await asyncio.wait(tasks)
    return sent


def check(
    server: ScriptedServer,
    store: Any,
    sent: dict[str, Delivery | None],
    *,
    confirm: str,
    resend: bool,
) -> None:
    arrived = [data for peer in server.peers for data in peer.received]
    stored = [] if isinstance(store, MemoryStore) else inside(store)
    assert all(text in sent for text in [*arrived, *stored])
    for text, delivery in sent.items():
        times, there = arrived.count(text), text in stored
        if delivery is None:
            assert times == 0
            assert not there
            continue
        state = delivery.state
        assert state is not DeliveryState.QUEUED
        assert delivery.stored is there
        assert times <= delivery.transmissions
        assert delivery.transmissions <= (5 if resend else 1)
        if state is DeliveryState.CONFIRMED:
            assert times >= 1
            assert not there
        elif state is DeliveryState.WRITTEN:
            assert confirm == "write"
        else:
            assert delivery.maybe_delivered is (delivery.transmissions > 0)
            if there:
                assert state is DeliveryState.DROPPED
    for peer in server.peers:
        numbers = [int(str(data).partition(":")[0]) for data in peer.received]
        order = [d.sequence for data in peer.received if (d := sent[str(data)])]
        assert order == sorted(order), numbers
