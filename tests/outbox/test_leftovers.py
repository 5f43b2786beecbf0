"""After a restart, a kill or a crash, the outbox goes on where it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import DeliveryState, Liveness, Outbox, Reconnect, SQLiteStore, State
from resilient_ws.testing.scripts import hold, rejecting
from tests.outbox.conftest import EPOCH
from tests.outbox.picky import ack_of, picky, reading, resetting
from tests.outbox.refusals import offline
from tests.outbox.stores import beside, crashed, inside, pending
from tests.record import of, recorded, until


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws import Session
    from resilient_ws.testing import Peer, ScriptedServer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def online(server: ScriptedServer, store: SQLiteStore, **outbox: Any) -> Session:
    if outbox.get("confirm") == "pong":
        outbox.setdefault("confirm_interval", 0.01)
    return resilient_ws.connect(
        server.url(),
        outbox=Outbox(store=store, **outbox),
        liveness=Liveness(ping_interval=None),
        reconnect=Reconnect(wait=wait_fixed(1)),
    )


async def mute(peer: Peer) -> None:
    """Accept, take everything, and answer no ping."""
    peer.answers_pings = False
    await peer.accept()
    await peer.ended()


async def test_what_a_session_leaves_the_next_one_sends(
    server: ScriptedServer, path: Path
) -> None:
    store = SQLiteStore(path)
    async with offline(server, store) as session:
        for number in range(10):
            await session.send(str(number), message_id=f"id{number}")
        await session.close(drain=0)
    assert inside(store) == [str(n) for n in range(10)]
    assert beside(path) == {"-reserve"}
    server.play(hold)
    async with online(server, SQLiteStore(path)) as session:
        await session.send("newer")
    assert server.received == [*[str(n) for n in range(10)], "newer"]
    assert inside(store) == []


async def test_what_is_left_is_outstanding_from_the_start(
    server: ScriptedServer, path: Path
) -> None:
    store = SQLiteStore(path)
    async with offline(server, store, ttl=1000) as session:
        first = await session.send(b"bytes", message_id="mine")
    async with offline(server, store) as session:
        (again,) = session.outstanding()
        assert again.message_id == "mine"
        assert again.size == 5
        assert again.accepted_at == first.accepted_at
        assert again.expires_at == first.expires_at
        assert again.state is DeliveryState.QUEUED
        assert again.stored
        assert session.statistics().outbox_messages == 1
        newer = await session.send("x")
        assert newer.sequence > again.sequence == first.sequence


async def test_accepted_is_on_disk(server: ScriptedServer, path: Path) -> None:
    async with offline(server, SQLiteStore(path)) as session:
        for number in range(20):
            await session.send(str(number))
            left = crashed(path, path.with_name(f"{number}.db"))
            assert inside(left) == [str(n) for n in range(number + 1)]


async def test_at_most_once_is_off_the_disk_before_it_is_written(
    server: ScriptedServer, path: Path, tmp_path: Path
) -> None:
    found: list[list[str | bytes]] = []

    async def looks(peer: Peer) -> None:
        await peer.accept()
        for number in range(20):
            assert await peer.receive() == str(number)
            found.append(inside(crashed(path, tmp_path / f"{number}.db")))
        await peer.ended()

    server.play(looks)
    async with online(server, SQLiteStore(path)) as session:
        for number in range(20):
            await session.send(str(number))
        await until(lambda: len(found) == 20)
    for number, left in enumerate(found):
        assert str(number) not in left


async def test_at_least_once_is_on_disk_until_it_is_confirmed(
    server: ScriptedServer, path: Path, tmp_path: Path
) -> None:
    server.play(mute)
    store = SQLiteStore(path)
    async with online(server, store, confirm="pong", resend=True) as session:
        delivery = await session.send("x", message_id="mine")
        await until(lambda: server.peer.received == ["x"])
        killed = crashed(path, tmp_path / "killed.db")
        (message,) = killed.pending()
        assert (message.data, message.message_id) == ("x", "mine")
        assert message.transmissions == 1
        assert delivery.state is DeliveryState.WRITTEN
        await session.close()
        assert delivery.stored
        assert delivery.maybe_delivered
    server.play(hold)
    async with online(server, killed, confirm="pong", resend=True) as session:
        (again,) = session.outstanding()
        await again.confirmed()
        assert again.message_id == "mine"
        assert again.transmissions == 2
    assert inside(killed) == []
    assert server.received == ["x", "x"]


async def test_what_counts_against_a_message_counts_across_restarts(
    server: ScriptedServer, path: Path
) -> None:
    server.play(picky([], answer="pong", accused=resetting))
    poison = reading(0, poison=True)
    outbox = {"confirm": "pong", "resend": True, "max_transmissions": 3}
    async with online(server, SQLiteStore(path), **outbox) as session:
        await session.send(poison, message_id="x")
        # The first end may have had any reason; the second counts.
        await until(lambda: len(server.received) == 2)
        await session.wait_until(State.BACKOFF)
    (left,) = SQLiteStore(path).pending()
    assert (left.transmissions, left.accused) == (2, 1)
    session = online(server, SQLiteStore(path), **outbox)
    events = recorded(session)
    async with session:
        await until(lambda: session.outstanding() == [])
        await session.wait_until(State.OPEN)
    (failed,) = of(events, resilient_ws.DeliveryFailed)
    assert failed.state is DeliveryState.FAILED
    assert failed.message_id == "x"
    assert failed.maybe_delivered
    assert server.received == [poison] * 4
    assert inside(SQLiteStore(path)) == []


async def test_at_most_once_sends_nothing_again_that_another_setting_had_sent(
    server: ScriptedServer, path: Path
) -> None:
    server.play(mute)
    async with online(
        server, SQLiteStore(path), confirm="pong", resend=True, max_in_flight=1
    ) as session:
        await session.send("written")
        await session.send("not written")
        await asyncio.sleep(1)
    server.play(hold)
    session = online(server, SQLiteStore(path))
    events = recorded(session)
    async with session:
        await asyncio.sleep(1)
    assert server.received == ["written", "not written"]
    (failed,) = of(events, resilient_ws.DeliveryFailed)
    assert failed.maybe_delivered


async def test_what_has_no_id_is_written_where_acknowledgements_need_one(
    server: ScriptedServer, path: Path
) -> None:
    """What an earlier session left is not waited for: nothing could name it."""
    async with offline(server, SQLiteStore(path), confirm="pong", resend=True) as old:
        for number in range(6):
            name = None if number % 2 else str(number)
            await old.send(reading(number), message_id=name)
        await old.close(drain=0)
    taken: list[str] = []
    server.play(picky(taken, answer="ack", accused=resetting))
    store = SQLiteStore(path)
    async with online(
        server, store, confirm=ack_of, resend=True, max_in_flight=2
    ) as session:
        left = session.outstanding()
        await until(lambda: not session.outstanding())
        assert [d.state.value for d in left] == ["confirmed", "written"] * 3
    assert taken == [str(number) for number in range(6)]
    assert inside(store) == []


@pytest.mark.parametrize("confirm", ["pong", lambda _: None])
async def test_at_most_once_tells_what_was_on_its_way_at_a_kill(
    server: ScriptedServer, path: Path, tmp_path: Path, confirm: Any
) -> None:
    server.play(mute)
    async with online(
        server, SQLiteStore(path), confirm=confirm, max_in_flight=1
    ) as session:
        await session.send("on its way", message_id="1")
        await session.send("waits", message_id="2")
        await until(lambda: server.received == ["on its way"])
        left = crashed(path, tmp_path / "killed.db")
        await session.close(drain=0)
    server.play(hold)
    session = online(server, left, confirm=confirm)
    events = recorded(session)
    async with session:
        await until(lambda: server.received == ["on its way", "waits"])
        (failed,) = of(events, resilient_ws.DeliveryFailed)
        assert (failed.message_id, failed.state) == ("1", DeliveryState.FAILED)
        assert failed.maybe_delivered
        await session.close(drain=0)


async def test_at_most_once_keeps_nothing_that_is_confirmed(
    server: ScriptedServer, path: Path
) -> None:
    server.play(hold)
    store = SQLiteStore(path)
    async with online(server, store, confirm="pong") as session:
        delivery = await session.send("x")
        await delivery.confirmed()
    assert list(store.pending()) == []
    assert not delivery.stored


async def test_a_ttl_goes_on_while_nothing_runs(
    server: ScriptedServer, path: Path
) -> None:
    async with offline(server, SQLiteStore(path)) as session:
        await session.send("stale", ttl=100, message_id="stale")
        await session.send("fresh", ttl=1000)
    (stale, fresh) = SQLiteStore(path).pending()
    assert stale.expires_at == pytest.approx(EPOCH + 100)
    assert fresh.expires_at == pytest.approx(EPOCH + 1000)
    await asyncio.sleep(500)
    server.play(hold)
    session = online(server, SQLiteStore(path))
    events = recorded(session)
    async with session:
        await asyncio.sleep(1)
    assert server.received == ["fresh"]
    (expired,) = of(events, resilient_ws.DeliveryFailed)
    assert expired.state is DeliveryState.EXPIRED
    assert expired.message_id == "stale"
    assert not expired.maybe_delivered


async def test_only_if_open_does_not_outlive_its_session(
    server: ScriptedServer, path: Path, tmp_path: Path
) -> None:
    server.play(mute)
    async with online(
        server, SQLiteStore(path), confirm="pong", max_in_flight=1
    ) as session:
        await session.send("first")
        await session.send("now or never", only_if_open=True)
        await session.send("third")
        left = crashed(path, tmp_path / "killed.db")
        await session.close(drain=0)
    server.play(hold)
    session = online(server, left)
    events = recorded(session)
    async with session:
        await asyncio.sleep(1)
    assert server.received == ["first", "third"]
    failed, dropped = of(events, resilient_ws.DeliveryFailed)
    assert failed.state is DeliveryState.FAILED
    assert failed.maybe_delivered
    assert dropped.state is DeliveryState.DROPPED


@pytest.mark.parametrize("state", ["EXPIRED", "DROPPED"])
async def test_what_was_reported_lost_is_lost_after_a_crash(
    server: ScriptedServer, path: Path, tmp_path: Path, state: str
) -> None:
    reported: list[tuple[str | None, SQLiteStore]] = []

    def look(event: resilient_ws.DeliveryFailed) -> None:
        left = crashed(path, tmp_path / "after" / f"{len(reported)}.db")
        reported.append((event.message_id, left))

    session = offline(server, SQLiteStore(path), max_messages=3, overflow="drop_oldest")
    session.on(resilient_ws.DeliveryFailed, look)
    async with session:
        for number in range(6):
            ttl = None if state == "DROPPED" else 1 + number
            await session.send("x", message_id=str(number), ttl=ttl)
        await until(lambda: len(reported) == (3 if state == "DROPPED" else 6))
    for message_id, left in reported:
        assert message_id not in [message.message_id for message in pending(left)]


async def test_a_cancelled_send_is_not_on_disk_when_it_is_cancelled(
    server: ScriptedServer, path: Path, tmp_path: Path
) -> None:
    async with offline(server, SQLiteStore(path)) as session:
        for turns in range(40):
            sending = asyncio.create_task(session.send(f"cancelled {turns}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait({sending})
            left = crashed(path, tmp_path / "killed" / f"{turns}.db")
            there = f"cancelled {turns}" in inside(left)
            assert there is not sending.cancelled()


async def test_a_session_that_gives_up_leaves_the_store_to_the_next(
    server: ScriptedServer, path: Path
) -> None:
    server.play(rejecting(404))
    session = resilient_ws.connect(
        server.url(), wait_open=False, outbox=Outbox(store=SQLiteStore(path))
    )
    async with session:
        delivery = await session.send("kept")
        await session.wait_until(State.CLOSED)
    assert session.failure is not None
    with pytest.raises(resilient_ws.DeliveryError, match="next session"):
        await delivery.confirmed()
    assert inside(SQLiteStore(path)) == ["kept"]
