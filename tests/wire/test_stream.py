"""The bytes themselves: what arrived is delivered, and who is slow holds up the other."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest

from resilient_ws import (
    ConnectionDropped,
    ConnectionLost,
    Inbox,
    InboxOverflowed,
    Outbox,
    OutboxFull,
    Session,
    Timeouts,
    connect,
)
from resilient_ws.testing import assert_no_leaks
from tests.wire.raw import CLOSE, Peer, RawServer, frame
from tests.wire.witness import (
    AT_ONCE,
    BOTH_LOOPS,
    SOON,
    eventually,
    soon,
    take,
    watched,
)


if TYPE_CHECKING:
    from collections.abc import Callable

    import trustme

    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire

KIB = 1024
MIB = 1024 * KIB

#: What two kernels may hold of one direction: tcp_wmem and tcp_rmem at their largest.
KERNELS = 16 * MIB


@pytest.fixture(params=["tcp", "tls"])
def contexts(
    request: pytest.FixtureRequest, authority: trustme.CA
) -> tuple[ssl.SSLContext | None, ssl.SSLContext]:
    """For the server (``None`` is plain TCP) and for the client."""
    client = ssl.create_default_context()
    authority.configure_trust(client)
    if request.param == "tcp":
        return None, client
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    return server, client


Contexts = tuple[ssl.SSLContext | None, ssl.SSLContext]


def echoes(peer: Peer) -> None:
    peer.accept()
    peer.echo()


def never_speaks(peer: Peer) -> None:
    peer.accept()
    peer.drain()


async def fill(session: Session, piece: bytes) -> None:
    while True:
        await session.send(piece)


async def settled(count: Callable[[], int], *, quiet: float = 0.3) -> int:
    """Wait until a count has stood still for so many seconds; return it."""
    deadline = time.monotonic() + 3 * SOON
    last, since = count(), time.monotonic()
    while time.monotonic() - since < quiet:
        assert time.monotonic() < deadline, f"still moving at {last}"
        await asyncio.sleep(0.01)
        if count() != last:
            last, since = count(), time.monotonic()
    return last


# What arrived is delivered.


@BOTH_LOOPS
async def test_what_comes_with_the_101_is_received(contexts: Contexts) -> None:
    large = "x" * 100_000

    def script(peer: Peer) -> None:
        whole = frame("one") + frame("two") + frame(large) + frame("four")
        # The last frame is cut in the middle.
        peer.accept(whole[:-2])
        peer.sock.sendall(whole[-2:])
        peer.echo()

    server_tls, client_tls = contexts
    async with (
        assert_no_leaks(),
        RawServer(script, tls=server_tls) as server,
        watched(server.url, ssl=client_tls) as (session, _),
    ):
        assert await take(session, 4) == ["one", "two", large, "four"]
        await session.send("five")
        assert await soon(session) == "five"


@pytest.mark.parametrize("how", ["close", "reset", "eof"])
async def test_what_comes_before_an_end_at_once_is_received(how: str) -> None:
    """The server says all it has to say with the 101, and leaves."""

    def script(peer: Peer) -> None:
        goodbye = frame(b"\x03\xe8", CLOSE) if how == "close" else b""
        peer.accept(frame("one") + frame("two") + goodbye)
        if how == "close":
            peer.receive()
        elif how == "reset":
            peer.reset()

    async with assert_no_leaks(), RawServer(script) as server:
        session = connect(server.url, reconnect=AT_ONCE, wait_open=False)
        async with session:
            assert await take(session, 2) == ["one", "two"]


@BOTH_LOOPS
async def test_a_write_after_an_rst_throws_nothing_readable_away() -> None:
    count = 500
    go, gone = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        if server.accepted > 1:
            peer.echo()
            return
        go.wait(SOON)
        for number in range(count):
            peer.send(str(number))
        peer.reset()
        gone.set()

    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        watched(server.url) as (session, seen),
    ):
        go.set()
        # The loop stands still while it all arrives, so that the write comes first.
        assert gone.wait(SOON)
        await session.send("a write")
        assert await take(session, count) == [str(n) for n in range(count)]
        [drop] = await seen.until(ConnectionDropped)
        assert isinstance(drop.because, ConnectionLost)
        assert drop.because.errno in {errno.ECONNRESET, errno.EPIPE}
        assert drop.because.how in {"reset", "write"}


@BOTH_LOOPS
async def test_an_rst_after_messages_loses_none_that_came() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        if server.accepted > 1:
            peer.echo()
            return
        peer.receive()
        for number in range(100):
            peer.send(str(number))
        peer.reset()

    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        watched(server.url) as (session, seen),
    ):
        await session.send("go")
        assert await take(session, 100) == [str(n) for n in range(100)]
        [drop] = await seen.until(ConnectionDropped)
        assert isinstance(drop.because, ConnectionLost)
        assert (drop.because.how, drop.because.errno) == ("reset", errno.ECONNRESET)


# TLS.


@BOTH_LOOPS
async def test_echoes_of_all_sizes(contexts: Contexts) -> None:
    server_tls, client_tls = contexts
    async with (
        assert_no_leaks(),
        RawServer(echoes, tls=server_tls) as server,
        watched(server.url, ssl=client_tls) as (session, _),
    ):
        for size in (0, 1, 125, 126, 65_535, 65_536, 3 * MIB):
            message = bytes(size)
            await session.send(message)
            assert await soon(session) == message


@BOTH_LOOPS
@pytest.mark.parametrize(
    ("end", "how", "number"),
    [("reset", "reset", errno.ECONNRESET), ("eof", "eof", None)],
)
async def test_losses_over_tls(
    authority: trustme.CA, end: str, how: str, number: int | None
) -> None:
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)

    def script(peer: Peer) -> None:
        peer.accept()
        if server.accepted > 1:
            peer.echo()
            return
        peer.receive()
        peer.send("last words")
        if end == "reset":
            peer.receive()
            peer.reset()
        # Otherwise it returns: the socket is closed without TLS's close_notify.

    async with (
        assert_no_leaks(),
        RawServer(script, tls=server_tls) as server,
        watched(server.url, ssl=client_tls) as (session, seen),
    ):
        await session.send("go")
        assert await soon(session) == "last words"
        if end == "reset":
            await session.send("now")
        [drop] = await seen.until(ConnectionDropped)
        assert isinstance(drop.because, ConnectionLost)
        assert (drop.because.how, drop.because.errno) == (how, number)
        await session.send("back")
        assert await soon(session) == "back"


@BOTH_LOOPS
@pytest.mark.parametrize("room", [1, 100_000], ids=["held up", "kept up"])
async def test_what_came_before_an_end_over_tls_is_delivered(
    authority: trustme.CA, room: int
) -> None:
    # Some more than one buffer, so that some is still with TLS when the end comes.
    counts = [300, 550, *range(750, 800, 5)]
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
    read_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def script(peer: Peer) -> None:
        peer.accept(frame("first"))
        peer.receive()
        count = counts[len(server.requests) - 1]
        flood = b"".join(frame(f"{n} {'x' * KIB}") for n in range(count))
        for start in range(0, len(flood), 16 * KIB):
            peer.sock.sendall(flood[start : start + 16 * KIB])
        # Without TLS's close_notify, and with nothing unread that would be a reset.
        socket.socket.shutdown(peer.sock, socket.SHUT_WR)
        loop.call_soon_threadsafe(read_on.set)
        peer.drain()

    inbox = Inbox(max_messages=room, max_bytes=64 * MIB)
    async with assert_no_leaks(), RawServer(script, tls=server_tls) as server:
        for count in counts:
            read_on.clear()
            async with connect(server.url, ssl=client_tls, inbox=inbox) as session:
                assert await soon(session) == "first"
                await session.send("go")
                if room == 1:
                    await read_on.wait()
                for number in range(count):
                    assert str(await soon(session)).startswith(f"{number} ")


# Back-pressure.


async def test_a_server_that_does_not_read_holds_up_send(
    any_server: ServerProcess,
) -> None:
    piece = bytes(64 * KIB)
    outbox = Outbox(max_bytes=2 * MIB)
    url = f"{any_server.url}/control"
    async with assert_no_leaks(), watched(url, outbox=outbox) as (session, seen):
        await session.send("mute")
        await any_server.logged("message", text="mute")
        filling = asyncio.create_task(fill(session, piece))
        await settled(lambda: session.statistics().bytes_sent)
        assert not filling.done()
        held = session.statistics()
        # Beyond the kernels there is a transport's high-water mark and one message.
        assert held.bytes_sent < KERNELS
        assert held.outbox_bytes <= len(piece)
        await any_server.kill()
        # Now the outbox fills, and its overflow is to raise.
        with pytest.raises(OutboxFull):
            async with asyncio.timeout(SOON):
                await filling
        assert session.statistics().outbox_bytes <= 2 * MIB
        # The sender may hear of the loss before the callbacks do.
        await eventually(lambda: len(seen.of(ConnectionDropped)) == 1)


@BOTH_LOOPS
async def test_a_consumer_that_does_not_read_holds_up_the_server(
    contexts: Contexts,
) -> None:
    count, piece = 1000, "x" * (64 * KIB)
    sent = 0

    def script(peer: Peer) -> None:
        nonlocal sent
        peer.accept()
        for number in range(count):
            peer.send(f"{number} {piece}")
            sent += 1
        peer.echo()

    server_tls, client_tls = contexts
    inbox = Inbox(max_messages=10)
    async with (
        assert_no_leaks(),
        RawServer(script, tls=server_tls) as server,
        watched(server.url, ssl=client_tls, inbox=inbox) as (session, seen),
    ):
        [overflow, *_] = await seen.until(InboxOverflowed)
        assert (overflow.overflow, overflow.discarded) == ("pause", 0)
        blocked_at = await settled(lambda: sent)
        assert blocked_at * len(piece) < KERNELS
        held = session.statistics()
        assert held.messages_received <= 10
        assert held.inbox_messages <= 10
        for number in range(count):
            assert str(await soon(session)).startswith(f"{number} ")
        assert not seen.of(ConnectionDropped)


# The end, in bounded time.


@pytest.mark.parametrize("full", [False, True], ids=["idle", "full"])
async def test_closing_towards_a_frozen_server_is_bounded(
    any_server: ServerProcess, full: bool
) -> None:
    options = {"timeouts": Timeouts(close=0.5), "outbox": Outbox(max_bytes=MIB)}
    url = f"{any_server.url}/echo"
    async with assert_no_leaks(), watched(url, **options) as (session, _):
        await any_server.freeze()
        if full:
            filling = asyncio.create_task(fill(session, bytes(MIB)))
            await settled(lambda: session.statistics().bytes_sent)
            filling.cancel()
            await asyncio.wait([filling])
        began = time.monotonic()
        await session.close()
        assert time.monotonic() - began < 0.5 + 0.5


async def test_closing_while_dialling_a_frozen_server_is_bounded(
    websockets_server: ServerProcess,
) -> None:
    await websockets_server.freeze()
    session = connect(
        websockets_server.url, wait_open=False, timeouts=Timeouts(close=0.5)
    )
    async with assert_no_leaks(), session:
        await eventually(lambda: session.statistics().attempts > 0)
        began = time.monotonic()
        await session.close()
        assert time.monotonic() - began < 0.5 + 0.5


async def test_closing_while_a_frozen_server_is_asked_in_the_hook_is_bounded() -> None:
    asked = asyncio.Event()

    async def on_open(connection: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with assert_no_leaks(), RawServer(never_speaks) as server:
        session = connect(
            server.url,
            wait_open=False,
            on_open=on_open,
            timeouts=Timeouts(close=0.5),
        )
        async with session:
            await asyncio.wait_for(asked.wait(), SOON)
            began = time.monotonic()
            await session.close()
            assert time.monotonic() - began < 0.5 + 0.5


async def test_closing_behind_the_end_of_the_stream_does_not_wait_for_more() -> None:
    """The peer has left without a close frame: nobody will answer ours."""

    def script(peer: Peer) -> None:
        peer.accept(frame("one"))

    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        watched(server.url) as (session, _),
    ):
        assert await soon(session) == "one"
        began = time.monotonic()
        await session.close()
        assert time.monotonic() - began < 1.0


async def test_a_close_is_answered_with_both_codes(any_server: ServerProcess) -> None:
    async with assert_no_leaks():
        async with connect(f"{any_server.url}/echo") as session:
            record = await session.close(4000, "enough")
        assert record is not None
        assert (record.code, record.reason) == (4000, "enough")
        assert (record.initiator, record.clean) == ("us", True)
    # aiohttp keeps the code alone.
    [logged] = await any_server.logged("close", code=4000)
    assert logged["reason"] in {"enough", ""}
