"""A hole in the received stream is visible, at its place in the order."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import ConnectionLost, Inbox, Interruption, Reconnect, State
from resilient_ws.inbox import InboxQueue, Message
from resilient_ws.testing.scripts import SOON, closing, feeding, hold, rejecting
from tests.record import of, recorded, turns, until


if TYPE_CHECKING:
    from resilient_ws import Session
    from resilient_ws.testing import Peer, ScriptedServer


async def goodbye(peer: Peer) -> None:
    await asyncio.sleep(SOON)
    await peer.close(1001)


async def items(session: Session, count: int) -> list[object]:
    stream = session.with_interruptions()
    return [await anext(stream) for _ in range(count)]


def session_to(server: ScriptedServer, **inbox: object) -> Session:
    return resilient_ws.connect(
        server.url(),
        reconnect=Reconnect(wait=wait_fixed(1)),
        inbox=Inbox(**inbox),  # type: ignore[arg-type]
    )


async def test_it_stands_between_the_old_epoch_and_the_new(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1", "2", then=goodbye), feeding("3", "4"))
    async with session_to(server) as session:
        # Nothing is read before both epochs are in the inbox.
        await until(lambda: session.statistics().inbox_messages == 4)
        first, second, hole, *rest = await items(session, 5)
    assert [first, second, *rest] == ["1", "2", "3", "4"]
    assert isinstance(hole, Interruption)
    assert (hole.epoch, hole.drops, hole.discarded) == (2, 1, 0)
    assert isinstance(hole.cause, ConnectionLost)
    assert hole.cause.close is not None
    assert hole.cause.close.code == 1001
    assert hole.since <= hole.until


async def test_losses_with_nothing_received_between_are_one_hole(
    server: ScriptedServer,
) -> None:
    server.play(
        feeding("1", then=goodbye),
        closing(1001),
        rejecting(503),
        closing(1011),
        feeding("2", then=goodbye),
        feeding("3"),
    )
    async with session_to(server) as session:
        await until(lambda: session.statistics().inbox_messages == 3)
        one, hole, two, second, three = await items(session, 5)
    assert [one, two, three] == ["1", "2", "3"]
    assert isinstance(hole, Interruption)
    assert (hole.drops, hole.epoch) == (3, 4)
    assert isinstance(hole.cause, ConnectionLost)
    assert hole.cause.close is not None
    assert hole.cause.close.code == 1011
    assert isinstance(second, Interruption)
    assert (second.drops, second.epoch) == (1, 5)


async def test_plain_iteration_and_receive_pass_them_over(
    server: ScriptedServer,
) -> None:
    server.play(
        feeding("1", then=goodbye), feeding("2", then=goodbye), feeding("3", "4")
    )
    taken: list[object] = []
    async with session_to(server) as session:
        taken.append(await session.receive())
        async for message in session:
            taken.append(message)
            if message == "3":
                break
        taken.append(await session.receive())
    assert taken == ["1", "2", "3", "4"]


async def test_it_takes_no_room(server: ScriptedServer) -> None:
    server.play(feeding("1", then=goodbye), feeding("2", "3"))
    async with session_to(server, max_messages=3) as session:
        await until(lambda: session.statistics().inbox_messages == 3)
        one, hole, two, three = await items(session, 4)
    assert [one, two, three] == ["1", "2", "3"]
    assert isinstance(hole, Interruption)


async def test_a_replacement_on_request_is_a_hole_without_a_cause(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1"), feeding("2"))
    async with session_to(server) as session:
        assert await session.receive() == "1"
        session.reconnect("of the weather")
        hole, two = await items(session, 2)
    assert isinstance(hole, Interruption)
    assert (hole.cause, hole.drops, two) == (None, 1, "2")


async def test_drop_oldest_leaves_a_hole_before_what_is_left(
    server: ScriptedServer,
) -> None:
    server.play(feeding(*"0123456789"))
    session = session_to(server, max_messages=3, overflow="drop_oldest")
    events = recorded(session)
    async with session:
        await turns()
        hole, *rest = await items(session, 4)
        assert isinstance(hole, Interruption)
        assert (hole.cause, hole.drops, hole.discarded) == (None, 0, 7)
        assert rest == ["7", "8", "9"]
        assert session.statistics().inbox_discarded == 7
        overflowed = of(events, resilient_ws.InboxOverflowed)
        assert sum(e.discarded for e in overflowed) == 7


async def test_drop_newest_leaves_a_hole_after_what_is_left(
    server: ScriptedServer,
) -> None:
    async def later(peer: Peer) -> None:
        await peer.receive()
        await peer.send("later")
        await peer.ended()

    server.play(feeding(*"0123456789", then=later))
    async with session_to(server, max_messages=3, overflow="drop_newest") as session:
        await turns()
        assert await items(session, 3) == ["0", "1", "2"]
        await session.send("go on")
        hole, message = await items(session, 2)
        assert isinstance(hole, Interruption)
        assert hole.discarded == 7
        assert message == "later"


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_bytes_are_bounded_too(server: ScriptedServer, overflow: str) -> None:
    server.play(feeding("é" * 10, "b" * 10, "c" * 10))
    async with session_to(server, max_bytes=25, overflow=overflow) as session:
        await turns()
        statistics = session.statistics()
        # Twenty bytes and ten, or ten and ten: never thirty.
        discarded = {"drop_oldest": 1, "drop_newest": 2}[overflow]
        assert statistics.inbox_discarded == discarded
        assert statistics.inbox_messages == 3 - discarded


async def test_drop_oldest_across_a_reconnect_merges_both_holes(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1", "2", then=goodbye), feeding("3", "4", "5"))
    async with session_to(server, max_messages=2, overflow="drop_oldest") as session:
        await until(lambda: session.epoch == 2)
        await turns()
        hole, *rest = await items(session, 3)
    assert rest == ["4", "5"]
    assert isinstance(hole, Interruption)
    assert (hole.drops, hole.discarded, hole.epoch) == (1, 3, 2)


async def test_drop_oldest_of_an_epoch_that_is_over_names_that_epoch(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1", "2", then=goodbye), feeding("3"))
    async with session_to(server, max_messages=2, overflow="drop_oldest") as session:
        await until(lambda: session.statistics().messages_received == 3)
        overflow, two, drop, three = await items(session, 4)
    assert (two, three) == ("2", "3")
    assert isinstance(overflow, Interruption)
    assert (overflow.drops, overflow.discarded, overflow.epoch) == (0, 1, 1)
    assert isinstance(drop, Interruption)
    assert (drop.drops, drop.discarded, drop.epoch) == (1, 0, 2)


async def test_a_hole_that_grows_at_its_beginning_lasts_from_first_to_last(
    server: ScriptedServer,
) -> None:
    async def one_by_one(peer: Peer) -> None:
        await peer.accept()
        for text in "1234":
            await peer.send(text)
            await asyncio.sleep(0.01)
        await peer.ended()

    server.play(one_by_one)
    began = time.time()
    async with session_to(server, max_messages=1, overflow="drop_oldest") as session:
        await until(lambda: session.statistics().messages_received == 4)
        ended = time.time()
        hole, four = await items(session, 2)
    assert four == "4"
    assert isinstance(hole, Interruption)
    assert hole.discarded == 3
    assert began <= hole.since < hole.until <= ended


async def test_close_on_overflow_ends_the_connection_and_comes_back(
    server: ScriptedServer,
) -> None:
    server.play(feeding(*"012345"), hold)
    session = session_to(server, max_messages=3, overflow="close")
    events = recorded(session)
    async with session:
        await session.wait_until(State.BACKOFF)
        await session.wait_until(State.OPEN)
        (dropped,) = of(events, resilient_ws.ConnectionDropped)
        assert isinstance(dropped.because, ConnectionLost)
        assert dropped.because.how == "local"
        assert "overflow" in str(dropped.because)
        assert server.peers[0].close_received == (1008, "receiver too slow")
        assert of(events, resilient_ws.InboxOverflowed)
        stream = session.with_interruptions()
        kept = [await anext(stream) for _ in range(3)]
        assert kept == ["0", "1", "2"]


async def test_pause_loses_nothing_and_is_reported(server: ScriptedServer) -> None:
    numbers = [str(n) for n in range(1000)]
    server.play(feeding(*numbers))
    session = session_to(server, max_messages=10)
    events = recorded(session)
    async with session:
        await asyncio.sleep(1)
        assert session.statistics().inbox_messages == 10
        (overflowed,) = of(events, resilient_ws.InboxOverflowed)
        assert (overflowed.overflow, overflowed.discarded) == ("pause", 0)
        assert [await session.receive() for _ in numbers] == numbers


async def test_a_chunk_of_many_times_the_room_is_read_to_its_end(
    server: ScriptedServer,
) -> None:
    numbers = [str(n) for n in range(5000)]

    async def burst(peer: Peer) -> None:
        await peer.receive()
        await peer.send(*numbers)
        await peer.ended()

    server.play(feeding(then=burst))
    async with session_to(server, max_messages=100) as session:
        await session.send("now")
        async with asyncio.timeout(60):
            assert [await session.receive() for _ in numbers] == numbers


async def test_a_hole_of_the_first_epoch_names_it(server: ScriptedServer) -> None:
    server.play(feeding("1", "2"))
    async with session_to(server, max_messages=1, overflow="drop_oldest") as session:
        (hole,) = await items(session, 1)
        assert isinstance(hole, Interruption)
        assert hole.epoch == session.epoch == 1


class Turned(list[Message]):
    """Messages that count how many of them were turned round."""

    touched = 0

    def reverse(self) -> None:
        Turned.touched += len(self)
        super().reverse()


@pytest.mark.parametrize("waiting", [300, 30_000])
async def test_what_is_discarded_turns_what_waits_round_once(
    monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    monkeypatch.setattr(Turned, "touched", 0)
    queue = InboxQueue(
        Inbox(max_messages=waiting, overflow="drop_oldest"),
        loop=asyncio.get_running_loop(),
        wall=time.time,
        report=lambda _: None,
    )
    queue.begin(1)
    queue._arriving = Turned(["x"] * waiting)
    queue.deliver = queue._arriving.append
    queue.arrived(waiting)
    for _ in range(waiting // 2):
        queue.deliver("y")
        queue.arrived(1)
    assert (len(queue), queue.discarded) == (waiting, waiting // 2)
    # With the one that was too many; those that came later are none of it.
    assert Turned.touched == waiting + 1
