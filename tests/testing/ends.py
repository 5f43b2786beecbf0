"""Both ends of connections through a FaultProxy, as plain streams."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from typing import TYPE_CHECKING, Self

from resilient_ws.testing import FaultProxy, assert_no_leaks


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

HOST = "127.0.0.1"
SIZE = 3_000_000


class End:
    """One end of a connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer
        #: What the proxy made of it, seen from here.
        self.error: OSError | None = None

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def exactly(self, count: int) -> bytes:
        return await self._reader.readexactly(count)

    async def some(self) -> bytes:
        return await self._reader.read(2**16)

    async def rest(self) -> bytes:
        """Everything until the end; an RST is noted as ``error``, and loses nothing."""
        found = bytearray()
        try:
            while data := await self._reader.read(2**16):
                found += data
        except OSError as error:
            self.error = error
            # StreamReader raises before it hands over what came before the RST.
            found += self._reader._buffer  # type: ignore[attr-defined]
        return bytes(found)

    @property
    def pending_error(self) -> int:
        """What the next call on the socket would fail with."""
        sock = self._writer.get_extra_info("socket")
        return int(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def finish(self) -> None:
        """Send a FIN, and go on reading."""
        self._writer.write_eof()

    def reset(self) -> None:
        sock = self._writer.get_extra_info("socket")
        linger = (1).to_bytes(4, "little") + bytes(4)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()

    async def closed(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Ends:
    """A server, a proxy before it, and the clients that dial it."""

    def __init__(self) -> None:
        self.proxy: FaultProxy
        self.served: list[End] = []
        self.dialled: list[End] = []
        self._came = asyncio.Condition()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async with self._came:
            self.served.append(End(reader, writer))
            self._came.notify_all()
        # asyncio calls a connection whose handler returned no more the server's.

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.proxy = await FaultProxy(HOST, port).__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.proxy.__aexit__(kind, error, trace)
        finally:
            self._server.close()
            for end in (*self.dialled, *self.served):
                await end.closed()

    async def dial(self) -> End:
        """A client's end."""
        end = End(*await asyncio.open_connection(HOST, self.proxy.port))
        self.dialled.append(end)
        return end

    async def pair(self) -> tuple[End, End]:
        """A client's end and the server's end of the same connection."""
        count = len(self.served)
        client = await self.dial()
        async with self._came:
            await self._came.wait_for(lambda: len(self.served) > count)
        return client, self.served[count]


@contextlib.asynccontextmanager
async def both_ends() -> AsyncIterator[Ends]:
    """Ends that leave nothing behind."""
    async with assert_no_leaks(), Ends() as ends:
        yield ends


def bytes_of(seed: int, size: int = SIZE) -> bytes:
    """Bytes to send, the same for the same seed."""
    return random.Random(seed).randbytes(size)


async def passes(sender: End, receiver: End, data: bytes) -> None:
    """What is sent at one end arrives at the other, to the byte."""
    sending = asyncio.create_task(sender.send(data))
    assert await receiver.exactly(len(data)) == data
    await sending


async def passes_both_ways(client: End, server: End) -> None:
    """Both directions of a connection pass what is sent."""
    await passes(client, server, b"up")
    await passes(server, client, b"down")
