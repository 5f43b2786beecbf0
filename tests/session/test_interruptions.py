"""A hole in the received stream is visible, at its place in the order."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import stop_after_attempt, wait_fixed

import resilient_ws
from resilient_ws import (
    ConnectionDropped,
    ConnectionLost,
    Inbox,
    Interruption,
    Reconnect,
    State,
)
from resilient_ws.inbox.runs import MAX_DROPS
from resilient_ws.testing.scripts import SOON, closing, feeding, hold, rejecting
from tests.record import of, recorded, turns, until


if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilient_ws import Connection, Session
    from resilient_ws.testing import Peer, ScriptedServer

QUICK = Reconnect(wait=wait_fixed(1))


async def goodbye(peer: Peer) -> None:
    await asyncio.sleep(SOON)
    await peer.close(1001)


async def items(session: Session, count: int) -> list[object]:
    stream = session.with_interruptions()
    return [await anext(stream) for _ in range(count)]


def session_to(server: ScriptedServer, **inbox: object) -> Session:
    return resilient_ws.connect(
        server.url(),
        reconnect=QUICK,
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


async def test_reconnect_while_restoring_leaves_the_hole_as_it_was(
    server: ScriptedServer,
) -> None:
    first = True

    async def slow_after_the_first(_: Connection) -> None:
        nonlocal first
        if first:
            first = False
            return
        await asyncio.sleep(1)

    async def drops(peer: Peer) -> None:
        await peer.accept()
        await peer.send("before")
        await asyncio.sleep(5)
        await peer.reset()

    async def feeds(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(5)
        await peer.send("after")
        await peer.ended()

    server.play(drops, feeds)
    async with resilient_ws.connect(
        server.url(), on_open=slow_after_the_first, reconnect=QUICK
    ) as session:
        await session.wait_until(State.BACKOFF)
        await session.wait_until(State.RESTORING)
        session.reconnect("while it is restored")
        items = session.with_interruptions()
        assert await anext(items) == "before"
        hole = await anext(items)
        assert isinstance(hole, Interruption)
        assert isinstance(hole.cause, resilient_ws.ConnectionLost)
        assert hole.drops == 1


async def test_before_the_first_open_connection_there_is_no_hole(
    server: ScriptedServer,
) -> None:
    async def slow(_: Connection) -> None:
        await asyncio.sleep(1)

    async def feeds(peer: Peer) -> None:
        await peer.accept()
        await peer.send("first")
        await peer.ended()

    server.play(feeds)
    session = resilient_ws.connect(
        server.url(), on_open=slow, wait_open=False, reconnect=QUICK
    )
    events = recorded(session)
    async with session:
        await session.wait_until(State.RESTORING)
        session.reconnect("too early")
        await session.wait_until(State.OPEN)
        items = session.with_interruptions()
        assert await anext(items) == "first"
    (opened,) = of(events, resilient_ws.ConnectionOpened)
    assert opened.resumed_after is None


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


async def test_a_pause_of_each_connection_is_reported(server: ScriptedServer) -> None:
    numbers = [str(n) for n in range(50)]

    async def vanish(peer: Peer) -> None:
        await asyncio.sleep(2)
        await peer.drop()

    server.play(feeding(*numbers, then=vanish), feeding(*numbers))
    session = session_to(server, max_messages=10)
    events = recorded(session)
    async with session:
        # The first connection ends while its reading is paused.
        await until(lambda: session.epoch == 2)
        await turns()
        assert len(of(events, resilient_ws.InboxOverflowed)) == 2
        assert [await session.receive() for _ in range(100)] == 2 * numbers
        assert len(of(events, resilient_ws.InboxOverflowed)) == 2


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


# The losses themselves, in their place.


def outline(items: Sequence[object]) -> list[object]:
    """Messages as they are, losses and holes by epoch; of a hole, how many it counts."""
    told: list[object] = []
    for item in items:
        if isinstance(item, ConnectionDropped):
            told.append(("dropped", item.epoch))
        elif isinstance(item, Interruption):
            told.append(("hole", item.epoch, item.drops))
        else:
            told.append(item)
    return told


async def all_items(session: Session, count: int) -> list[object]:
    stream = session.with_interruptions(drops=True)
    return outline([await anext(stream) for _ in range(count)])


async def test_a_loss_is_yielded_when_it_happens_not_at_the_next_open(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1", "2", then=goodbye), rejecting(503), feeding("3"))
    session = session_to(server)
    events = recorded(session)
    async with session:
        stream = session.with_interruptions(drops=True)
        assert [await anext(stream) for _ in range(2)] == ["1", "2"]
        dropped = await anext(stream)
        assert session.state is State.BACKOFF
        assert [dropped] == of(events, ConnectionDropped)
        assert session.message_epoch == 1
        rest = [await anext(stream) for _ in range(2)]
        assert outline(rest) == [("hole", 2, 1), "3"]
        assert session.message_epoch == 2


async def test_a_replaced_connection_ends_in_its_place(server: ScriptedServer) -> None:
    server.play(feeding("1"), feeding("2"))
    session = session_to(server)
    events = recorded(session)
    async with session:
        stream = session.with_interruptions(drops=True)
        assert await anext(stream) == "1"
        session.reconnect("a better one")
        replaced = await anext(stream)
        await until(lambda: of(events, resilient_ws.ConnectionReplaced) == [replaced])
        assert outline([await anext(stream), await anext(stream)]) == [
            ("hole", 2, 1),
            "2",
        ]


async def test_lists_of_messages_come_with_what_stands_between_them(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1", "2", then=goodbye), rejecting(503), feeding("3", "4"))
    async with session_to(server) as session:
        told: list[object] = []
        while told[-2:] != ["3", "4"]:
            item = await session.receive_many(interruptions=True)
            told += item if isinstance(item, list) else outline([item])
        assert told == ["1", "2", ("dropped", 1), ("hole", 2, 1), "3", "4"]
        assert session.message_epoch == 2


async def test_a_loss_names_its_session_without_a_callback(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1", then=goodbye), hold)
    async with resilient_ws.connect(server.url(), name="kitchen") as session:
        stream = session.with_interruptions(drops=True)
        assert await anext(stream) == "1"
        dropped = await anext(stream)
        assert isinstance(dropped, ConnectionDropped)
        assert dropped.session == "kitchen"


async def test_a_loss_stands_behind_what_had_arrived(server: ScriptedServer) -> None:
    server.play(feeding("1", "2", then=goodbye), feeding("3", then=goodbye), hold)
    async with session_to(server) as session:
        await until(lambda: session.epoch == 3)
        assert await all_items(session, 6) == [
            "1",
            "2",
            ("hole", 2, 1),  # of the losses before the first call, the newest alone
            "3",
            ("dropped", 2),
            ("hole", 3, 1),
        ]


async def test_a_loss_in_one_packet_with_the_handshake_is_yielded(
    server: ScriptedServer,
) -> None:
    async def at_once(peer: Peer) -> None:
        await peer.close(1001)

    server.play(feeding("1", then=at_once), feeding("2"))
    async with session_to(server) as session:
        assert await all_items(session, 4) == [
            "1",
            ("dropped", 1),
            ("hole", 2, 1),
            "2",
        ]


async def test_losses_with_nothing_between_are_each_yielded(
    server: ScriptedServer,
) -> None:
    server.play(feeding("1", then=goodbye), closing(1001), closing(1011), feeding("2"))
    async with session_to(server, max_messages=2) as session:
        stream = session.with_interruptions(drops=True)
        await until(lambda: session.statistics().inbox_messages == 2)
        assert outline([await anext(stream) for _ in range(6)]) == [
            "1",
            ("dropped", 1),
            ("dropped", 2),
            ("dropped", 3),
            ("hole", 4, 3),
            "2",
        ]


async def test_other_consumers_pass_losses_over(server: ScriptedServer) -> None:
    server.play(
        feeding("1", then=goodbye),
        closing(1001),
        feeding("2", then=goodbye),
        feeding("3"),
    )
    async with session_to(server) as session:
        session.with_interruptions(drops=True)
        await until(lambda: session.statistics().inbox_messages == 3)
        assert await session.receive() == "1"
        first = await items(session, 2)
        assert outline(first) == [("hole", 3, 2), "2"]
        assert await session.receive_many() == ["3"]


async def test_a_thousand_unread_losses_are_bounded_and_counted(
    server: ScriptedServer,
) -> None:
    server.play(feeding("first", then=goodbye), *[closing(1001)] * 999, feeding("last"))
    async with session_to(server) as session:
        stream = session.with_interruptions(drops=True)
        await until(lambda: session.epoch == 1001, within=3600)
        await turns()
        told = outline([await anext(stream) for _ in range(MAX_DROPS + 3)])
        assert told == [
            "first",
            *(("dropped", 1001 - n) for n in range(MAX_DROPS, 0, -1)),
            ("hole", 1001, 1000),
            "last",
        ]
        assert session.statistics().events_discarded == 1000 - MAX_DROPS


@pytest.mark.parametrize(
    ("overflow", "told"),
    [
        ("drop_oldest", [("dropped", 1), ("hole", 2, 1), "4", "5"]),
        ("drop_newest", ["1", "2", ("dropped", 1), ("hole", 2, 1)]),
    ],
)
async def test_a_loss_among_what_is_discarded_is_yielded(
    server: ScriptedServer, overflow: str, told: list[object]
) -> None:
    server.play(feeding("1", "2", then=goodbye), feeding("3", "4", "5"))
    async with session_to(server, max_messages=2, overflow=overflow) as session:
        stream = session.with_interruptions(drops=True)
        await until(lambda: session.epoch == 2)
        await turns()
        taken = [await anext(stream) for _ in range(4)]
        assert outline(taken) == told
        assert sum(i.discarded for i in taken if isinstance(i, Interruption)) == 3


async def test_drops_is_true_or_false(server: ScriptedServer) -> None:
    wrong: Any = "yes"
    async with session_to(server) as session:
        with pytest.raises(TypeError, match="drops"):
            session.with_interruptions(drops=wrong)


# All that is there.


async def test_all_that_is_there_at_least_one(server: ScriptedServer) -> None:
    server.play(feeding("1", "2", "3"))
    async with session_to(server) as session:
        assert await session.receive_many() == ["1", "2", "3"]
        waiting = asyncio.create_task(session.receive_many())
        await asyncio.sleep(1)
        assert not waiting.done()
        await server.peer.send("4")
        assert await waiting == ["4"]
        await server.peer.send(*map(str, range(5)))
        await turns()
        assert await session.receive() == "0"
        assert await session.receive_many() == ["1", "2", "3", "4"]
        assert session.statistics().inbox_messages == 0


async def test_all_that_is_there_includes_what_came_behind_a_run_that_was_begun(
    server: ScriptedServer,
) -> None:
    async with session_to(server) as session:
        await server.peer.send("1", "2", "3")
        await turns()
        assert await session.receive() == "1"
        await server.peer.send("4", "5")
        await turns()
        assert await session.receive_many() == ["2", "3", "4", "5"]
        assert session.statistics().inbox_messages == 0


async def test_all_that_is_there_is_of_one_connection(server: ScriptedServer) -> None:
    server.play(
        feeding("1", "2", then=goodbye), closing(1001), feeding("3", then=goodbye), hold
    )
    async with session_to(server) as session:
        await until(lambda: session.epoch == 4)
        assert await session.receive_many() == ["1", "2"]
        assert session.message_epoch == 1
        assert await session.receive_many() == ["3"]
        assert (session.message_epoch, session.epoch) == (3, 4)


async def test_taking_all_makes_room(server: ScriptedServer) -> None:
    numbers = [str(n) for n in range(1000)]
    server.play(feeding(*numbers))
    taken: list[str | bytes] = []
    async with session_to(server, max_messages=10) as session:
        while len(taken) < 1000:
            many = await session.receive_many()
            assert 1 <= len(many) <= 10
            taken += many
    assert taken == numbers


async def test_all_that_is_there_ends_as_receive_does(server: ScriptedServer) -> None:
    server.play(feeding("1", "2", then=goodbye), rejecting(404))
    async with resilient_ws.connect(
        server.url(),
        reconnect=Reconnect(wait=wait_fixed(1), stop=stop_after_attempt(1)),
    ) as session:
        with pytest.raises(resilient_ws.ResilientWSError) as failed:
            await session.wait_closed()
        assert await session.receive_many() == ["1", "2"]
        for _ in range(2):
            with pytest.raises(type(failed.value)) as caught:
                await session.receive_many()
            assert caught.value is failed.value
    server.play(hold)
    async with session_to(server) as session:
        await session.close()
        with pytest.raises(resilient_ws.SessionClosed):
            await session.receive_many()


async def test_inside_on_open_it_is_refused(server: ScriptedServer) -> None:
    refused: list[str] = []

    async def on_open(_: resilient_ws.Connection) -> None:
        with pytest.raises(RuntimeError, match="on_open") as caught:
            await session.receive_many()
        refused.append(str(caught.value))

    session = resilient_ws.connect(server.url(), on_open=on_open)
    async with session:
        assert len(refused) == 1
