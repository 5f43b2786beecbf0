"""All connections of a loop are read into one buffer, and no two loops share it."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import ssl
from typing import TYPE_CHECKING

import pytest

from resilient_ws import connect
from resilient_ws.testing import assert_no_leaks
from resilient_ws.transport import read_buffer
from resilient_ws.transport.wire import Wire
from tests.wire.raw import Peer, RawServer, frame
from tests.wire.witness import BOTH_LOOPS, soon, watched


if TYPE_CHECKING:
    import trustme


pytestmark = pytest.mark.wire

#: A buffer that is full again and again.
SMALL = 4096
LARGE_MESSAGE = 3 * SMALL
COUNT = 300


class Reads:
    """Counts what is read in each turn of the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        #: How many filled what was offered, by turn.
        self.full = collections.Counter[int]()
        self._turn = 0
        self._loop = asyncio.get_running_loop()
        updated = Wire.buffer_updated

        def noted(wire: Wire, nbytes: int) -> None:
            place = wire._buffer.room if wire._place is None else wire._place
            self.full[self._turn] += nbytes == len(place)
            updated(wire, nbytes)

        monkeypatch.setattr(Wire, "buffer_updated", noted)
        self._next()

    def _next(self) -> None:
        self._turn += 1
        self._handle = self._loop.call_soon(self._next)

    def stop(self) -> None:
        self._handle.cancel()


def message_of(number: int, size: int = LARGE_MESSAGE) -> bytes:
    return number.to_bytes(4) * (size // 4)


@pytest.mark.parametrize("kind", ["binary", "text"])
@BOTH_LOOPS
async def test_a_flood_of_large_messages_is_taken_in_turns(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The rest of a large text is read into its place, which may be full too."""

    def of(number: int) -> bytes | str:
        return message_of(number) if kind == "binary" else f"{number:05}" * 20_000

    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(COUNT):
            peer.sock.sendall(frame(of(number), 2 if kind == "binary" else 1))
        peer.receive()  # goodbye
        peer.close(1000)

    monkeypatch.setattr(read_buffer, "READ_SIZE", SMALL)
    async with assert_no_leaks(), RawServer(script) as server:
        reads = Reads(monkeypatch)
        async with watched(server.url) as (session, _):
            for number in range(COUNT):
                assert await soon(session) == of(number)
            reads.stop()
    assert reads.full.total() > COUNT
    assert max(reads.full.values()) <= 2


@pytest.mark.parametrize("size", [LARGE_MESSAGE, SMALL - 1000, 100])
@BOTH_LOOPS
async def test_what_is_kept_of_the_buffer_outlives_it(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Two connections take turns, and each chunk ends within a message."""
    monkeypatch.setattr(read_buffer, "READ_SIZE", SMALL)

    def script(peer: Peer) -> None:
        peer.accept()
        opcode, payload = peer.receive()
        assert opcode == 1
        first = int(payload)
        for number in range(first, first + COUNT):
            message = frame(message_of(number, size), 2)
            peer.sock.sendall(message + frame(f"{number}"))
        peer.receive()  # goodbye
        peer.close(1000)

    async def follow(url: str, first: int) -> None:
        async with watched(url) as (session, _):
            await session.send(str(first))
            for number in range(first, first + COUNT):
                assert await soon(session) == message_of(number, size)
                assert await soon(session) == str(number)

    async with assert_no_leaks(), RawServer(script) as server:
        await asyncio.gather(follow(server.url, 0), follow(server.url, 1 << 20))


@pytest.mark.parametrize("tls", [False, True])
@BOTH_LOOPS
async def test_large_texts_of_several_connections_do_not_mix(
    tls: bool,
    authority: trustme.CA,
) -> None:
    """One has the room of the loop, and the others do without."""
    size = 700_000

    def text_of(number: int) -> str:
        return f"{number:07}" * (size // 7)

    def script(peer: Peer) -> None:
        peer.accept()
        _, payload = peer.receive()
        for number in range(20):
            peer.sock.sendall(frame(text_of(int(payload) + number)) + frame("between"))
        peer.receive()  # goodbye
        peer.close(1000)

    async def follow(url: str, first: int, context: ssl.SSLContext | None) -> None:
        async with connect(url, ssl=context or True) as session:
            await session.send(str(first))
            for number in range(20):
                assert await soon(session) == text_of(first + number)
                assert await soon(session) == "between"

    theirs = ours = None
    if tls:
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(theirs)
        ours = ssl.create_default_context()
        authority.configure_trust(ours)
    async with RawServer(script, tls=theirs) as server:
        await asyncio.gather(
            *(follow(server.url, 100 * number, ours) for number in (1, 2, 3))
        )


async def test_loops_in_several_threads_read_at_the_same_time() -> None:
    """Each loop has a buffer, and a room for large texts, of its own."""
    size = 200_000

    def pair_of(number: int) -> list[bytes | str]:
        return [message_of(number, size), str(number) * size]

    def script(peer: Peer) -> None:
        peer.accept()
        _, payload = peer.receive()
        binary, text = pair_of(int(payload))
        for _ in range(40):
            peer.sock.sendall(frame(binary, 2) + frame(text))
        peer.receive()  # goodbye
        peer.close(1000)

    async def follow(url: str, number: int) -> int:
        async with connect(url) as session:
            await session.send(str(number))
            received = [[await soon(session) for _ in "bt"] for _ in range(40)]
            return received.count(pair_of(number))

    async with RawServer(script) as server:
        with concurrent.futures.ThreadPoolExecutor(3) as threads:
            runs = [
                asyncio.get_running_loop().run_in_executor(
                    threads, asyncio.run, follow(server.url, number)
                )
                for number in range(1, 4)
            ]
            assert await asyncio.gather(*runs) == [40, 40, 40]
