"""What ``Session.tap`` shows, and that it breaks nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resilient_ws import (
    Connection,
    Fatal,
    HandlerFailed,
    Liveness,
    Outbox,
    Traffic,
    connect,
)


if TYPE_CHECKING:
    from resilient_ws.testing import Peer, ScriptedServer


def told(seen: list[Traffic]) -> list[tuple[int, bool, str, str | bytes, int | None]]:
    return [(t.epoch, t.sent, t.kind, t.data, t.code) for t in seen]


async def test_shows_messages_and_control_frames_of_each_connection(
    server: ScriptedServer,
) -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        await peer.expect("login")
        await peer.send("hello", b"\x00\x01")
        await peer.ping(b"are you there")
        await peer.close(1012, "restart")

    async def log_in(connection: Connection) -> None:
        await connection.send("login")

    server.play(serve)
    seen: list[Traffic] = []
    session = connect(server.url(), on_open=log_in, compression=None)
    assert session.tap(seen.append) is not None
    async with session:
        assert await session.receive() == "hello"
        await server.arrivals(2)
        assert await session.receive() == b"\x00\x01"
        assert await session.receive() == "hello"
        first = [traffic for traffic in told(seen) if traffic[0] == 1]
    assert first == [
        (1, True, "text", "login", None),
        (1, False, "text", "hello", None),
        (1, False, "binary", b"\x00\x01", None),
        (1, False, "ping", b"are you there", None),
        (1, True, "pong", b"are you there", None),
        (1, False, "close", "restart", 1012),
        (1, True, "close", "restart", 1012),
    ]
    assert [traffic.at for traffic in seen] == sorted(t.at for t in seen)
    assert {traffic.epoch for traffic in seen} == {1, 2}


async def test_shows_what_is_sent_and_our_pings(server: ScriptedServer) -> None:
    seen: list[Traffic] = []
    session = connect(server.url(), liveness=Liveness(ping_interval=5))
    session.tap(seen.append)
    async with session:
        await session.send("one")
        buffer = bytearray(b"two")
        await session.send(buffer)
        await session.send("three")
        buffer[:] = b"xxx"
        await asyncio.sleep(6)
        await session.send("x" * 300)
    sent = [(t.kind, t.data) for t in seen if t.sent and t.kind in {"text", "binary"}]
    assert sent == [
        ("text", "one"),
        ("binary", b"two"),
        ("text", "three"),
        ("text", "x" * 300),
    ]
    pings = [t.data for t in seen if t.sent and t.kind == "ping"]
    assert pings
    assert [t.data for t in seen if not t.sent and t.kind == "pong"][:1] == pings[:1]


async def test_shows_acknowledgements_that_the_outbox_takes(
    server: ScriptedServer,
) -> None:
    async def acknowledge(peer: Peer) -> None:
        await peer.accept()
        await peer.receive()
        await peer.send("ack 1")
        await peer.ended()

    server.play(acknowledge)
    outbox = Outbox(confirm=lambda message: str(message)[4:])
    seen: list[Traffic] = []
    session = connect(server.url(), outbox=outbox)
    session.tap(seen.append)
    async with session:
        delivery = await session.send("hello", message_id="1")
        await delivery.confirmed()
    assert (1, False, "text", "ack 1", None) in told(seen)


async def test_a_tap_that_raises_is_told_and_left_out(server: ScriptedServer) -> None:
    seen: list[str | bytes] = []
    failed: list[HandlerFailed] = []

    def broken(traffic: Traffic) -> None:
        seen.append(traffic.data)
        raise KeyError("broken")

    session = connect(server.url())
    session.tap(broken)
    session.on(HandlerFailed, failed.append)
    async with session:
        await session.send("one")
        await session.send("two")
        await asyncio.sleep(1)
        assert server.received == ["one", "two"]
    assert seen == ["one"]
    assert [(f.handler, f.event) for f in failed] == [("tap", "Traffic")]


async def test_a_tap_may_end_the_session(server: ScriptedServer) -> None:
    def enough(_: Traffic) -> None:
        raise Fatal("seen enough")

    session = connect(server.url())
    session.tap(enough)
    async with session:
        await session.send("one")
        with pytest.raises(Fatal, match="seen enough"):
            await session.wait_closed()


async def test_a_tap_comes_before_the_session_is_entered(
    server: ScriptedServer,
) -> None:
    session = connect(server.url())
    with pytest.raises(TypeError, match="callback must be"):
        session.tap("no")  # type: ignore[arg-type]
    async with session:
        with pytest.raises(RuntimeError, match=r"tap\(\) comes too late"):
            session.tap(print)
