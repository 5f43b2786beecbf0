"""What leaves on one connection, and whether there is room for more.

Rules: frames leave in the order they are asked for, and nothing leaves after our
close frame, which the engine sees to. Above the high-water mark senders wait in order,
and of the server's pings only the newest is answered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from resilient_ws.transport import tcp


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.errors import ConnectionLost
    from resilient_ws.protocol.engine import Engine
    from resilient_ws.protocol.message import Message


#: Above this many bytes of ours in the transport, senders wait. asyncio's own mark is
#: 512 KiB on TLS, which would hide a slow link.
HIGH_WATER: Final = 64 * 1024
#: So many pings of one chunk are answered one by one, and of more only the newest.
MAX_PONGS: Final = 64


class Outgoing:
    """The writing side of a wire."""

    def __init__(
        self,
        engine: Engine,
        *,
        loop: asyncio.AbstractEventLoop,
        ended: asyncio.Future[ConnectionLost],
        on_failure: Callable[[Exception], None],
    ) -> None:
        #: Called when a transport that was full can take more.
        self.on_writable: Callable[[], None] | None = None
        self.bytes_sent = 0
        self.messages_written = 0
        self._engine = engine
        self._loop = loop
        self._ended = ended
        self._on_failure = on_failure
        self._transport: asyncio.Transport | None = None
        self._socket: tcp.Socket | None = None
        self._full = False
        self._open = False
        # A list, for there are rarely any: an empty deque has 760 bytes.
        self._waiters: list[asyncio.Future[None]] = []

    def begin(self, transport: asyncio.Transport, sock: tcp.Socket | None) -> None:
        """Write to this transport from now on."""
        self._transport = transport
        self._socket = sock
        self._note_open()
        transport.set_write_buffer_limits(high=HIGH_WATER)

    # Room.

    def writable(self) -> bool:
        """Whether the transport lives and is below its high-water mark."""
        transport = self._transport
        return transport is not None and self._open and not transport.is_closing()

    def _note_open(self) -> None:
        """Take note of whether messages may leave, as far as we have a say."""
        self._open = not (
            self._full or self._engine.close_sent is not None or self._ended.done()
        )

    @property
    def unacknowledged(self) -> int:
        """Bytes of ours that the peer's kernel has not acknowledged."""
        if self._transport is None:
            return 0
        buffered = self._transport.get_write_buffer_size()
        return buffered + tcp.unacknowledged(self._socket)

    def pause(self) -> None:
        """Take note that the transport is above its high-water mark."""
        self._full = True
        self._note_open()

    def resume(self) -> None:
        """Go on writing, the newest pong first."""
        self._full = False
        self._note_open()
        self.answer_pings()
        while self._waiters and self.writable():
            self._wake_next()
        if self.on_writable is not None:
            self.on_writable()

    async def wait_writable(self) -> None:
        """Wait until something can be sent, or the connection has ended.

        Cancellation:
            Safe; nothing was sent.
        """
        while not self.writable() and not self._ended.done():
            if self._engine.close_sent is not None:
                await asyncio.shield(self._ended)
                return
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def end(self) -> None:
        """Wake all who wait: there will be no more room."""
        self._note_open()
        while self._waiters:
            self._wake_next()

    def _wake_next(self) -> None:
        waiter = self._waiters.pop(0)
        if not waiter.done():
            waiter.set_result(None)

    # Frames.

    def send(self, message: Message) -> None:
        """Hand one message to the transport, which is writable."""
        self.messages_written += 1
        self._hand_over(self._engine.message(message))

    def send_many(self, messages: list[Message]) -> None:
        """Hand several messages to the transport, which is writable, in one write."""
        self.messages_written += len(messages)
        self._hand_over(self._engine.messages(messages))

    def ping(self, payload: bytes) -> None:
        """Send a ping."""
        self.write(self._engine.ping(payload))

    def probe(self, message: Message) -> None:
        """Send an application's ping, which is none of the user's messages."""
        self.write(self._engine.message(message))

    def pong(self) -> None:
        """Send a pong that nobody asked for: a sign of life (RFC 6455 §5.5.3)."""
        self.write(self._engine.pong())

    def answer_pings(self) -> None:
        """Answer the pings that came.

        RFC 6455 §5.5.3: the newest answers for all. Behind a full transport a queue of
        pongs would only grow, and a flood needs no flood back.
        """
        engine = self._engine
        pings = engine.receiver.pings
        if self._full or len(pings) > MAX_PONGS:
            del pings[:-1]
        if pings and not self._full:
            frames = b"".join([engine.pong(payload) for payload in pings])
            pings.clear()
            self.write(frames)

    def close(self, code: int, reason: str) -> None:
        """Send our close frame; nothing if there was one."""
        self.write(self._engine.close(code, reason))
        self._note_open()

    def write(self, frames: bytes) -> None:
        """Hand frames to the transport, if it is still there."""
        transport = self._transport
        if frames and transport is not None and not transport.is_closing():
            self._hand_over(frames)

    def _hand_over(self, frames: bytes) -> None:
        self.bytes_sent += len(frames)
        try:
            if self._transport is not None:
                self._transport.write(frames)
        except (OSError, RuntimeError) as failure:
            # uvloop says RuntimeError for a transport that is already gone.
            self._on_failure(failure)
