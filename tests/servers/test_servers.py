"""The servers do to a client of other hands what they say they do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import socket
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from resilient_ws.testing import assert_no_leaks
from tests.servers.process import HOST, ServerProcess, free_port


if TYPE_CHECKING:
    from tests.servers.daemons import Anvil, Mosquitto, Nginx


pytestmark = pytest.mark.wire

SOON = 5.0
MQTT_CONNECT = bytes.fromhex("100c 0004 4d515454 04 02 003c 0000")
MQTT_CONNACK = bytes.fromhex("20020000")


def dial(url: str, **options: Any) -> connect:
    """A client without a keepalive of its own."""
    return connect(url, ping_interval=None, close_timeout=0.5, proxy=None, **options)


async def ending(client: ClientConnection) -> ConnectionClosed:
    """Read until the connection ends, and say how it did."""
    async with asyncio.timeout(SOON):
        try:
            while True:
                await client.recv()
        except ConnectionClosed as closed:
            return closed


async def fill(client: ClientConnection) -> None:
    while True:
        await client.send(os.urandom(256 * 1024))


async def first(client: ClientConnection, count: int) -> list[str]:
    async with asyncio.timeout(SOON):
        return [str(await client.recv()).strip() for _ in range(count)]


async def test_echoes_and_logs_what_it_received(any_server: ServerProcess) -> None:
    async with dial(
        f"{any_server.url}/echo?a=1",
        subprotocols=["b.v1", "a.v2"],
        additional_headers={"Authorization": "Bearer x", "X-Mark": "y"},
    ) as client:
        await client.send("hello")
        await client.send(b"\x00\xff")
        assert await client.recv() == "hello"
        assert await client.recv() == b"\x00\xff"
        assert client.subprotocol == "b.v1"
    [opened] = await any_server.logged("open", path="/echo?a=1")
    assert opened["headers"]["authorization"] == "Bearer x"
    assert opened["headers"]["x-mark"] == "y"
    assert await any_server.received(2) == ["hello"]
    await any_server.logged("message", hex="00ff", size=2)
    await any_server.logged("close", code=1000)
    sequence = [entry["seq"] for entry in any_server.log]
    assert sequence == list(range(1, len(sequence) + 1))


async def test_takes_a_large_message(any_server: ServerProcess) -> None:
    large = os.urandom(4 * 1024 * 1024)
    async with dial(f"{any_server.url}/echo", max_size=None) as client:
        await client.send(large)
        assert await client.recv() == large
    await any_server.logged("message", size=len(large))


async def test_feeds_numbers_and_closes(any_server: ServerProcess) -> None:
    url = f"{any_server.url}/feed?n=5&from=7&size=100&every=0.001&then=4002"
    async with dial(url) as client:
        received = [await client.recv() for _ in range(5)]
        assert [int(text) for text in received] == [7, 8, 9, 10, 11]
        assert {len(text) for text in received} == {100}
        assert (await ending(client)).rcvd == Close(4002, "")


async def test_counts_on_over_connections(any_server: ServerProcess) -> None:
    async with dial(f"{any_server.url}/count?n=3") as client:
        assert await first(client, 3) == ["1", "2", "3"]
    async with dial(f"{any_server.url}/count?n=2") as client:
        assert await first(client, 2) == ["4", "5"]


@pytest.mark.parametrize(
    ("command", "close"),
    [
        ("close 1001", Close(1001, "")),
        ("close 4001 go away now", Close(4001, "go away now")),
        ("drop", None),
        ("reset", None),
    ],
)
async def test_ends_as_told(
    any_server: ServerProcess, command: str, close: Close | None
) -> None:
    async with dial(f"{any_server.url}/control") as client:
        await client.send("no command")
        assert await client.recv() == "no command"
        await client.send(command)
        ended = await ending(client)
    assert ended.rcvd == close
    if command == "reset":
        assert isinstance(ended.__cause__, ConnectionResetError)


async def test_half_closes_and_reads_on(any_server: ServerProcess) -> None:
    # A client of RFC 6455 ends when it sees a FIN, so this one is a bare socket.
    port = any_server.port
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(
            b"GET /control HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        async with asyncio.timeout(SOON):
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            # A mask of zeros leaves the text as it is.
            writer.write(b"\x81\x8a\x00\x00\x00\x00half-close")
            assert await reader.read() == b""
        for text in (b"one", b"two"):
            writer.write(b"\x81\x83\x00\x00\x00\x00" + text)
        assert await any_server.received(3) == ["half-close", "one", "two"]
        assert not any_server.entries("close")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_mutes(any_server: ServerProcess) -> None:
    async with dial(f"{any_server.url}/control") as client:
        await client.send("mute")
        await any_server.logged("message", text="mute")
        # Until it goes back to its loop, it may read a little more.
        await client.send("after")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await (await client.ping())
        # Both kernels' buffers fill, and nothing is taken.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fill(client), 0.5)
        client.transport.abort()


async def test_bursts_and_pings(any_server: ServerProcess) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{any_server.url}/control", autoping=False) as client,
    ):
        await client.send_str("burst 1000 50")
        numbers = [await client.receive_str() for _ in range(1000)]
        assert [int(text) for text in numbers] == list(range(1, 1001))
        assert {len(text) for text in numbers} == {50}
        await client.send_str("ping are you there")
        message = await client.receive()
        assert message.type is aiohttp.WSMsgType.PING
        assert bytes(message.data) == b"are you there"


@pytest.mark.parametrize("code", ["1013", "4000", "rst", "fin"])
async def test_accepts_and_closes_at_once(any_server: ServerProcess, code: str) -> None:
    url = f"{any_server.url}/accept-close?code={code}&reason=later&times=2"
    for _ in range(2):
        async with dial(url) as client:
            ended = await ending(client)
        if code.isdigit():
            assert ended.rcvd == Close(int(code), "later")
        else:
            assert ended.rcvd is None
    async with dial(url) as client:
        await client.send("third time lucky")
        assert await client.recv() == "third time lucky"


async def test_refuses(any_server: ServerProcess) -> None:
    url = f"{any_server.url}/refuse?status=503&retry_after=1&times=1"
    with pytest.raises(InvalidStatus) as caught:
        async with dial(url):
            pass
    assert caught.value.response.status_code == 503
    assert caught.value.response.headers["Retry-After"] == "1"
    await any_server.logged("refuse", status=503)
    async with dial(url) as client:
        await client.send("now")
        assert await client.recv() == "now"


async def test_redirects(any_server: ServerProcess) -> None:
    url = f"{any_server.url}/refuse?status=302&location=/echo"
    async with dial(url) as client:
        await client.send("there")
        assert await client.recv() == "there"


async def test_stops_with_1001(any_server: ServerProcess) -> None:
    async with dial(f"{any_server.url}/echo") as client:
        stopping = asyncio.create_task(any_server.stop())
        ended = await ending(client)
        assert ended.rcvd is not None
        assert ended.rcvd.code == 1001
        assert await stopping == 0
    assert not any_server.is_running


async def test_is_killed_and_comes_back_on_its_port(any_server: ServerProcess) -> None:
    port = any_server.port
    async with dial(f"{any_server.url}/echo") as client:
        await client.send("before")
        await client.recv()
        pid = any_server.pid
        await any_server.kill()
        ended = await ending(client)
        assert ended.rcvd is None
    assert not any_server.is_running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(ConnectionRefusedError), socket.socket() as probe:
        probe.connect((HOST, port))
    await any_server.start()
    assert any_server.port == port
    async with dial(f"{any_server.url}/echo") as client:
        await client.send("after")
        await client.recv()
    assert await any_server.received(2) == ["before", "after"]


async def test_freezes_and_thaws(any_server: ServerProcess) -> None:
    async with dial(f"{any_server.url}/echo") as client:
        await any_server.freeze()
        await client.send("hello")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.recv()
        await any_server.thaw()
        async with asyncio.timeout(SOON):
            assert await client.recv() == "hello"


async def test_ends_while_frozen(any_server: ServerProcess) -> None:
    await any_server.freeze()
    started = time.monotonic()
    await any_server.kill()
    assert time.monotonic() - started < 2.0
    assert not any_server.is_running


async def test_mosquitto_speaks_mqtt(mosquitto: Mosquitto) -> None:
    for _ in range(2):
        async with dial(f"{mosquitto.url}/mqtt", subprotocols=["mqtt"]) as client:
            assert client.subprotocol == "mqtt"
            await client.send(MQTT_CONNECT)
            async with asyncio.timeout(SOON):
                assert await client.recv() == MQTT_CONNACK
            await mosquitto.kill()
            await ending(client)
        await mosquitto.start()


async def test_nginx_proxies_and_a_reload_drops(
    nginx: Nginx, websockets_server: ServerProcess
) -> None:
    async with dial(f"{nginx.url}/echo") as client:
        await client.send("through")
        assert await client.recv() == "through"
        await nginx.reload()
        ended = await ending(client)
        assert ended.rcvd is None
    async with dial(f"{nginx.url}/echo") as client:
        await client.send("again")
        assert await client.recv() == "again"
    assert await websockets_server.received(2) == ["through", "again"]
    assert await nginx.stop() == 0


@pytest.mark.parametrize("status", [404, 429, 503])
async def test_nginx_refuses(nginx: Nginx, status: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with dial(f"{nginx.url}/nginx/{status}"):
            pass
    assert caught.value.response.status_code == status


async def test_nginx_without_its_upstream(
    nginx: Nginx, websockets_server: ServerProcess
) -> None:
    await websockets_server.kill()
    with pytest.raises(InvalidStatus) as caught:
        async with dial(f"{nginx.url}/echo"):
            pass
    assert caught.value.response.status_code == 502
    await nginx.kill()
    await nginx.start()
    await websockets_server.start()
    async with dial(f"{nginx.url}/echo") as client:
        await client.send("back")
        assert await client.recv() == "back"


async def test_nginx_drops_what_is_idle(nginx: Nginx) -> None:
    nginx.read_timeout = 0.2
    await nginx.reload()
    async with dial(f"{nginx.url}/echo") as client:
        ended = await ending(client)
        assert ended.rcvd is None


async def call(client: ClientConnection, method: str, *parameters: object) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    await client.send(json.dumps(request))
    async with asyncio.timeout(SOON):
        while "id" not in (answer := json.loads(await client.recv())):
            pass
    return answer["result"]


async def test_anvil_keeps_its_chain_over_a_kill(anvil: Anvil) -> None:
    async with dial(anvil.url) as client:
        await call(client, "anvil_mine", "0x5")
        assert await call(client, "eth_blockNumber") == "0x5"
        written = time.time_ns()
        # Two dumps later: the first may have begun before the blocks came.
        deadline = time.monotonic() + SOON
        dumps = set[int]()
        while len(dumps) < 2:
            assert time.monotonic() < deadline
            with contextlib.suppress(FileNotFoundError):
                dumped = anvil.state.stat().st_mtime_ns
                if dumped > written:
                    dumps.add(dumped)
            await asyncio.sleep(0.02)
        await anvil.kill()
        await ending(client)
    await anvil.start()
    async with dial(anvil.url) as client:
        assert await call(client, "eth_blockNumber") == "0x5"


async def test_a_server_that_cannot_start_says_why() -> None:
    server = ServerProcess(["/bin/sh", "-c", "echo no such luck; exit 3"])
    with pytest.raises(pytest.fail.Exception, match="no such luck"):
        await server.start()
    assert not server.is_running


async def test_leaks_are_found() -> None:
    with pytest.raises(AssertionError, match="tasks left pending"):
        async with assert_no_leaks():
            task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    with pytest.raises(AssertionError, match="sockets left open"):
        async with assert_no_leaks():
            sock = socket.socket()
    sock.close()
    async with assert_no_leaks():
        socket.socket().close()
        await asyncio.create_task(asyncio.sleep(0))


def test_a_free_port_is_below_the_ephemeral_range() -> None:
    limits = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    assert free_port() < int(limits.split()[0])
