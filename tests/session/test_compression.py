"""Compressed messages in a session: what is asked for, and what a bomb cannot do."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionOpened,
    Inbox,
    InboxOverflowed,
    Interruption,
    Liveness,
    ProtocolError,
    Reconnect,
    State,
)
from resilient_ws.testing.scripts import hold
from tests.protocol import server_frame
from tests.record import of, recorded, turns, until


if TYPE_CHECKING:
    from resilient_ws import Connection, Session
    from resilient_ws.testing import Peer, ScriptedServer
    from resilient_ws.testing.scripts import Script

TEXT, BINARY, RSV1 = 1, 2, 4
KIB, MIB = 1024, 1024 * 1024
DEFLATE = "permessage-deflate"
AGREE = {"Sec-WebSocket-Extensions": f"{DEFLATE}; server_no_context_takeover"}


def compressed(data: bytes, opcode: int = BINARY) -> bytes:
    """One message of a server that does not take its context over."""
    stream = zlib.compressobj(9, wbits=-15)
    payload = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
    return server_frame(opcode, payload[:-4], rsv=RSV1)


def numbered(count: int, size: int) -> tuple[list[bytes], bytes]:
    """So many messages, and the frames of all of them: a hundredth of their size."""
    messages = [str(number).encode().ljust(size) for number in range(count)]
    frames = b"".join(map(compressed, messages))
    assert len(frames) * 50 < count * size
    return messages, frames


def agreeing(tail: bytes = b"", *, answer: str = AGREE[next(iter(AGREE))]) -> Script:
    async def script(peer: Peer) -> None:
        await peer.accept(headers={"Sec-WebSocket-Extensions": answer}, tail=tail)
        await peer.ended()

    return script


def session_to(server: ScriptedServer, **options: object) -> Session:
    return resilient_ws.connect(
        server.url(),
        reconnect=Reconnect(wait=wait_fixed(1)),
        **options,  # type: ignore[arg-type]
    )


async def test_it_is_offered_unless_told_otherwise(server: ScriptedServer) -> None:
    async with session_to(server):
        offered = server.peer.headers["sec-websocket-extensions"]
    assert offered == f"{DEFLATE}; client_max_window_bits"
    async with session_to(server, compression=None):
        assert "sec-websocket-extensions" not in server.peer.headers


async def test_what_was_agreed_on_is_reported_and_used(server: ScriptedServer) -> None:
    answer = f"{DEFLATE}; client_max_window_bits=10; server_max_window_bits=9"
    server.play(agreeing(answer=answer))
    session = session_to(server)
    events = recorded(session)
    async with session:
        await server.peer.write(compressed("grün".encode(), TEXT))
        assert await session.receive() == "grün"
        before = session.statistics().bytes_sent
        await session.send("a" * 10_000)
        assert session.statistics().bytes_sent - before < 200
    [opened] = of(events, ConnectionOpened)
    parameters = {"client_max_window_bits": "10", "server_max_window_bits": "9"}
    assert opened.extensions == {DEFLATE: parameters}


async def test_without_the_servers_consent_nothing_is_compressed(
    server: ScriptedServer,
) -> None:
    async with session_to(server) as session:
        await session.send("a" * 10_000)
        await until(lambda: server.received)
        assert server.received == ["a" * 10_000]


async def test_each_connection_begins_without_context(server: ScriptedServer) -> None:
    hello = server_frame(TEXT, bytes.fromhex("f248cdc9c90700"), rsv=RSV1)
    looks_back = server_frame(TEXT, bytes.fromhex("f200110000"), rsv=RSV1)

    async def dropping(peer: Peer) -> None:
        await peer.accept(headers={"Sec-WebSocket-Extensions": DEFLATE}, tail=hello)
        await peer.write(looks_back)
        await peer.close(1012)

    server.play(dropping, agreeing(looks_back, answer=DEFLATE), hold)
    session = session_to(server)
    events = recorded(session)
    async with session:
        assert [await session.receive() for _ in range(2)] == ["Hello", "Hello"]
        await until(lambda: len(of(events, ConnectionDropped)) == 2)
    because = of(events, ConnectionDropped)[1].because
    assert isinstance(because, ProtocolError)
    assert because.code == 1007


@pytest.mark.parametrize(
    "answer",
    [
        f"{DEFLATE}; client_max_window_bits=8",
        f"{DEFLATE}; client_max_window_bits",
        f"{DEFLATE}; mystery",
        "x-webkit-deflate-frame",
        f"{DEFLATE}, {DEFLATE}",
    ],
)
async def test_an_answer_that_was_not_offered_fails_the_attempt(
    server: ScriptedServer, answer: str
) -> None:
    server.play(agreeing(answer=answer))
    session = session_to(server)
    events = recorded(session)
    with pytest.raises(ProtocolError, match="answered the handshake wrongly") as caught:
        async with session:
            pass
    assert caught.value.code == 1002
    assert of(events, AttemptFailed)
    assert not of(events, ConnectionOpened)


async def test_compression_that_was_not_asked_for_fails_the_attempt(
    server: ScriptedServer,
) -> None:
    server.play(agreeing())
    with pytest.raises(ProtocolError, match="not offered"):
        async with session_to(server, compression=None):
            pass


async def test_a_bomb_ends_in_1009_with_little_memory(server: ScriptedServer) -> None:
    bomb = compressed(bytes(256 * MIB), TEXT)
    server.play(agreeing())
    session = session_to(server)
    events = recorded(session)
    async with session:
        tracemalloc.start()
        try:
            await server.peer.write(bomb)
            await until(lambda: of(events, ConnectionDropped))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        because = of(events, ConnectionDropped)[0].because
        assert session.statistics().messages_received == 0
    assert isinstance(because, ProtocolError)
    assert because.code == 1009
    assert "max_message_size" in str(because)
    assert server.peers[0].close_received is not None
    assert server.peers[0].close_received[0] == 1009
    # Its default limit, once more while it grows, and what is on its way.
    assert peak < 2.5 * 4 * MIB + 2 * len(bomb)


async def test_a_chunk_of_legal_messages_waits_for_room_in_bytes(
    server: ScriptedServer,
) -> None:
    size, room = 64 * KIB, 256 * KIB
    messages, frames = numbered(400, size)
    server.play(agreeing(frames))
    session = session_to(server, inbox=Inbox(max_bytes=room))
    events = recorded(session)
    async with session:
        taken: list[str | bytes] = []
        while len(taken) < len(messages):
            await turns(2)
            assert session.statistics().inbox_messages <= room // size
            taken.append(await session.receive())
        assert taken == messages
        assert of(events, InboxOverflowed)
        assert session.state is State.OPEN


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_what_is_discarded_is_never_held_all_at_once(
    server: ScriptedServer, overflow: str
) -> None:
    size, room = 256 * KIB, MIB
    messages, frames = numbered(400, size)
    server.play(agreeing())
    inbox = Inbox(max_bytes=room, overflow=overflow)  # type: ignore[arg-type]
    async with session_to(server, inbox=inbox) as session:
        tracemalloc.start()
        try:
            await server.peer.write(frames)
            await until(lambda: session.statistics().messages_received == 400)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert session.statistics().inbox_discarded == 396
        kept = [await session.receive() for _ in range(4)]
    assert kept == (messages[-4:] if overflow == "drop_oldest" else messages[:4])
    assert peak < room + 4 * size + 2 * len(frames)


async def test_a_full_inbox_may_close(server: ScriptedServer) -> None:
    _, frames = numbered(400, 64 * KIB)
    server.play(agreeing(frames), hold)
    inbox = Inbox(max_bytes=256 * KIB, overflow="close")
    session = session_to(server, inbox=inbox)
    events = recorded(session)
    async with session:
        await until(lambda: of(events, ConnectionDropped))
        assert session.statistics().inbox_messages == 4
    assert server.peers[0].close_received is not None
    assert server.peers[0].close_received[0] == 1008


async def test_a_reset_does_not_pour_what_waited_into_a_full_inbox(
    server: ScriptedServer,
) -> None:
    size, room = 256 * KIB, MIB
    messages, frames = numbered(800, size)

    async def resetting(peer: Peer) -> None:
        await peer.accept(headers=AGREE, tail=frames)
        await peer.receive()
        await peer.reset()

    server.play(resetting, hold)
    session = session_to(server, inbox=Inbox(max_bytes=room))
    events = recorded(session)
    async with session:
        await until(lambda: session.statistics().inbox_messages == 4)
        await session.send("go")
        await turns()
        await session.send("the first write after a reset finds it")
        await until(lambda: len(of(events, ConnectionOpened)) == 2)
        assert session.statistics().inbox_messages == 4
        stream = session.with_interruptions()
        items = [await anext(stream) for _ in range(5)]
    assert items[:4] == messages[:4]
    assert isinstance(items[4], Interruption)


async def test_answers_to_a_probe_take_no_room(server: ScriptedServer) -> None:
    """A chunk full of them must not stop the reading, for nobody would resume it."""
    frames = compressed(b"pong".ljust(64 * KIB), TEXT) * 100
    server.play(agreeing(frames + compressed(b"news", TEXT)))
    liveness = Liveness(probe="ping", is_answer=lambda data: str(data).startswith("po"))
    inbox = Inbox(max_bytes=256 * KIB)
    async with session_to(server, liveness=liveness, inbox=inbox) as session:
        assert await session.receive() == "news"


async def test_a_connection_being_restored_has_bounds_as_well(
    server: ScriptedServer,
) -> None:
    size, room = 64 * KIB, 256 * KIB
    messages, frames = numbered(100, size)
    server.play(agreeing(frames))
    waiting: list[int] = []

    async def on_open(connection: Connection) -> None:
        for number in range(10):
            assert await connection.receive() == messages[number]
            waiting.append(session.statistics().messages_received - number - 1)

    inbox = Inbox(max_bytes=room)
    session = session_to(server, inbox=inbox, on_open=on_open)
    async with session:
        rest = [await session.receive() for _ in range(90)]
    assert rest == messages[10:]
    assert max(waiting) <= room // size


async def test_the_size_of_nothing_is_not_confused_with_no_space(
    server: ScriptedServer,
) -> None:
    server.play(agreeing(compressed(b"") * 3000 + compressed(b"end")))
    async with session_to(server, inbox=Inbox(max_bytes=1)) as session:
        for _ in range(3000):
            assert await session.receive() == b""
        assert await session.receive() == b"end"
