"""Large texts are gathered in the room of the loop, which no connection keeps."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from resilient_ws import SessionClosed, Traffic, connect
from resilient_ws.protocol.payload import TextRoom
from resilient_ws.testing.scripts import hold
from resilient_ws.transport.read_buffer import READ_SIZE, room_of
from tests.protocol import server_frame as frame


if TYPE_CHECKING:
    from collections.abc import Iterator

    from resilient_ws import Session
    from resilient_ws.testing import Peer, ScriptedServer
    from resilient_ws.transport.wire import Wire


TEXT = "".join(map(str, range(100_000)))
WHOLE = frame(1, TEXT.encode())


def wire_of(session: Session) -> Wire:
    """The connection of a session, as its transport sees it."""
    supervisor = session._supervisor
    assert supervisor is not None
    assert supervisor.wire is not None
    return supervisor.wire


class Begun:
    """Whether the room was given to each large text that began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: list[bool] = []
        self.first = asyncio.Event()
        payload = TextRoom.payload

        def noted(room: TextRoom, announced: int) -> object:
            found = payload(room, announced)
            self.given.append(found is not None)
            self.first.set()
            return found

        monkeypatch.setattr(TextRoom, "payload", noted)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Begun:
    return Begun(monkeypatch)


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Free nothing that is in a cycle: a connection that is over is in one."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("end", ["drop", "reset", "half_close", "freeze"])
async def test_a_connection_that_ends_within_a_text_gives_the_room_back(
    server: ScriptedServer, begun: Begun, end: str
) -> None:
    async def cut(peer: Peer) -> None:
        await peer.accept()
        await peer.send("before")
        await peer.write(WHOLE[:300_000])
        await begun.first.wait()
        if (ending := getattr(peer, end)()) is not None:
            await ending
        await peer.ended()

    async def serve(peer: Peer) -> None:
        await peer.accept()
        await peer.send(TEXT, "behind")
        await peer.goodbye()

    server.play(cut, serve)
    async with connect(server.url(), compression=None) as session:
        received = [await session.receive() for _ in range(3)]
    assert received == ["before", TEXT, "behind"]
    assert begun.given == [True, True]


@pytest.mark.usefixtures("without_collector")
async def test_the_room_is_free_while_it_is_found_out_why_the_stream_ended(
    server: ScriptedServer,
) -> None:
    room = room_of(asyncio.get_running_loop())
    free: list[bool] = []

    async def cut(peer: Peer) -> None:
        await peer.accept()
        await peer.send("before")
        await peer.write(WHOLE[:300_000])
        await peer.half_close()
        # The client is waiting for a sign of the peer's death.
        await peer.goodbye()
        free.append(room.payload(len(TEXT)) is not None)
        await peer.drop()

    async def serve(peer: Peer) -> None:
        await peer.accept()
        await peer.goodbye()

    server.play(cut, serve)
    async with connect(server.url(), compression=None) as session:
        assert await session.receive() == "before"
        await server.arrivals(2)
    assert free == [True]


async def within_a_text(peer: Peer) -> None:
    await peer.accept()
    await peer.send("before")
    await peer.write(WHOLE[:300_000])
    # It answers nothing, for the text would take the answer in.
    peer.freeze()
    await peer.ended()


def hand_over(wire: Wire, data: bytes) -> int:
    """Have bytes read, as a transport does; return the size of the buffer."""
    buffer = wire.get_buffer(-1)
    buffer[: len(data)] = data
    wire.buffer_updated(len(data))
    return len(buffer)


async def test_what_still_comes_after_the_end_goes_to_the_buffer_of_all(
    server: ScriptedServer, begun: Begun
) -> None:
    server.play(within_a_text)
    async with connect(server.url(), compression=None) as session:
        assert await session.receive() == "before"
        await begun.first.wait()
        wire = wire_of(session)
        missing = len(wire.get_buffer(-1))
    assert missing < len(TEXT)
    sizes = [hand_over(wire, b"x" * 1000), hand_over(wire, frame(1, b"late"))]
    assert sizes == [READ_SIZE] * 2
    with pytest.raises(SessionClosed):
        await session.receive()


async def test_a_place_that_got_no_bytes_is_not_parsed(
    server: ScriptedServer, begun: Begun
) -> None:
    server.play(within_a_text)
    async with connect(server.url(), compression=None) as session:
        assert await session.receive() == "before"
        await begun.first.wait()
        wire = wire_of(session)
        place = wire.get_buffer(-1)
        place[:9] = frame(1, b"nothing")
        wire.engine.receiver.give_up()
        assert hand_over(wire, frame(1, b"message")) == READ_SIZE
        assert await session.receive() == "message"


async def test_a_place_that_is_full_counts_as_a_full_buffer(
    server: ScriptedServer,
) -> None:
    server.play(hold)
    async with connect(server.url(), compression=None) as session:
        wire = wire_of(session)
        # All of this happens in one turn of the loop.
        sizes = [hand_over(wire, WHOLE[:READ_SIZE])]
        behind = [wire._gate.catching_up]
        sizes.append(hand_over(wire, WHOLE[READ_SIZE:]))
        behind.append(wire._gate.catching_up)
        assert await session.receive() == TEXT
    assert sizes == [READ_SIZE, len(WHOLE) - READ_SIZE]
    assert behind == [False, True]


async def test_a_place_that_is_not_full_does_not_however_much_was_read(
    server: ScriptedServer,
) -> None:
    server.play(hold)
    text = TEXT * 2
    whole = frame(1, text.encode())
    async with connect(server.url(), compression=None) as session:
        wire = wire_of(session)
        hand_over(wire, whole[:READ_SIZE])
        size = hand_over(wire, whole[READ_SIZE : 2 * READ_SIZE + 1])
        assert size == len(whole) - READ_SIZE
        assert not wire._gate.catching_up
        hand_over(wire, whole[2 * READ_SIZE + 1 :])
        assert await session.receive() == text


@pytest.mark.parametrize("part", [1000, READ_SIZE, len(WHOLE) - 1])
async def test_a_tap_is_shown_a_large_text(
    server: ScriptedServer, begun: Begun, part: int
) -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        for _ in range(2):
            for pos in range(0, len(WHOLE), part):
                await peer.write(WHOLE[pos : pos + part])
            await peer.send("between")
        await peer.goodbye()

    server.play(serve)
    seen: list[Traffic] = []
    session = connect(server.url(), compression=None)
    session.tap(seen.append)
    async with session:
        received = [await session.receive() for _ in range(4)]
    assert received == [TEXT, "between"] * 2
    assert [traffic.data for traffic in seen if traffic.kind == "text"] == received
    assert begun.given == [True, True]
