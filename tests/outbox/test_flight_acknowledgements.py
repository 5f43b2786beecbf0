"""An application's own acknowledgement confirms by the id of the message."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import DeliveryState, Liveness, MemoryStore, Outbox, Reconnect, State
from tests.outbox.stores import STORES, inside, new_store
from tests.record import now, of, recorded, turns, until


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws import Session
    from resilient_ws.testing import Peer, ScriptedServer

CONFIRMED, FAILED = DeliveryState.CONFIRMED, DeliveryState.FAILED
WRITTEN, QUEUED = DeliveryState.WRITTEN, DeliveryState.QUEUED


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Each store in turn."""
    return new_store(request.param, tmp_path)


def ack_of(message: str | bytes) -> str | None:
    """Read ``{"ack": id}``; anything else is none."""
    found: str | None = json.loads(message).get("ack")
    return found


def acknowledged(server: ScriptedServer, store: Any, **outbox: Any) -> Session:
    outbox.setdefault("confirm", ack_of)
    return resilient_ws.connect(
        server.url(),
        outbox=Outbox(store=store, **outbox),
        reconnect=Reconnect(wait=wait_fixed(1)),
    )


async def ack(peer: Peer, message_id: object) -> None:
    await peer.send(json.dumps({"ack": message_id}))


@pytest.mark.parametrize("delivered", [False, True])
async def test_an_acknowledgement_confirms_and_reaches_whoever_asks_for_it(
    server: ScriptedServer, store: Any, delivered: bool
) -> None:
    async with acknowledged(server, store, deliver_acks=delivered) as session:
        first = await session.send("first", message_id="1")
        second = await session.send("second", message_id="2")
        await until(lambda: len(server.peer.received) == 2)
        assert first.state is second.state is WRITTEN
        # Pongs confirm nothing here, nor does an order that is not that of sending.
        assert server.peer.pings == []
        await ack(server.peer, "2")
        await second.confirmed()
        assert first.state is WRITTEN
        assert session.outstanding() == [first]
        await ack(server.peer, "1")
        await first.confirmed()
        await server.peer.send('{"news": 1}')
        heard = [await session.receive() for _ in range(3 if delivered else 1)]
        acks = ['{"ack": "2"}', '{"ack": "1"}'] if delivered else []
        assert heard == [*acks, '{"news": 1}']


async def test_nobody_needs_to_read_for_acknowledgements_to_be_heard(
    server: ScriptedServer, store: Any
) -> None:
    async def taking(peer: Peer) -> None:
        await peer.accept()
        while True:
            message = json.loads(await peer.receive())
            await ack(peer, message["id"])

    server.play(taking)
    async with acknowledged(server, store) as session:
        for number in range(1500):
            text = json.dumps({"id": str(number)})
            await session.send(text, message_id=str(number))
        await until(lambda: not session.outstanding())
        assert session.statistics().inbox_messages == 0


async def test_an_acknowledgement_of_nothing_known_ends_there_too(
    server: ScriptedServer, store: Any
) -> None:
    async with acknowledged(server, store) as session:
        delivery = await session.send("x", message_id="x")
        await until(lambda: server.peer.received)
        await ack(server.peer, "unknown")
        await server.peer.send("{}")
        assert await session.receive() == "{}"
        assert delivery.state is WRITTEN
        await ack(server.peer, "x")
        await delivery.confirmed()


async def test_one_message_may_go_without_an_acknowledgement(
    server: ScriptedServer, store: Any
) -> None:
    async with acknowledged(server, store, resend=True, max_in_flight=2) as session:
        sent = [await session.send("PUBACK", confirm="write") for _ in range(20)]
        asked = await session.send("asked", message_id="1")
        await sent[-1].confirmed()
        assert {delivery.state for delivery in sent} == {WRITTEN}
        assert {delivery.settled for delivery in sent} == {True}
        await until(lambda: len(server.peer.received) == 21)
        assert session.outstanding() == [asked]
        await ack(server.peer, "1")
        await asked.confirmed()
        assert session.statistics().outbox_unconfirmed == 0
    assert server.received == ["PUBACK"] * 20 + ["asked"]
    if not isinstance(store, MemoryStore):
        assert inside(store) == []


async def test_one_that_goes_without_is_not_sent_again(
    server: ScriptedServer, store: Any
) -> None:
    async with acknowledged(server, store, resend=True) as session:
        await session.send("PUBACK", confirm="write")
        asked = await session.send("asked", message_id="1")
        await until(lambda: len(server.peer.received) == 2)
        await server.peer.reset()
        await server.arrivals(2)
        await until(lambda: server.peer.received)
        await ack(server.peer, "1")
        await asked.confirmed()
    assert server.received == ["PUBACK", "asked", "asked"]


@pytest.mark.parametrize("confirm", ["pong", "", None, True, ["write"]])
async def test_the_confirm_of_one_message_is_write_or_nothing(
    server: ScriptedServer, store: Any, confirm: Any
) -> None:
    async with acknowledged(server, store) as session:
        if confirm is None:
            with pytest.raises(ValueError, match="message_id is needed"):
                await session.send("x")
        else:
            with pytest.raises(ValueError, match="confirm must be 'write' or None"):
                await session.send("x", message_id="x", confirm=confirm)


async def test_a_pong_is_no_acknowledgement(server: ScriptedServer, store: Any) -> None:
    async with resilient_ws.connect(
        server.url(),
        outbox=Outbox(store=store, confirm=ack_of),
        liveness=Liveness(ping_interval=1),
    ) as session:
        delivery = await session.send("x", message_id="x")
        await asyncio.sleep(5)
        assert server.peer.pings
        assert delivery.state is WRITTEN
        await ack(server.peer, "x")
        await delivery.confirmed()


async def test_an_id_is_needed(server: ScriptedServer, store: Any) -> None:
    async with acknowledged(server, store) as session:
        with pytest.raises(
            ValueError, match=r"message_id is needed, because Outbox\.confirm"
        ):
            await session.send("x")


@pytest.mark.parametrize(
    "answer",
    ['{"ack": null}', "{}"],
    ids=["null", "none"],
)
async def test_what_acknowledges_nothing_confirms_nothing(
    server: ScriptedServer, store: Any, answer: str
) -> None:
    async with acknowledged(server, store) as session:
        delivery = await session.send("x", message_id="x")
        await until(lambda: server.peer.received)
        await server.peer.send(answer)
        assert await session.receive() == answer
        assert delivery.state is WRITTEN
        await session.close(drain=0)
        assert delivery.state is FAILED


async def test_an_ack_of_that_fails_is_reported_and_confirms_nothing(
    server: ScriptedServer, store: Any
) -> None:
    async with acknowledged(server, store) as session:
        events = recorded(session)
        delivery = await session.send("x", message_id="7")
        await until(lambda: server.peer.received)
        await server.peer.send("no JSON")
        await ack(server.peer, 7)
        # What is no acknowledgement for all that is known is the user's.
        assert await session.receive() == "no JSON"
        assert await session.receive() == '{"ack": 7}'
        assert delivery.state is WRITTEN
        await ack(server.peer, "7")
        await delivery.confirmed()
        await turns()
    failed = of(events, resilient_ws.HandlerFailed)
    assert [(e.handler, type(e.because)) for e in failed] == [
        ("ack_of", json.JSONDecodeError),
        ("ack_of", TypeError),
    ]
    assert "int" in str(failed[1].because)


async def test_fatal_from_ack_of_ends_the_session(
    server: ScriptedServer, store: Any
) -> None:
    def refuses(_: str | bytes) -> str | None:
        raise resilient_ws.Fatal("enough")

    async with acknowledged(server, store, confirm=refuses) as session:
        await server.peer.send("x")
        with pytest.raises(resilient_ws.Fatal, match="enough"):
            await session.wait_closed()


async def test_resent_until_acknowledged_and_late_acknowledgements_count(
    server: ScriptedServer, store: Any
) -> None:
    async with acknowledged(server, store, resend=True) as session:
        one = await session.send("one", message_id="1")
        two = await session.send("two", message_id="2")
        await until(lambda: len(server.peer.received) == 2)
        await server.peer.reset()
        await server.arrivals(2)
        await until(lambda: server.peer.accepted)
        # The server had taken it, and says so to the connection that follows.
        await ack(server.peer, "1")
        await one.confirmed()
        await until(lambda: "two" in server.peer.received)
        await ack(server.peer, "2")
        await two.confirmed()
        assert two.transmissions == 2
    if not isinstance(store, MemoryStore):
        assert inside(store) == []


async def test_acknowledged_while_it_waits_to_be_sent_again(
    server: ScriptedServer, store: Any
) -> None:
    async def late_ack(peer: Peer) -> None:
        # In on_open's time: nothing of the outbox can have been written yet.
        await peer.accept()
        await ack(peer, "1")
        await peer.receive()
        await peer.ended()

    async def taking(peer: Peer) -> None:
        await peer.accept()
        await peer.receive()
        await peer.reset()

    async def restore(connection: resilient_ws.Connection) -> None:
        if connection.epoch == 2:
            await connection.receive()
            await connection.send("restored")

    server.play(taking, late_ack)
    async with resilient_ws.connect(
        server.url(),
        outbox=Outbox(store=store, confirm=ack_of, deliver_acks=True, resend=True),
        reconnect=Reconnect(wait=wait_fixed(1)),
        on_open=restore,
    ) as session:
        delivery = await session.send("x", message_id="1")
        await delivery.confirmed()
        assert delivery.transmissions == 1
        await session.wait_until(State.OPEN)
        await turns()
    assert server.received == ["x", "restored"]


async def test_a_mute_application_is_reported_once(
    server: ScriptedServer, store: Any
) -> None:
    async with acknowledged(server, store, confirm_timeout=5) as session:
        events = recorded(session)
        await session.send("x", message_id="x")
        await session.send("y", message_id="y")
        await asyncio.sleep(60)
        (overdue,) = of(events, resilient_ws.ConfirmationOverdue)
        assert overdue.unconfirmed == 2
        assert overdue.after == pytest.approx(5, abs=0.1)
        await session.close(drain=0)


async def test_leaving_waits_for_acknowledgements(
    server: ScriptedServer, store: Any
) -> None:
    async def slow(peer: Peer) -> None:
        await peer.accept()
        await peer.receive()
        await asyncio.sleep(2)
        await ack(peer, "x")
        await peer.ended()

    server.play(slow)
    async with acknowledged(server, store) as session:
        delivery = await session.send("x", message_id="x")
    assert delivery.state is CONFIRMED
    assert now() == pytest.approx(2, abs=0.2)


async def test_two_messages_of_one_id_are_confirmed_by_one_acknowledgement(
    server: ScriptedServer, store: Any
) -> None:
    async with acknowledged(server, store, max_in_flight=2) as session:
        sent = [await session.send(text, message_id="same") for text in "abc"]
        await until(lambda: len(server.peer.received) == 2)
        # The third was not written yet, so nobody can have acknowledged it.
        await ack(server.peer, "same")
        await asyncio.gather(sent[0].confirmed(), sent[1].confirmed())
        await until(lambda: len(server.peer.received) == 3)
        assert sent[2].state is WRITTEN
        await ack(server.peer, "same")
        await sent[2].confirmed()


async def test_an_acknowledged_id_survives_the_process(
    server: ScriptedServer, tmp_path: Path
) -> None:
    store = new_store("sqlite", tmp_path)
    async with acknowledged(server, store, resend=True) as session:
        await session.send("x", message_id="x")
        await until(lambda: server.received == ["x"])
        await session.close(drain=0)
    async with resilient_ws.connect(
        server.url(),
        outbox=Outbox(store=store, confirm=ack_of, resend=True),
        wait_open=False,
    ) as session:
        (again,) = session.outstanding()
        await server.arrivals(2)
        await until(lambda: server.peer.accepted)
        await ack(server.peer, "x")
        await again.confirmed()
    assert inside(store) == []  # type: ignore[arg-type]


def test_the_settings_are_checked_when_they_are_made() -> None:
    with pytest.raises(ValueError, match=r"resend=True needs a confirmation.*'pong'"):
        Outbox(resend=True)
    with pytest.raises(ValueError, match=r"Outbox\.confirm must be 'write', 'pong' or"):
        Outbox(confirm="ack")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Outbox\.confirm must be .*not a value of"):
        Outbox(confirm=7)  # type: ignore[arg-type]

    async def asynchronous(_: str | bytes) -> str | None:
        return None

    with pytest.raises(TypeError, match="plain function"):
        Outbox(confirm=asynchronous)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Outbox\.resend must be True or False"):
        Outbox(confirm="pong", resend=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Outbox\.store must be a store: MemoryStore"):
        Outbox(store="outbox.db")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Outbox\.deliver_acks must be True or False"):
        Outbox(confirm=ack_of, deliver_acks=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"deliver_acks=True needs confirm to be a"):
        Outbox(confirm="pong", deliver_acks=True)
    for name in ("confirm_interval", "confirm_timeout"):
        with pytest.raises(ValueError, match=f"Outbox.{name}"):
            Outbox(**{name: 0})  # type: ignore[arg-type]
    for name in ("max_in_flight", "max_transmissions"):
        with pytest.raises(ValueError, match=f"Outbox.{name}"):
            Outbox(**{name: 0})  # type: ignore[arg-type]
    assert Outbox(confirm=ack_of, resend=True).max_transmissions == 5
