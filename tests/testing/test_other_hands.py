"""The kit between clients and servers that nobody here wrote."""

from __future__ import annotations

import asyncio
import random
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import websockets
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Reconnect
from resilient_ws.testing import (
    BlackHole,
    Cut,
    Delay,
    Dribble,
    Drop,
    FaultProxy,
    Freeze,
    HalfClose,
    Hang,
    Refuse,
    Reject,
    Reset,
    ScriptedServer,
    Throttle,
    assert_no_leaks,
)
from resilient_ws.testing.frames import message
from resilient_ws.testing.scripts import echo
from tests.record import until
from tests.servers.process import NODE_MODULES, daemon, node_module


if TYPE_CHECKING:
    import trustme

    from tests.servers.process import ServerProcess

pytestmark = pytest.mark.wire
HOST = "127.0.0.1"
SIZES = (0, 1, 125, 126, 65_535, 65_536, 1_000_000)


async def echoes(client: Any, seed: int = 0) -> None:
    """What websockets' client sends comes back, to the byte."""
    rng = random.Random(seed)
    for size in SIZES:
        data = rng.randbytes(size)
        await client.send(data)
        assert await client.recv() == data


def dial(proxy: FaultProxy, **options: Any) -> Any:
    return websockets.connect(proxy.url("/echo"), max_size=None, **options)


async def test_it_is_transparent_to_every_pair(any_server: ServerProcess) -> None:
    async with assert_no_leaks(), FaultProxy(HOST, any_server.port) as proxy:
        async with dial(proxy) as client:
            await echoes(client)
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(proxy.url("/echo"), max_msg_size=0) as other,
        ):
            for size in SIZES:
                await other.send_bytes(bytes(size))
                assert (await other.receive_bytes()) == bytes(size)
        async with resilient_ws.connect(proxy.url("/echo")) as session:
            for size in SIZES:
                await session.send(bytes(size))
                assert await session.receive() == bytes(size)
        assert proxy.accepted == 3
        for connection in proxy.connections:
            await connection.ended()
            assert connection.up.swallowed == connection.down.swallowed == 0


async def test_pace_changes_nothing_but_time(any_server: ServerProcess) -> None:
    async with assert_no_leaks(), FaultProxy(HOST, any_server.port) as proxy:
        proxy.play(Dribble(), Delay(0.01), [Throttle(2_000_000), Delay(0.005)])
        async with dial(proxy) as client:
            # The handshake was one byte at a time as well, both ways.
            await client.send("grün" * 100)
            assert await client.recv() == "grün" * 100
        for seed in range(2):
            async with dial(proxy) as client:
                await echoes(client, seed)


@pytest.mark.parametrize("how", ["reset", "drop"])
async def test_a_cut_in_the_middle_of_a_frame(
    any_server: ServerProcess, how: str
) -> None:
    whole = "x" * 1000
    async with assert_no_leaks(), FaultProxy(HOST, any_server.port) as proxy:
        async with dial(proxy, compression=None) as client:
            await client.send(whole)
            assert await client.recv() == whole
            before = proxy.connections[0].down.passed
            proxy.apply(Cut(500, how="reset" if how == "reset" else "drop"))
            await client.send(whole)
            with pytest.raises(websockets.ConnectionClosedError) as caught:
                await client.recv()
            assert proxy.connections[0].down.passed == before + 500
            reset = isinstance(caught.value.__cause__, ConnectionResetError)
            assert reset is (how == "reset")
        await any_server.logged("close")


@pytest.mark.parametrize("fault", [Reset(), Drop(), HalfClose("down")], ids=repr)
async def test_an_end_at_once(any_server: ServerProcess, fault: Any) -> None:
    async with assert_no_leaks(), FaultProxy(HOST, any_server.port) as proxy:
        async with dial(proxy) as client:
            await echoes(client)
            proxy.apply(fault)
            with pytest.raises(websockets.ConnectionClosedError):
                await client.recv()
        await any_server.logged("close")


async def test_a_half_close_upwards_ends_the_server(any_server: ServerProcess) -> None:
    async with assert_no_leaks(), FaultProxy(HOST, any_server.port) as proxy:
        async with dial(proxy) as client:
            await echoes(client)
            proxy.apply(HalfClose("up"))
            with pytest.raises(websockets.ConnectionClosed):
                await client.recv()
        await any_server.logged("close")


async def test_handshakes_that_fail(any_server: ServerProcess) -> None:
    async with assert_no_leaks(), FaultProxy(HOST, any_server.port) as proxy:
        proxy.play(
            Refuse(),
            Reject(429, retry_after=3, body=b"slow down"),
            Cut(20),
            Cut(20, "up", how="drop"),
            Hang(),
        )
        with pytest.raises(websockets.InvalidMessage):
            await dial(proxy)
        with pytest.raises(websockets.InvalidStatus) as caught:
            await dial(proxy)
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["Retry-After"] == "3"
        assert caught.value.response.body == b"slow down"
        for _ in range(2):
            with pytest.raises(websockets.InvalidMessage):
                await dial(proxy)
        with pytest.raises(TimeoutError):
            await dial(proxy, open_timeout=0.1)
        proxy.apply(Refuse())
        with pytest.raises(ConnectionRefusedError):
            await dial(proxy)
        proxy.heal()
        async with dial(proxy) as client:
            await echoes(client)
        # The server's answer was cut once; no other handshake reached it.
        assert len(any_server.entries("open")) == 2


async def test_silence(any_server: ServerProcess) -> None:
    async with assert_no_leaks(), FaultProxy(HOST, any_server.port) as proxy:
        async with dial(proxy, close_timeout=0.1) as client:
            await echoes(client)
            proxy.apply(Freeze())
            await client.send("kept")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 0.1)
            proxy.heal()
            assert await client.recv() == "kept"
            proxy.apply(BlackHole("up"))
            await client.send("lost")
            await until(lambda: proxy.connections[0].up.swallowed)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 0.1)
        assert not any_server.entries("message", text="lost")


async def test_a_server_that_is_killed_is_seen_through_it(
    any_server: ServerProcess,
) -> None:
    async with assert_no_leaks(), FaultProxy(HOST, any_server.port) as proxy:
        async with dial(proxy) as client:
            await echoes(client)
            await any_server.kill()
            with pytest.raises(websockets.ConnectionClosedError):
                await client.recv()
        with pytest.raises(websockets.InvalidMessage):
            await dial(proxy)
        await any_server.start()
        async with dial(proxy) as client:
            await echoes(client)


async def test_a_session_comes_back_from_every_cut(
    any_server: ServerProcess,
) -> None:
    rng = random.Random(5)
    async with assert_no_leaks(), FaultProxy(HOST, any_server.port) as proxy:
        proxy.play(
            *(Cut(rng.randrange(4000), rng.choice(("up", "down"))) for _ in range(10))
        )
        async with resilient_ws.connect(
            proxy.url("/echo"),
            reconnect=Reconnect(wait=wait_fixed(0)),
            wait_open=False,
            compression=None,
        ) as session:
            while proxy.accepted <= 10:
                await session.send("x" * 500)
                await asyncio.sleep(0.01)
            await session.send("the last one")
            async for received in session:
                if received == "the last one":
                    break


@pytest.fixture
def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server on loopback, and for who trusts it."""
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return serving, trusting


async def test_tls_passes_through(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    serving, trusting = contexts

    async def answer(connection: Any) -> None:
        async for data in connection:
            await connection.send(data)

    async with websockets.serve(answer, HOST, 0, ssl=serving, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with assert_no_leaks(), FaultProxy(HOST, port) as proxy:
            url = proxy.url("/echo", scheme="wss")
            async with websockets.connect(url, ssl=trusting, max_size=None) as client:
                await echoes(client)
                proxy.apply(Dribble())
                await client.send("slowly")
                assert await client.recv() == "slowly"
                proxy.heal()
                proxy.apply(Cut(10))
                await client.send("never")
                with pytest.raises(websockets.ConnectionClosedError):
                    await client.recv()
            proxy.heal()
            async with resilient_ws.connect(url, ssl=trusting) as session:
                await session.send("over TLS")
                assert await session.receive() == "over TLS"
            # No TLS comes out of a rejection, which is plain HTTP.
            proxy.play(Reject(503))
            with pytest.raises(ssl.SSLError):
                await websockets.connect(url, ssl=trusting)


# Clients of other hands, judged.


async def test_a_client_on_websockets_behaves() -> None:
    async with assert_no_leaks(), ScriptedServer(echo) as server:
        async with websockets.connect(server.url("/"), max_size=None) as client:
            await echoes(client)
            await client.send(["frag", "men", "ted"])
            assert await client.recv() == "fragmented"
            pong = await client.ping(b"?")
            await pong
        assert server.peer.close_received == (1000, "")
        assert server.peer.pings == [b"?"]


async def test_a_client_on_aiohttp_behaves() -> None:
    async with (
        assert_no_leaks(),
        ScriptedServer() as server,
        aiohttp.ClientSession() as http,
    ):
        dialling = asyncio.create_task(
            http.ws_connect(server.url("/"), protocols=["b", "a"], compress=15)
        )
        peer = await server.request()
        await peer.accept(
            subprotocol="a", headers={"Sec-WebSocket-Extensions": "permessage-deflate"}
        )
        client = await dialling
        assert client.protocol == "a"
        # Compressed, with what was said before as its context.
        for _ in range(3):
            await client.send_str("again " * 100)
            await peer.expect("again " * 100)
        closing = asyncio.create_task(peer.close(1001))
        assert (await client.receive()).type is aiohttp.WSMsgType.CLOSE
        await closing
        await client.close()


async def test_a_client_on_node_behaves() -> None:
    node_module("ws/package.json")
    script = """
        const WebSocket = require("ws");
        const socket = new WebSocket(process.argv[1]);
        socket.on("open", () => { socket.send("one"); socket.send(Buffer.alloc(70000)); });
        let came = 0;
        socket.on("message", () => { if (++came === 2) socket.close(4000, "enough"); });
    """
    async with assert_no_leaks(), ScriptedServer(echo) as server:
        command = [daemon("node", "nodejs"), "-e", script, server.url("/")]
        await asyncio.to_thread(
            subprocess.run, command, cwd=NODE_MODULES.parent, timeout=30, check=True
        )
        assert server.received == ["one", bytes(70_000)]
        assert server.peer.close_received == (4000, "enough")


async def test_a_client_of_other_hands_hears_what_is_said() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:

        async def dials() -> Any:
            return await websockets.connect(server.url("/"))

        dialling = asyncio.create_task(dials())
        peer = await server.accept()
        await peer.write(message("raw"))
        client = await dialling
        assert await client.recv() == "raw"
        await peer.close(1012, "later")
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await client.recv()
        assert caught.value.rcvd == websockets.frames.Close(1012, "later")
