"""What one client says to a ScriptedServer: seen, noted and judged.

Pings and the closing handshake are answered at once unless told otherwise. A
misconduct ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from resilient_ws.testing.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    ClientFrames,
    Misconduct,
    frame,
)
from resilient_ws.testing.http import END_OF_HEAD, Request
from resilient_ws.testing.sockets import acknowledge_at_once


if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_HEAD: Final = 64 * 1024
_NOTHING: Final = Request("", "", "", {})


class ClientGone(Exception):
    """The client has ended the connection, or it was lost."""


class Witness(asyncio.Protocol):
    """What came over one connection, and whether it was right.

    Args:
        number: Which connection of its server it is, from 1.
        opened: Called when it is there.
        asked: Called when its request is, and is right so far.
        wronged: Called with the misconduct that ends it.
    """

    def __init__(
        self,
        number: int,
        *,
        opened: Callable[[], None],
        asked: Callable[[], None],
        wronged: Callable[[Misconduct], None],
    ) -> None:
        self._opened, self._asked, self._wronged = opened, asked, wronged
        self._loop = asyncio.get_running_loop()
        self._head = bytearray()
        self._frames: ClientFrames | None = None
        self._inbox: deque[str | bytes] = deque()
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._misconduct: Misconduct | None = None
        self._finished = False
        #: Which connection of its server it is, from 1.
        self.number = number
        #: The transport beneath, for what has no name here.
        self.transport: asyncio.Transport
        #: The request, with the subprotocols that the client offers.
        self.request = _NOTHING
        #: Whether the handshake was answered with 101.
        self.accepted = False
        #: Every message that came, taken or not, and when, by the loop's clock.
        self.received: list[str | bytes] = []
        self.received_at: list[float] = []
        #: The payloads of the pings and pongs that came.
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        #: The code and reason of the client's close frame.
        self.close_received: tuple[int | None, str] | None = None
        #: Set to False, it leaves these to the script.
        self.answers_pings = True
        self.answers_close = True
        #: Whether the connection is over, and when it ended.
        self.gone = False
        self.gone_at = 0.0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Know the transport."""
        # By what it can do: uvloop's is no asyncio.Transport.
        self.transport = cast("asyncio.Transport", transport)
        self._opened()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        acknowledge_at_once(self.transport.get_extra_info("socket"))
        try:
            if self.request is _NOTHING:
                self._read_request(data)
            else:
                self._read_frames(data)
        except Misconduct as misconduct:
            self._misconduct = misconduct
            self._wronged(misconduct)
            self.transport.close()
        self._news.set()

    def pause_writing(self) -> None:
        """Make writers wait: the client takes no more."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its name is asyncio's
        """Wake whoever waits."""
        self.gone = True
        self.gone_at = self._loop.time()
        self._writable.set()
        self._news.set()

    # Reading.

    def _read_request(self, data: bytes) -> None:
        self._head += data
        head, end, rest = bytes(self._head).partition(END_OF_HEAD)
        if not end:
            if len(self._head) > _MAX_HEAD:
                raise Misconduct("sent a request without an end")
            return
        self.request = Request.parse(head)
        self.request.check()
        if rest:
            raise Misconduct("sent more before its handshake was answered")
        self._asked()

    def _read_frames(self, data: bytes) -> None:
        if self._frames is None:
            raise Misconduct("sent more before its handshake was answered")
        for opcode, payload in self._frames.feed(data):
            self._on_frame(opcode, payload)

    def _on_frame(self, opcode: int, payload: bytes) -> None:
        if opcode in {TEXT, BINARY}:
            data = payload.decode() if opcode == TEXT else payload
            self.received.append(data)
            self.received_at.append(self._loop.time())
            self._inbox.append(data)
        elif opcode == PING:
            self.pings.append(payload)
            if self.answers_pings:
                self._put(frame(PONG, payload))
        elif opcode == PONG:
            self.pongs.append(payload)
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2]) if payload else None
            self.close_received = (code, payload[2:].decode())
            if self.answers_close:
                self._put(frame(CLOSE, payload))
                self._finish()

    def _finish(self) -> None:
        """End our stream, and read on: the client must say nothing more, and go."""
        if not self._may_write:
            return
        self._finished = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    @property
    def _may_write(self) -> bool:
        return not (self._finished or self.transport.is_closing())

    def _put(self, data: bytes) -> None:
        if self._may_write:
            self.transport.write(data)

    # What the client asked for.

    @property
    def path(self) -> str:
        """The target of the request, with its query."""
        return self.request.path

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the request, by name in lower case."""
        return self.request.headers

    # What one waits for.

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something that came made ``condition`` true.

        Raises:
            ClientGone: The connection ended first.
        """
        while not condition():
            if self.gone or self._misconduct is not None:
                raise self._end()
            self._news.clear()
            await self._news.wait()

    async def goodbye(self) -> None:
        """Wait for the client's close frame; see ``close_received``."""
        await self.until(lambda: self.close_received is not None)

    async def ended(self) -> None:
        """Wait until the connection is gone."""
        with contextlib.suppress(ClientGone):
            await self.until(lambda: False)

    # Saying what went wrong.

    def __str__(self) -> str:
        """Say which connection of the server this is."""
        return f"client {self.number} ({self.path or 'no path'})"

    def _end(self) -> ClientGone | Misconduct:
        if self._misconduct is not None:
            return Misconduct(f"{self} {self._misconduct}")
        if self.close_received is None:
            return ClientGone(f"{self} is gone without a close frame.")
        code, reason = self.close_received
        return ClientGone(f"{self} closed with {code} {reason!r}.")
