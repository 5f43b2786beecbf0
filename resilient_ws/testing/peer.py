"""The server's side of one connection: what it is told to do, and what it saw.

A peer answers pings and the closing handshake by itself unless told otherwise. It
judges everything that the client sends; a misconduct ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, TypeVar

from resilient_ws.testing.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    ClientFrames,
    Misconduct,
    close_frame,
    frame,
    message,
)
from resilient_ws.testing.http import END_OF_HEAD, Request, rejection, response
from resilient_ws.testing.sockets import acknowledge_at_once, linger_not


if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from resilient_ws.testing.server import ScriptedServer

T = TypeVar("T")

_MAX_HEAD: Final = 64 * 1024
_NOTHING: Final = Request("", "", "", {})


class ClientGone(Exception):
    """The client has ended the connection, or it was lost."""


class Peer(asyncio.Protocol):
    """The server's side of one connection of a :class:`ScriptedServer`.

    ``within`` is in seconds of the loop's clock. Cancellation: a call that waits may
    be cancelled at any time; what came meanwhile is there for the next one.
    """

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._head = bytearray()
        self._frames: ClientFrames | None = None
        self._inbox: deque[str | bytes] = deque()
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._misconduct: Misconduct | None = None
        #: Which connection of its server it is, from 1.
        self.number = len(server.peers) + 1
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
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the types
        self.transport = transport
        self._server.on_connection(self)

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
            self._server.on_misconduct(self, misconduct)
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
        self._server.on_request(self)

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
        if self.transport.can_write_eof():
            if not self.transport.is_closing():
                self.transport.write_eof()
        else:
            self.transport.close()

    def _put(self, data: bytes) -> None:
        if not self.transport.is_closing():
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

    # What a script does.

    async def accept(
        self,
        *,
        subprotocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        tail: bytes = b"",
    ) -> None:
        """Answer the handshake with 101.

        Args:
            subprotocol: One of those that the client offers.
            headers: More headers, or others in place of the right ones.
            tail: What follows in the same packet, as frames.

        Raises:
            AssertionError: The client does not offer ``subprotocol``.
        """
        fields = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": self.request.accept_token(),
        }
        if subprotocol is not None:
            offered = self.request.subprotocols
            if subprotocol not in offered:
                raise AssertionError(
                    f"{self} should offer the subprotocol {subprotocol!r};"
                    f" it offers {offered}."
                )
            fields["Sec-WebSocket-Protocol"] = subprotocol
        fields |= headers or {}
        self._frames = ClientFrames(fields.get("Sec-WebSocket-Extensions", ""))
        self.accepted = True
        await self.write(response(101, fields) + tail)

    async def reject(
        self,
        status: int,
        *,
        retry_after: int | str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        """Answer the handshake with another status than 101, and hang up.

        Args:
            status: The status of HTTP, as 429 or 503.
            retry_after: For the header of that name: seconds, or a date.
            headers: More headers.
            body: The body, with its length announced.
        """
        self._put(rejection(status, retry_after, headers, body))
        await self.drop()

    async def send(self, *messages: str | bytes) -> None:
        """Send messages in one write: ``str`` as text, ``bytes`` as binary.

        Waits while the client takes no more.

        Raises:
            ClientGone: The connection is over.
        """
        if self.transport.is_closing():
            raise self._end()
        await self.write(b"".join(map(message, messages)))

    async def write(self, data: bytes) -> None:
        """Put raw bytes on the wire, legal or not; nothing if it is closed."""
        self._put(data)
        await self._writable.wait()

    async def ping(self, payload: bytes = b"", *, within: float = 10.0) -> None:
        """Send a ping, and wait for its pong.

        Raises:
            AssertionError: None came ``within`` so many seconds.
            ClientGone: The connection ended first.
        """
        before = len(self.pongs)
        await self.write(frame(PING, payload))
        await self._within(
            within,
            f"a pong with {payload!r}",
            self.until(lambda: payload in self.pongs[before:]),
        )

    async def close(
        self, code: int | None = 1000, reason: str = "", *, within: float = 10.0
    ) -> None:
        """Close with the handshake of RFC 6455: send, await the answer, hang up.

        Raises:
            AssertionError: The client did not answer ``within`` so many seconds.
            ClientGone: It ended the connection instead.
        """
        self.answers_close = False
        await self.write(close_frame(code, reason))
        await self._within(within, "a close frame", self.goodbye())
        self._finish()

    async def half_close(self) -> None:
        """End our stream (FIN), and read on."""
        self._finish()

    async def drop(self) -> None:
        """End the connection with a FIN and no close frame."""
        self.transport.close()
        await self.ended()

    async def reset(self) -> None:
        """End the connection with an RST, leaving nothing behind."""
        linger_not(self.transport.get_extra_info("socket"))
        self.transport.abort()
        await self.ended()

    def freeze(self) -> None:
        """Read and answer nothing from now on; the kernel still takes bytes."""
        self.transport.pause_reading()

    def thaw(self) -> None:
        """Read again, beginning with what came meanwhile."""
        self.transport.resume_reading()

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            ClientGone: The connection ended before there was one.
        """
        await self.until(lambda: bool(self._inbox))
        return self._inbox.popleft()

    async def expect(
        self,
        expected: str | bytes | Callable[[str | bytes], object],
        *,
        within: float = 10.0,
    ) -> str | bytes:
        """Return the next message, which must be the one expected.

        Args:
            expected: The message, or a function of it that is true for the right one.
            within: Seconds to wait for it.

        Raises:
            AssertionError: Another message came, or none, or the connection ended.
        """
        try:
            came = await self._within(within, repr(expected), self.receive())
        except ClientGone as gone:
            raise AssertionError(f"{expected!r} was expected, but {gone}") from None
        right = expected(came) if callable(expected) else came == expected
        if not right:
            raise AssertionError(f"{self} should send {expected!r}; it sent {came!r}.")
        return came

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

    async def _within(
        self, seconds: float, what: str, waiting: Coroutine[None, None, T]
    ) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except TimeoutError:
            raise AssertionError(
                f"{self} should send {what}, and did not within {seconds:g} s."
            ) from None
