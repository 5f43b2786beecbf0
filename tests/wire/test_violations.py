"""Whatever a server does wrong is told as it was, and answered as the RFC says."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
import tenacity

from resilient_ws import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionOpened,
    GaveUp,
    ProtocolError,
    Reconnect,
    ResilientWSError,
    Timeouts,
)
from resilient_ws.testing import assert_no_leaks
from tests.servers.process import ROOT
from tests.wire.raw import CLOSE, Peer, RawServer
from tests.wire.violations import (
    FRAMES,
    HANDSHAKES,
    LIMIT,
    OPEN_TIMEOUT,
    Wrong,
    page,
)
from tests.wire.witness import Witness, soon, watched


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws import Session


#: A million fragments are read in some seconds.
PATIENCE = 120.0
# However long a slow machine takes over it, no connection here is ever a stable one.
ONCE = Reconnect(stop=tenacity.stop_after_attempt(1), stable_after=3600)
TABLE = [*FRAMES, *HANDSHAKES]


class WrongServer:
    """Does one thing wrong, and keeps the frames that it receives for it."""

    def __init__(self, row: Wrong) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self._row = row

    def __call__(self, peer: Peer) -> None:
        if self._row in FRAMES:
            peer.accept()
        else:
            peer.read_request()
        self._row.script(peer)
        while True:
            self.frames.append(peer.receive())
            if self.frames[-1][0] == CLOSE:
                # Its turn to hang up; anything behind the close frame still shows.
                peer.sock.shutdown(socket.SHUT_WR)


async def messages_of(session: Session) -> tuple[list[str | bytes], Exception | None]:
    """All that is delivered, and what the session ended with."""
    received: list[str | bytes] = []
    try:
        async for message in session:
            received.append(message)  # noqa: PERF401 - the iteration ends by raising
    except ResilientWSError as failure:
        return received, failure
    return received, None


def check_report(seen: Witness, row: Wrong) -> None:
    """The one report of it says what went wrong, in words and in fields."""
    [report] = seen.of(AttemptFailed, ConnectionDropped)
    assert type(report) is row.event
    because = report.because
    assert type(because) is row.error
    assert row.says in str(because)
    assert getattr(because, "how", None) == row.how
    opened = row.event is ConnectionDropped
    assert len(seen.of(ConnectionOpened)) == opened
    if isinstance(because, ProtocolError):
        assert because.code == (row.sent or 1002)
    if isinstance(report, ConnectionDropped):
        assert report.close is not None
        assert report.close.sent is not None
        assert report.close.sent.code == row.sent
        assert report.clean is (row.how == "close")


@pytest.mark.wire
@pytest.mark.parametrize("row", TABLE, ids=[row.does for row in TABLE])
async def test_a_wrong_server_is_reported_and_answered(row: Wrong) -> None:
    server = WrongServer(row)
    options = {
        "subprotocols": ["a", "b"],
        "max_message_size": LIMIT,
        "reconnect": ONCE,
        "timeouts": Timeouts(open=OPEN_TIMEOUT),
        "wait_open": False,
    }
    async with assert_no_leaks(), RawServer(server) as raw:
        with contextlib.suppress(GaveUp):
            async with watched(raw.url, **options) as (session, seen):
                await seen.until(row.event, within=PATIENCE)
                received, failure = await messages_of(session)
        assert tuple(received) == row.delivered
        assert failure is not None
        check_report(seen, row)
    # The server's thread has ended: what it received is all that there was.
    codes = [int.from_bytes(payload[:2], "big") for _, payload in server.frames]
    assert [opcode for opcode, _ in server.frames] == [CLOSE] * len(codes)
    assert codes == ([] if row.sent is None else [row.sent])


@pytest.mark.wire
async def test_an_answer_one_byte_at_a_time_is_no_fault() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Accept: {peer.accept_key}\r\n\r\n"
        ).encode() + b"\x81\x05hello"
        for byte in answer:
            # Each a segment of its own: Nagle's algorithm is off.
            peer.sock.sendall(bytes([byte]))
        peer.echo()

    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        watched(server.url) as (session, seen),
    ):
        assert await soon(session) == "hello"
        assert len(seen.of(ConnectionOpened)) == 1
        assert seen.of(AttemptFailed) == []


def behind_each_other(peer: Peer) -> None:
    """A message and a violation, a chunk each."""
    peer.sock.sendall(b"\x81\x05hello")
    peer.sock.sendall(b"\x83\x00")


@pytest.mark.wire
@pytest.mark.parametrize(
    "sends",
    [lambda peer: peer.sock.sendall(b"\x81\x05hello\x83\x00"), behind_each_other],
    ids=["one chunk", "two chunks"],
)
async def test_what_came_before_a_violation_can_still_be_answered(
    sends: Callable[[Peer], None],
) -> None:
    frames: list[tuple[int, bytes]] = []

    def script(peer: Peer) -> None:
        peer.accept()
        # It is waiting for the next message by now.
        peer.receive()
        sends(peer)
        while True:
            frames.append(peer.receive())

    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        watched(server.url, reconnect=ONCE) as (session, seen),
    ):
        await session.send("go")
        await session.send(await soon(session))
        [drop] = await seen.until(ConnectionDropped)
        assert isinstance(drop.because, ProtocolError)
    assert frames[0] == (1, b"hello")
    assert [(opcode, payload[:2]) for opcode, payload in frames[1:]] == [
        (CLOSE, (1002).to_bytes(2, "big"))
    ]


def test_the_page_tells_what_the_table_tells() -> None:
    written = (ROOT / "docs" / "violations.md").read_text()
    assert written == page(), "python -m tests.wire.violations docs/violations.md"
