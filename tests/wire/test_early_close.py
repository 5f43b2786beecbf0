"""What a server says before it closes at once is not lost in silence."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import resilient_ws


GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TWO_MESSAGES_AND_A_CLOSE = b"\x81\x01a\x81\x01b\x88\x02\x0f\xa0"


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say everything in one write: 101, two messages, close 4000."""
    request = await reader.readuntil(b"\r\n\r\n")
    lines = request.lower().split(b"\r\n")
    place = next(n for n, line in enumerate(lines) if b"sec-websocket-key" in line)
    key = request.split(b"\r\n")[place].partition(b":")[2].strip()
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
        + TWO_MESSAGES_AND_A_CLOSE
    )
    await reader.read()
    writer.close()


async def test_messages_before_an_early_close_are_received_or_reported() -> None:
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}/"
        async with resilient_ws.connect(url, wait_open=False) as session:
            async with asyncio.timeout(5.0):
                item = await anext(session.with_interruptions())
    assert item == "a" or isinstance(item, resilient_ws.Interruption)
