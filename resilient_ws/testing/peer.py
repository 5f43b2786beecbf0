"""The server's side of one connection: what the client said, and what to answer.

Rules: Everything that comes is recorded, even if nobody takes it. Pings and the closing
handshake are answered at once, unless the script says otherwise. A misconduct of the
client ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, TypeVar, cast

from resilient_ws.testing.client_stream import ClientStream
from resilient_ws.testing.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Misconduct,
    close_frame,
    frame,
    message,
)
from resilient_ws.testing.http import Request, rejection, response
from resilient_ws.testing.sockets import acknowledge_at_once, reset_on_close


if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

T = TypeVar("T")


class ClientGone(Exception):
    """The client has ended the connection, or the connection was lost."""


class Peer(asyncio.Protocol):
    """The server's side of one connection of a :class:`ScriptedServer`.

    It answers pings and the closing handshake by itself, unless told otherwise.
    ``within`` is in seconds of the loop's clock. Cancellation: a call that waits may be
    cancelled at any time, and nothing that came is lost.

    Args:
        numbers: Gives each connection of a server its number.
        on_open: Called when the connection is there.
        on_request: Called when its request has come and has been judged.
        on_misconduct: Called with the misconduct that ends it.
    """

    def __init__(
        self,
        numbers: Iterator[int],
        *,
        on_open: Callable[[Peer], None],
        on_request: Callable[[Peer], None],
        on_misconduct: Callable[[Peer, Misconduct], None],
    ) -> None:
        self._numbers = numbers
        self._on_open = on_open
        self._on_request = on_request
        self._on_misconduct = on_misconduct
        self._loop = asyncio.get_running_loop()
        self._stream = ClientStream()
        #: Messages that were not taken yet.
        self._inbox: deque[str | bytes] = deque()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._misconduct: Misconduct | None = None
        self._has_finished = False
        #: Which connection of its server this is, from 1.
        self.number = 0
        #: The transport beneath, for what has no name here.
        self.transport: asyncio.Transport
        #: Whether the handshake was answered with 101.
        self.accepted = False
        #: Every message that came, whether it was taken or not.
        self.received: list[str | bytes] = []
        #: When each message came, by the loop's clock.
        self.received_at: list[float] = []
        #: The payloads of the pings and pongs that came.
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        #: The code and reason of the client's close frame.
        self.close_received: tuple[int | None, str] | None = None
        #: Set these to False to leave the answers to the script.
        self.answers_pings = True
        self.answers_close = True
        #: Whether the connection is over, and when it ended.
        self.gone = False
        self.gone_at = 0.0

    def __str__(self) -> str:
        """Say which connection of the server this is."""
        return f"client {self.number} ({self.path or 'no path'})"

    # The request.

    @property
    def request(self) -> Request:
        """The request, with the subprotocols that the client offers."""
        return self._stream.request

    @property
    def path(self) -> str:
        """The target of the request, with its query."""
        return self.request.path

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the request, by name in lower case."""
        return self.request.headers

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
            headers: More headers, or other values for the usual ones.
            tail: What follows in the same packet, such as frames.

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
        self._stream.accept(fields.get("Sec-WebSocket-Extensions", ""))
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
        """Answer the handshake with a status other than 101, and end the connection.

        Args:
            status: The HTTP status, such as 429 or 503.
            retry_after: The header of that name, in seconds or as a date.
            headers: More headers.
            body: The body. Its length is announced.
        """
        self._put(rejection(status, retry_after, headers, body))
        await self.drop()

    # Say something.

    async def send(self, *messages: str | bytes) -> None:
        """Send messages in one write: ``str`` as text, ``bytes`` as binary.

        Waits while the client takes no more.

        Raises:
            ClientGone: The connection, or our side of it, has ended.
        """
        if not self._may_write:
            raise self._end()
        await self.write(b"".join(map(message, messages)))

    async def write(self, data: bytes) -> None:
        """Put raw bytes on the wire, legal or not. Do nothing if it is closed."""
        self._put(data)
        await self._writable.wait()

    async def ping(self, payload: bytes = b"", *, within: float = 10.0) -> None:
        """Send a ping, and wait for its pong.

        Raises:
            AssertionError: No pong came ``within`` that many seconds.
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
        """Close with the handshake of RFC 6455: send, await the answer, send a FIN.

        Raises:
            AssertionError: The client did not answer ``within`` that many seconds.
            ClientGone: It ended the connection instead.
        """
        self.answers_close = False
        await self.write(close_frame(code, reason))
        await self._within(within, "a close frame", self.goodbye())
        self._finish()

    async def half_close(self) -> None:
        """End our stream with a FIN, and read on."""
        self._finish()

    async def drop(self) -> None:
        """End the connection with a FIN and no close frame."""
        self.transport.close()
        await self.ended()

    async def reset(self) -> None:
        """End the connection with an RST at once, and discard what was not sent."""
        reset_on_close(self.transport.get_extra_info("socket"))
        self.transport.abort()
        await self.ended()

    def freeze(self) -> None:
        """Read and answer nothing from now on. The kernel still takes bytes."""
        self.transport.pause_reading()

    def thaw(self) -> None:
        """Read again, beginning with what came meanwhile."""
        self.transport.resume_reading()

    # Wait for something.

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
        """Return the next message, which must be the expected one.

        Args:
            expected: The message, or a function that is true for the right one.
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
        """Wait until something that came has made ``condition`` true.

        Raises:
            ClientGone: The connection ended first.
        """
        while not condition():
            if self.gone or self._misconduct is not None:
                raise self._end()
            self._changed.clear()
            await self._changed.wait()

    async def goodbye(self) -> None:
        """Wait for the client's close frame, which is then in ``close_received``."""
        await self.until(lambda: self.close_received is not None)

    async def ended(self) -> None:
        """Wait until the connection has ended."""
        with contextlib.suppress(ClientGone):
            await self.until(lambda: False)

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

    def _end(self) -> ClientGone | Misconduct:
        """Return the error that says how the connection ended."""
        if self._misconduct is not None:
            return Misconduct(f"{self} {self._misconduct}")
        if self.close_received is None:
            return ClientGone(f"{self} is gone without a close frame.")
        code, reason = self.close_received
        return ClientGone(f"{self} closed with {code} {reason!r}.")

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a transport."""
        # uvloop's has the methods of an asyncio.Transport, and is none.
        self.transport = cast("asyncio.Transport", transport)
        self.number = next(self._numbers)
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
        """Judge, record and answer what the client sent."""
        acknowledge_at_once(self.transport.get_extra_info("socket"))
        try:
            for item in self._stream.feed(data):
                if isinstance(item, Request):
                    self._on_request(self)
                else:
                    self._on_frame(*item)
        except Misconduct as misconduct:
            self._misconduct = misconduct
            self._on_misconduct(self, misconduct)
            self.transport.close()
        self._changed.set()

    def pause_writing(self) -> None:
        """Make writers wait, because the client takes no more."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        """Wake everybody who waits."""
        self.gone = True
        self.gone_at = self._loop.time()
        self._writable.set()
        self._changed.set()

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

    # Write.

    @property
    def _may_write(self) -> bool:
        return not (self._has_finished or self.transport.is_closing())

    def _put(self, data: bytes) -> None:
        if self._may_write:
            self.transport.write(data)

    def _finish(self) -> None:
        """End our stream, and read on: more from the client would be a misconduct."""
        if not self._may_write:
            return
        self._has_finished = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()
