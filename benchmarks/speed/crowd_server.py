"""A server for thousands: it answers handshakes, pings and goodbyes, and can vanish.

On its standard input, ``drop`` resets every connection and stops listening, and
``listen`` listens again on the same port, printing the time when it does. Every client
gets one message that says ``hello``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from typing import ClassVar, cast

from benchmarks.speed.frames import accept, unmask
from resilient_ws.testing.frames import frame


class Connection(asyncio.Protocol):
    """One client, whose frames are short: pings and a goodbye."""

    everyone: ClassVar[set[Connection]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.buffer = bytearray()
        self.open = False
        self.everyone.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.everyone.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.open:
            self._shake_hands()
        while self.open and len(self.buffer) >= 6:
            size = (self.buffer[1] & 127) + 6
            if len(self.buffer) < size:
                break
            self._answer(self.buffer[0] & 15, bytes(self.buffer[2:size]))
            del self.buffer[:size]

    def _shake_hands(self) -> None:
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        self.buffer, self.open = rest, True
        [key] = [
            line.split(": ")[1]
            for line in head.decode().split("\r\n")
            if line.lower().startswith("sec-websocket-key:")
        ]
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept(key).encode() + b"\r\n\r\n"
        )
        self.transport.write(frame(1, b"hello"))

    def _answer(self, opcode: int, masked: bytes) -> None:
        if opcode == 9:
            self.transport.write(frame(10, unmask(masked[4:], masked[:4])))
        elif opcode == 8:
            self.transport.write(frame(8, unmask(masked[4:], masked[:4])))
            self.transport.close()

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        linger = struct.pack("ii", 1, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()


async def listen(port: int) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        Connection, "127.0.0.1", port, backlog=4096, reuse_address=True
    )


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await listen(0)
    port = server.sockets[0].getsockname()[1]
    print(port, flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() == "drop":
            server.close()
            for connection in list(Connection.everyone):
                connection.reset()
        else:
            server = await listen(port)
        print(time.monotonic(), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
