"""What leaves on one connection, and whether there is room for more.

Rules: frames leave in the order in which they are asked for, and none after our close
frame, which the engine ensures. Above the high-water mark senders wait in order, and
only the newest of the server's pings is answered.
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


#: Senders wait while the transport buffers more than this many bytes. asyncio's own
#: mark is 512 KiB on TLS, which would hide a slow link.
HIGH_WATER: Final = 64 * 1024
#: The most pings of one chunk that are answered one by one. Of more, only the newest is
#: answered.
MAX_PONGS: Final = 64


class Outgoing:
    """The writing side of a wire.

    Args:
        engine: Makes the frames.
        ended: Completed with why the connection ended.
        loop: The connection's loop.
        on_failure: Called with the error when a write fails.
    """

    __slots__ = (
        "_ended",
        "_engine",
        "_full",
        "_loop",
        "_on_failure",
        "_on_writable",
        "_open",
        "_socket",
        "_transport",
        "_waiters",
        "bytes_sent",
        "messages_written",
    )

    def __init__(
        self,
        engine: Engine,
        ended: asyncio.Future[ConnectionLost],
        loop: asyncio.AbstractEventLoop,
        on_failure: Callable[[Exception], None],
    ) -> None:
        self.bytes_sent = 0
        self.messages_written = 0
        self._engine = engine
        self._on_failure = on_failure
        self._ended = ended
        self._loop = loop
        self._on_writable: Callable[[], None] | None = None
        self._transport: asyncio.Transport | None = None
        self._socket: tcp.Socket | None = None
        #: Whether the transport is above its high-water mark.
        self._full = False
        #: Whether messages may be sent, as far as it does not depend on the transport.
        #: Kept up to date, because every message asks for it.
        self._open = False
        # A list, because there are rarely any: an empty deque takes 760 bytes.
        self._waiters: list[asyncio.Future[None]] = []

    def begin(self, transport: asyncio.Transport, sock: tcp.Socket | None) -> None:
        """Write to this transport from now on."""
        self._transport = transport
        self._socket = sock
        self._note_open()
        transport.set_write_buffer_limits(high=HIGH_WATER)

    def attach(self, on_writable: Callable[[], None]) -> None:
        """Call this from now on when a transport that was full has room again."""
        self._on_writable = on_writable

    # Room.

    def writable(self) -> bool:
        """Return whether the transport is alive and below its high-water mark."""
        transport = self._transport
        return transport is not None and self._open and not transport.is_closing()

    def _note_open(self) -> None:
        self._open = not (
            self._full or self._engine.close_sent is not None or self._ended.done()
        )

    @property
    def unacknowledged(self) -> int:
        """The bytes of ours that the peer's kernel has not acknowledged."""
        if self._transport is None:
            return 0
        buffered = self._transport.get_write_buffer_size()
        return buffered + tcp.unacknowledged(self._socket)

    def pause(self) -> None:
        """Note that the transport is above its high-water mark."""
        self._full = True
        self._note_open()

    def resume(self) -> None:
        """Go on writing: a pong first, then those who wait, then the outbox."""
        self._full = False
        self._note_open()
        self.answer_pings()
        while self._waiters and self.writable():
            self._wake_next()
        if self._on_writable is not None:
            self._on_writable()

    async def wait_writable(self) -> None:
        """Wait until a message can be sent, or the connection has ended.

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
        """Wake everyone who waits for room: there will be none."""
        self._note_open()
        while self._waiters:
            self._wake_next()

    def _wake_next(self) -> None:
        waiter = self._waiters.pop(0)
        if not waiter.done():
            waiter.set_result(None)

    # Frames.

    def send(self, message: Message) -> None:
        """Write one message; only while ``writable()``."""
        self.messages_written += 1
        self._hand_over(self._engine.message(message))

    def send_many(self, messages: list[Message]) -> None:
        """Write several messages at once; only while ``writable()``."""
        self.messages_written += len(messages)
        self._hand_over(self._engine.messages(messages))

    def ping(self, payload: bytes) -> None:
        """Send a ping."""
        self.write(self._engine.ping(payload))

    def probe(self, message: Message) -> None:
        """Send an application's ping, which does not count as a message."""
        self.write(self._engine.message(message))

    def pong(self) -> None:
        """Send an unsolicited pong, as a sign of life (RFC 6455 §5.5.3)."""
        self.write(self._engine.pong())

    def answer_pings(self) -> None:
        """Answer the pings that were received.

        The pong to the newest answers all of them (RFC 6455 §5.5.3). Behind a full
        transport a queue of pongs would only grow, and a flood of pings must not cause
        a flood of pongs.
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
        """Send our close frame, unless one was sent."""
        self.write(self._engine.close(code, reason))
        self._note_open()

    def write(self, frames: bytes) -> None:
        """Write frames, unless the transport is gone."""
        transport = self._transport
        if frames and transport is not None and not transport.is_closing():
            self._hand_over(frames)

    def _hand_over(self, frames: bytes) -> None:
        self.bytes_sent += len(frames)
        try:
            if self._transport is not None:
                self._transport.write(frames)
        except (OSError, RuntimeError) as failure:
            # uvloop raises RuntimeError if the transport is already gone.
            self._on_failure(failure)
