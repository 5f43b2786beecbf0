"""What the transport uses of aiohttp, and aiohttp does not promise.

aiohttp shakes hands and hands the socket over. The attributes and the effects that this
takes are no public interface, so they are pinned here, each by itself, with aiohttp
alone, on both loops, over TCP and TLS. ``test_lowest.py`` runs this file once more with
the lowest versions that are allowed.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
import weakref
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler

from resilient_ws.protocol.handshake import Handshake
from resilient_ws.testing import assert_no_leaks
from resilient_ws.transport.dial import Tail
from tests.wire.raw import Peer, RawServer, frame
from tests.wire.witness import BOTH_LOOPS, SOON, soon, watched


if TYPE_CHECKING:
    import trustme


pytestmark = [pytest.mark.wire, BOTH_LOOPS]

Contexts = tuple[ssl.SSLContext | None, ssl.SSLContext]


@pytest.fixture(params=["tcp", "tls"])
def contexts(request: pytest.FixtureRequest, authority: trustme.CA) -> Contexts:
    """For the server (``None`` is plain TCP) and for the client."""
    client = ssl.create_default_context()
    authority.configure_trust(client)
    if request.param == "tcp":
        return None, client
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    return server, client


class Taken(asyncio.Protocol):
    """The protocol that takes the transport over."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.data = b""
        self.enough = 0
        self.has_enough: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[BaseException | None] = loop.create_future()

    def data_received(self, data: bytes) -> None:
        self.data += data
        if len(self.data) >= self.enough and not self.has_enough.done():
            self.has_enough.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


async def upgrade(
    http: aiohttp.ClientSession, url: str, tls: ssl.SSLContext
) -> aiohttp.ClientResponse:
    """Ask as the transport asks, up to the 101."""
    response = await http.get(
        url.replace("ws", "http", 1),
        headers=Handshake().request_headers(),
        allow_redirects=False,
        raise_for_status=False,
        read_until_eof=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_read=None),
        ssl=tls,
    )
    assert response.status == 101
    return response


def client() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(connector=connector)


def take_over(response: Any, taken: Taken) -> tuple[asyncio.Transport, bytes]:
    """Do what the transport does after the 101; without any await."""
    protocol = response.connection.protocol
    tail = Tail()
    protocol.read_timeout = None
    protocol.set_parser(tail, tail)
    transport = protocol.transport
    transport.set_protocol(taken)
    return transport, tail.data


async def test_the_headers_are_at_hand_as_they_came(contexts: Contexts) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.drain()

    server_tls, client_tls = contexts
    async with (
        assert_no_leaks(),
        RawServer(script, tls=server_tls) as server,
        client() as http,
    ):
        response = await upgrade(http, server.url, client_tls)
        raw = dict(response.raw_headers)
        assert raw[b"Upgrade"] == b"websocket"
        assert all(isinstance(part, bytes) for pair in raw.items() for part in pair)
        connection = response.connection
        assert connection is not None
        assert connection.protocol is not None
        assert connection.protocol.transport is connection.transport
        taken = Taken()
        transport, _ = take_over(response, taken)
        transport.abort()
        await taken.lost
        response.close()


@pytest.mark.parametrize("cut", [0, 1, 5, 100])
async def test_bytes_pass_to_the_new_protocol_and_none_is_lost(
    contexts: Contexts, cut: int
) -> None:
    """Some come with the 101, the rest after it, and the seam does not show."""
    whole = b"".join(frame(str(number)) for number in range(100))

    def script(peer: Peer) -> None:
        peer.accept(whole[:cut])
        peer.sock.sendall(whole[cut:])
        peer.drain()

    server_tls, client_tls = contexts
    async with (
        assert_no_leaks(),
        RawServer(script, tls=server_tls) as server,
        client() as http,
    ):
        response = await upgrade(http, server.url, client_tls)
        taken = Taken()
        transport, tail = take_over(response, taken)
        # What had been read with the 101 is handed over in the same step.
        assert tail == whole[: len(tail)]
        assert len(tail) >= cut
        taken.enough = len(whole) - len(tail)
        if taken.enough:
            async with asyncio.timeout(SOON):
                await taken.has_enough
        assert tail + taken.data == whole
        transport.abort()
        await taken.lost
        response.close()


async def test_writes_go_through_the_same_transport(contexts: Contexts) -> None:
    got: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.accept()
        got.append(peer.sock.recv(4))
        peer.sock.sendall(b"pong")
        peer.drain()

    server_tls, client_tls = contexts
    async with (
        assert_no_leaks(),
        RawServer(script, tls=server_tls) as server,
        client() as http,
    ):
        response = await upgrade(http, server.url, client_tls)
        taken = Taken()
        transport, _ = take_over(response, taken)
        taken.enough = 4
        transport.set_write_buffer_limits(high=64 * 1024)
        transport.write(b"ping")
        async with asyncio.timeout(SOON):
            await taken.has_enough
        assert (got, taken.data) == ([b"ping"], b"pong")
        transport.abort()
        async with asyncio.timeout(SOON):
            assert await taken.lost is None
        response.close()


async def test_the_read_timeout_is_off_after_the_handover(contexts: Contexts) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.drain()

    server_tls, client_tls = contexts
    short = aiohttp.ClientTimeout(total=None, sock_read=0.2)
    async with (
        assert_no_leaks(),
        RawServer(script, tls=server_tls) as server,
        client() as http,
    ):
        response = await http.get(
            server.url.replace("ws", "http", 1),
            headers=Handshake().request_headers(),
            timeout=short,
            read_until_eof=False,
            ssl=client_tls,
        )
        assert response.connection is not None
        assert response.connection.protocol is not None
        assert response.connection.protocol.read_timeout == 0.2
        taken = Taken()
        transport, _ = take_over(response, taken)
        done, _ = await asyncio.wait([taken.lost], timeout=0.5)
        assert not done
        assert not transport.is_closing()
        transport.abort()
        await taken.lost
        response.close()


async def test_the_response_holds_the_connection_and_releases_it(
    contexts: Contexts,
) -> None:
    """After abort and close, in this order, closing the client hangs on nothing."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.drain()

    server_tls, client_tls = contexts
    async with assert_no_leaks(), RawServer(script, tls=server_tls) as server:
        http = client()
        response = await upgrade(http, server.url, client_tls)
        assert response.connection is not None
        protocol = response.connection.protocol
        assert protocol is not None
        held = weakref.ref(response)
        taken = Taken()
        transport, _ = take_over(response, taken)
        transport.abort()
        exc = await taken.lost
        # It no longer hears of the loss by itself, and takes it from us.
        protocol.connection_lost(exc)
        response.close()
        async with asyncio.timeout(SOON):
            await http.close()
        assert held() is response
        assert response.closed


async def test_aiohttp_lets_go_of_a_connection_that_lives_on(
    contexts: Contexts,
) -> None:
    """Told that it was lost, aiohttp closes its side, and not the transport."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.echo()

    server_tls, client_tls = contexts
    async with assert_no_leaks(), RawServer(script, tls=server_tls) as server:
        http = client()
        response = await upgrade(http, server.url, client_tls)
        assert response.connection is not None
        protocol = response.connection.protocol
        assert protocol is not None
        taken = Taken()
        transport, _ = take_over(response, taken)
        protocol.connection_lost(None)
        response.close()
        forgotten = weakref.WeakSet[object]([response, protocol])
        del response, protocol
        gc.collect()
        assert not forgotten
        async with asyncio.timeout(SOON):
            await http.close()
            assert not transport.is_closing()
            transport.write(b"\x81\x84\0\0\0\0ping")
            taken.enough = len(frame("ping"))
            await taken.has_enough
        assert taken.data == frame("ping")
        transport.abort()
        await taken.lost


async def test_the_connector_asks_for_each_socket() -> None:
    """Addresses are vetted where sockets are made."""
    asked: list[Any] = []

    def factory(info: Any) -> Any:
        asked.append(info)
        raise PermissionError(1, "refused")

    connector = aiohttp.TCPConnector(socket_factory=factory)
    async with assert_no_leaks(), aiohttp.ClientSession(connector=connector) as http:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await http.get("http://127.0.0.1:9/")
    assert [info[4][0] for info in asked] == ["127.0.0.1"]


async def test_the_connector_makes_what_it_is_told_to() -> None:
    """So that what a server may say first can be bounded."""

    class Handler(ResponseHandler):
        pieces: tuple[bytes, ...] = ()
        answers: tuple[int, ...] = ()
        options: dict[str, Any] | None = None

        def set_response_params(self, **options: Any) -> None:
            self.options = options
            super().set_response_params(**options)

        def data_received(self, data: bytes) -> None:
            self.pieces += (data,)
            # In pieces of one byte, as it need not have come.
            for byte in data:
                super().data_received(bytes([byte]))

        def feed_data(self, data: Any, size: int = 0) -> None:
            self.answers += (data[0].code,)
            super().feed_data(data, size)

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.sock.sendall(b"HTTP/1.1 103 Early\r\n\r\n")
        peer.agree()
        peer.drain()

    made: list[Handler] = []

    def make() -> Handler:
        made.append(Handler(asyncio.get_running_loop()))
        return made[-1]

    async with assert_no_leaks(), RawServer(script) as server, client() as http:
        connector: Any = http.connector
        assert connector._loop is asyncio.get_running_loop()
        connector._factory = make
        response = await upgrade(http, server.url, ssl.create_default_context())
        [handler] = made
        assert b"".join(handler.pieces).startswith(b"HTTP/1.1 103")
        assert handler.answers == (103, 101)
        assert handler.upgraded
        assert handler.options is not None
        assert {"read_until_eof", "auto_decompress", "max_line_size"} <= set(
            handler.options
        )
        taken = Taken()
        transport, _ = take_over(response, taken)
        transport.abort()
        await taken.lost
        response.close()


async def test_a_session_over_the_seam(contexts: Contexts) -> None:
    def script(peer: Peer) -> None:
        peer.accept(frame("with the 101"))
        peer.echo()

    server_tls, client_tls = contexts
    async with (
        assert_no_leaks(),
        RawServer(script, tls=server_tls) as server,
        watched(server.url, ssl=client_tls) as (session, _),
    ):
        assert await soon(session) == "with the 101"
        for message in ("text", b"binary", "x" * 300_000):
            await session.send(message)
            assert await soon(session) == message
