"""Servers of other hands agree on compression, and both sides do compress."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from resilient_ws import ConnectionOpened
from resilient_ws.testing import assert_no_leaks
from tests.servers.process import HOST
from tests.wire.witness import BOTH_LOOPS, soon, watched


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.server import ServerConnection

    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire

DEFLATE = "permessage-deflate"

#: Text that shrinks, binary that shrinks, and what does not.
LARGE = (
    '{"bid": 1.0842, "ask": 1.0843, "größe": 7}, ' * 3000,
    bytes(range(256)) * 1000,
    os.urandom(70_000),
    "x" * 2_000_000,
)


@BOTH_LOOPS
async def test_messages_are_compressed_in_both_directions(
    any_server: ServerProcess,
) -> None:
    async with (
        assert_no_leaks(),
        watched(f"{any_server.url}/echo") as (session, seen),
    ):
        [opened] = seen.of(ConnectionOpened)
        assert DEFLATE in opened.extensions
        for message in LARGE:
            before = session.statistics()
            await session.send(message)
            assert await soon(session) == message
            after = session.statistics()
            size = len(message.encode() if isinstance(message, str) else message)
            sent = after.bytes_sent - before.bytes_sent
            received = after.bytes_received - before.bytes_received
            if message is LARGE[2]:
                assert size < sent < size * 1.01
            else:
                assert sent < size / 10
                assert received < size / 20
        for message in ("short", "", b"", "a" * 255, "a" * 256):
            await session.send(message)
            assert await soon(session) == message
        # Each connection begins with a window of its own.
        await any_server.restart()
        await session.send(LARGE[0])
        assert await soon(session) == LARGE[0]
        assert session.epoch == 2
    [first, *_] = await any_server.logged("open", count=2)
    offered = first["headers"]["sec-websocket-extensions"]
    assert offered == f"{DEFLATE}; client_max_window_bits"
    messages = await any_server.logged("message", count=len(LARGE) + 6)
    sizes = [entry["size"] for entry in messages]
    assert sizes[1:3] == [len(LARGE[1]), len(LARGE[2])]


async def test_a_feed_of_small_messages_takes_the_context_over(
    websockets_server: ServerProcess,
) -> None:
    url = f"{websockets_server.url}/feed?n=500&size=300"
    async with assert_no_leaks(), watched(url) as (session, _):
        assert [int(await soon(session)) for _ in range(500)] == [*range(1, 501)]
        assert session.statistics().bytes_received < 500 * 300 / 10


async def test_with_compression_none_nothing_is(any_server: ServerProcess) -> None:
    url = f"{any_server.url}/echo"
    async with assert_no_leaks(), watched(url, compression=None) as (session, seen):
        [opened] = seen.of(ConnectionOpened)
        assert opened.extensions == {}
        await session.send("a" * 10_000)
        assert await soon(session) == "a" * 10_000
        assert session.statistics().bytes_sent > 10_000
        assert session.statistics().bytes_received > 10_000
    [entry] = await any_server.logged("open")
    assert "sec-websocket-extensions" not in entry["headers"]


@contextlib.asynccontextmanager
async def server_with(**parameters: Any) -> AsyncIterator[str]:
    """A server of the websockets library that insists on parameters of its own."""

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    factory = ServerPerMessageDeflateFactory(**parameters)
    async with serve(
        echo, HOST, 0, compression=None, extensions=[factory], max_size=None
    ) as server:
        [listener] = server.sockets
        yield f"ws://{HOST}:{listener.getsockname()[1]}"


@pytest.mark.parametrize("server_fresh", [False, True])
@pytest.mark.parametrize("client_fresh", [False, True])
@pytest.mark.parametrize(("server_bits", "client_bits"), [(12, 9), (9, 15), (15, 10)])
async def test_what_a_server_insists_on_is_done(
    server_fresh: bool, client_fresh: bool, server_bits: int, client_bits: int
) -> None:
    wishes = {
        "server_no_context_takeover": server_fresh,
        "client_no_context_takeover": client_fresh,
        "server_max_window_bits": server_bits,
        "client_max_window_bits": client_bits,
    }
    async with (
        assert_no_leaks(),
        server_with(**wishes) as url,
        watched(url) as (session, seen),
    ):
        [opened] = seen.of(ConnectionOpened)
        parameters = opened.extensions[DEFLATE]
        assert parameters["client_max_window_bits"] == str(client_bits)
        assert parameters["server_max_window_bits"] == str(server_bits)
        assert ("server_no_context_takeover" in parameters) == server_fresh
        assert ("client_no_context_takeover" in parameters) == client_fresh
        sizes = []
        noise = os.urandom(200).hex()
        for message in (noise, noise, *LARGE, noise):
            before = session.statistics().bytes_sent
            await session.send(message)
            assert await soon(session) == message
            sizes.append(session.statistics().bytes_sent - before)
    # The second one is a look back, if that is allowed and the window is so large.
    assert (sizes[1] < sizes[0] / 4) == (not client_fresh and client_bits > 9)
