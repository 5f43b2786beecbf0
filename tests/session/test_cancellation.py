"""Cancelling a call at any moment loses no message and breaks nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Inbox, Interruption, Outbox, Reconnect
from resilient_ws.testing.scripts import SOON
from tests.record import now


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from resilient_ws import Session
    from resilient_ws.testing import Peer, ScriptedServer

CANCELLATIONS = 1000


class Counting:
    """Sends the numbers from 0 on in uneven chunks, and resets now and then.

    A reset takes what the client has not read; so the server goes on with the next
    number only when it knows what was read: it ends a connection by a close frame.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sent = 0

    async def __call__(self, peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(SOON)
        for _ in range(self.rng.randrange(1, 20)):
            count = self.rng.randrange(0, 8)
            await peer.send(*(str(self.sent + n) for n in range(count)))
            self.sent += count
            await asyncio.sleep(self.rng.choice([0, 0, 0.001, 0.01]))
        await peer.close(1001)


async def cancelled_at_random(
    work: Callable[[], Awaitable[None]], rng: random.Random
) -> int:
    """Run work again and again, cancelling it each time; count the cancellations."""
    count = 0
    while count < CANCELLATIONS:
        task = asyncio.ensure_future(work())
        if rng.random() < 0.5:
            for _ in range(rng.randrange(6)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(rng.choice([0.0005, 0.001, 0.005, 0.02]))
        count += task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return count


async def by_receive(session: Session, taken: list[str | bytes]) -> None:
    while True:
        taken.append(await session.receive())


async def by_iteration(session: Session, taken: list[str | bytes]) -> None:
    async for message in session:
        taken.append(message)  # noqa: PERF401 - a comprehension keeps none when cancelled


async def by_interruptions(session: Session, taken: list[str | bytes]) -> None:
    async for item in session.with_interruptions():
        if not isinstance(item, Interruption):
            taken.append(item)  # noqa: PERF401 - as above


async def by_drops(session: Session, taken: list[str | bytes]) -> None:
    async for item in session.with_interruptions(drops=True):
        if isinstance(item, str | bytes):
            taken.append(item)  # noqa: PERF401 - as above


async def by_many(session: Session, taken: list[str | bytes]) -> None:
    while True:
        taken += await session.receive_many()


async def in_steps(session: Session, taken: list[str | bytes]) -> None:
    # A consumer that is cancelled between messages, too, with the inbox full.
    taken.append(await session.receive())
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    "consume",
    [by_receive, by_iteration, by_interruptions, by_drops, by_many, in_steps],
)
@pytest.mark.parametrize("max_messages", [2, 1024])
async def test_cancelling_the_consumer_loses_and_doubles_nothing(
    server: ScriptedServer,
    consume: Callable[[Session, list[str | bytes]], Awaitable[None]],
    max_messages: int,
) -> None:
    rng = random.Random(max_messages)
    counting = Counting(rng)
    server.play(counting)
    taken: list[str | bytes] = []
    async with resilient_ws.connect(
        server.url(),
        reconnect=Reconnect(wait=wait_fixed(0.3)),
        inbox=Inbox(max_messages=max_messages),
    ) as session:
        count = await cancelled_at_random(lambda: consume(session, taken), rng)
        while len(taken) < counting.sent:
            taken.append(await session.receive())
        assert session.epoch > 1
    assert count >= CANCELLATIONS
    assert taken[: counting.sent] == [str(n) for n in range(counting.sent)]


async def test_a_cancelled_send_is_never_transmitted_and_the_others_once_in_order(
    server: ScriptedServer,
) -> None:
    rng = random.Random(7)

    async def swallow(peer: Peer) -> None:
        """Read by fits and starts, and end in order: what came was all counted."""
        await peer.accept()
        for _ in range(rng.randrange(2, 8)):
            peer.freeze()
            await asyncio.sleep(rng.choice([0.0, 0.01, 0.05]))
            peer.thaw()
            await asyncio.sleep(rng.choice([0.0, 0.001]))
        await peer.close(1001)

    server.play(swallow)
    accepted: list[bytes] = []
    attempts = 0
    cancellations = 0
    async with resilient_ws.connect(
        server.url(),
        outbox=Outbox(max_messages=3, overflow="wait"),
        reconnect=Reconnect(wait=wait_fixed(0.3)),
    ) as session:
        while cancellations < CANCELLATIONS:
            data = str(attempts).encode().ljust(60_000)
            attempts += 1
            task = asyncio.ensure_future(session.send(data))
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(rng.choice([0, 0, 0.0005, 0.01]))
            cancellations += task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                continue
            accepted.append(data)
        await session.close(drain=60)
        assert session.epoch > 1
        assert now() > 0
    # What was written into a connection that ended may be lost with it (at most
    # once), but nothing else may come, nothing twice, and nothing out of order.
    known: Iterator[str | bytes] = iter(accepted)
    assert all(message in known for message in server.received)
    assert len(server.received) > len(accepted) // 2
    assert len(accepted) + cancellations == attempts
