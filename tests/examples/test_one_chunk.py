"""What comes in a single read: more than the inbox holds, or a whole connection."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from typing import TYPE_CHECKING

import pytest

import resilient_ws
from resilient_ws.testing import assert_no_leaks


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.wire

COUNT = 5000
CLOSE = b"\x88\x02\x03\xe9"  # 1001


@contextlib.asynccontextmanager
async def server_of(
    *, with_101: bytes = b"", when_asked: bytes = b""
) -> AsyncIterator[str]:
    """Serve bytes: some in one write with the 101, some after the first message."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        key = next(line for line in lines if line.startswith("Sec-WebSocket-Key"))
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        digest = hashlib.sha1((key.split(": ")[1] + guid).encode()).digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: "
            + base64.b64encode(digest)
            + b"\r\n\r\n"
            + with_101
        )
        await reader.read(100)
        writer.write(when_asked)
        if when_asked:
            await reader.read(100)  # the close frame
            writer.write(CLOSE)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("max_messages", [1, 100, 1024, COUNT])
async def test_reading_goes_on_each_time_a_full_inbox_was_emptied(
    max_messages: int,
) -> None:
    inbox = resilient_ws.Inbox(max_messages=max_messages)
    async with (
        server_of(when_asked=b"\x81\x01x" * COUNT) as url,
        resilient_ws.connect(url, inbox=inbox) as session,
    ):
        await session.send("go")
        received = 0
        try:
            async with asyncio.timeout(10):
                while received < COUNT:
                    assert await session.receive() == "x"
                    received += 1
        except TimeoutError:
            pytest.fail(f"reading stopped for ever after {received} of {COUNT}")


async def test_messages_that_come_with_the_101_and_a_close_frame_are_received() -> None:
    async with (
        server_of(with_101=b"\x81\x01a\x81\x01b" + CLOSE) as url,
        resilient_ws.connect(url, wait_open=False) as session,
        asyncio.timeout(5),
    ):
        assert [await session.receive(), await session.receive()] == ["a", "b"]
        assert session.statistics().attempts == 1


async def test_a_session_that_its_hook_ends_leaves_nothing_behind() -> None:
    async def refuse(_: resilient_ws.Connection) -> None:
        raise resilient_ws.Fatal("not here")

    async with server_of() as url, assert_no_leaks():
        session = resilient_ws.connect(url, on_open=refuse)
        with pytest.raises(resilient_ws.Fatal, match="not here"):
            async with session:
                pytest.fail("it was entered")
        assert session.state is resilient_ws.State.CLOSED
