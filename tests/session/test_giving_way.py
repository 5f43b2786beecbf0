"""A consumer that always finds a message does not keep the loop to itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import resilient_ws
from resilient_ws import Inbox, MessageReceived
from resilient_ws.inbox.queue import MAX_AT_ONCE
from resilient_ws.inbox.unread import MAX_PAGE
from resilient_ws.testing.scripts import feeding
from tests.record import until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws import Session
    from resilient_ws.testing import ScriptedServer

COUNT = 5 * MAX_AT_ONCE
#: What one turn may take: up to the bound, and the page that passes it.
BOUND = MAX_AT_ONCE + MAX_PAGE


async def received(session: Session) -> AsyncIterator[object]:
    while True:
        yield await session.receive()


def iterated(session: Session) -> AsyncIterator[object]:
    return aiter(session)


def with_holes(session: Session) -> AsyncIterator[object]:
    return session.with_interruptions()


class Turns:
    """Counts what is taken in each turn of the loop."""

    def __init__(self) -> None:
        self.taken = [0]
        self._loop = asyncio.get_running_loop()
        self._next()

    def _next(self) -> None:
        self.taken.append(0)
        self._handle = self._loop.call_soon(self._next)

    def note(self) -> None:
        self.taken[-1] += 1

    def stop(self) -> None:
        self._handle.cancel()


async def filled(server: ScriptedServer, *, overflow: Any = "pause") -> Session:
    """A session, not entered, that finds all messages in its inbox when it reads."""
    server.play(feeding(*map(str, range(COUNT))))
    return resilient_ws.connect(
        server.url(), inbox=Inbox(max_messages=2 * COUNT, overflow=overflow)
    )


@pytest.mark.parametrize("consume", [received, iterated, with_holes])
@pytest.mark.parametrize("overflow", ["pause", "drop_oldest"])
async def test_others_have_their_turn_while_messages_are_there(
    server: ScriptedServer, consume: Any, overflow: str
) -> None:
    session = await filled(server, overflow=overflow)
    async with session:
        await until(lambda: session.statistics().inbox_messages == COUNT)
        turns, found = Turns(), list[object]()
        stream = consume(session)
        while len(found) < COUNT:
            found.append(await anext(stream))
            turns.note()
        turns.stop()
    assert found == [str(number) for number in range(COUNT)]
    assert max(turns.taken) <= BOUND
    # And no more often than that: it costs a turn of the loop each time.
    assert len(turns.taken) < 10 * COUNT / MAX_AT_ONCE


async def test_others_have_their_turn_while_a_plain_callback_takes_messages(
    server: ScriptedServer,
) -> None:
    session, found = await filled(server), list[object]()
    async with session:
        await until(lambda: session.statistics().inbox_messages == COUNT)
        turns, done = Turns(), asyncio.Event()

        @session.on(MessageReceived)
        def take(event: MessageReceived) -> None:
            found.append(event.data)
            turns.note()
            if len(found) == COUNT:
                done.set()

        await done.wait()
        turns.stop()
    assert found == [str(number) for number in range(COUNT)]
    assert max(turns.taken) <= BOUND


async def test_to_be_cancelled_while_giving_way_loses_nothing(
    server: ScriptedServer,
) -> None:
    session, found, cancelled = await filled(server), list[object](), 0
    async with session:
        await until(lambda: session.statistics().inbox_messages == COUNT)
        while len(found) < COUNT:
            try:
                async with asyncio.timeout(0):
                    # It returns in its first step, or waits and is cancelled.
                    found.append(await session.receive())
            except TimeoutError:
                cancelled += 1
    assert found == [str(number) for number in range(COUNT)]
    assert 0 < cancelled < COUNT // 100


async def test_a_second_consumer_is_refused_while_the_first_gives_way(
    server: ScriptedServer,
) -> None:
    session = await filled(server)
    async with session:
        await until(lambda: session.statistics().inbox_messages == COUNT)

        async def take_all() -> None:
            for _ in range(COUNT):
                await session.receive()

        first = asyncio.create_task(take_all())
        await asyncio.sleep(0)
        assert not first.done()
        with pytest.raises(RuntimeError, match="one consumer"):
            await take_all()
        await first


async def test_whoever_takes_many_gets_all_of_a_run_that_was_begun(
    server: ScriptedServer,
) -> None:
    session = await filled(server)
    async with session:
        await until(lambda: session.statistics().inbox_messages == COUNT)
        assert await session.receive() == "0"
        found = await session.receive_many()
        assert found == [str(number) for number in range(1, COUNT)]
        assert session.statistics().inbox_messages == 0
