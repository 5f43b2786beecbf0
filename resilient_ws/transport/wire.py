"""The socket of one connection: bytes to the engine, frames to the transport.

Rules: nothing here raises into the event loop; the first cause of the end wins and is
the result of ``ended``, whatever comes later; after the end nothing is delivered but
what had been read already; the transport is aborted, and only then the response is
closed. A wire knows nothing of sessions, and never touches another wire.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from resilient_ws.errors import ConnectionLost
from resilient_ws.inbox import size_of
from resilient_ws.policy.liveness import Watch
from resilient_ws.transport import losses, tcp
from resilient_ws.transport.sinks import Void
from resilient_ws.transport.watchman import Watchman


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.events import Event
    from resilient_ws.inbox import Message
    from resilient_ws.policy.liveness import Liveness
    from resilient_ws.protocol.engine import Engine
    from resilient_ws.transport.sinks import Peer, Sink


logger = logging.getLogger("resilient_ws")

#: Above this many bytes of ours in the transport, senders wait. asyncio's own mark is
#: 512 KiB on TLS, which would hide a slow link.
HIGH_WATER: Final = 64 * 1024
#: Seconds that the peer gets to end the TCP connection after the closing handshake.
LINGER: Final = 1.0
#: Bounds, in seconds, of the wait that tells a dead peer from a half-closed one.
EOF_PROBE_MIN: Final = 0.05
EOF_PROBE_MAX: Final = 1.0
#: Turns of the loop between a violation and our goodbye. A consumer that waits for the
#: messages before it needs one to wake and answer, one more within ``wait_for``, and
#: the answer one to leave.
LAST_WORDS: Final = 4
#: So many pings of one chunk are answered one by one, and of more only the newest.
MAX_PONGS: Final = 64


class Wire(asyncio.Protocol):
    """One connection's bytes, from the 101 to the end."""

    def __init__(
        self,
        engine: Engine,
        sink: Sink,
        liveness: Liveness,
        *,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
    ) -> None:
        self.engine = engine
        #: Completed with why the connection ended.
        self.ended: asyncio.Future[ConnectionLost] = loop.create_future()
        #: Called when a transport that was full can take more.
        self.on_writable: Callable[[], None] | None = None
        #: Says of a message whether it answers our probe, and so is not for the user.
        self.is_answer: Callable[[Message], bool] | None = None
        self.bytes_received = 0
        self.bytes_sent = 0
        self.messages_received = 0
        self.messages_written = 0
        self._loop = loop
        self._clock = loop.time
        self._sink = sink
        engine.space = sink.space
        self._watch = Watch(liveness)
        self.watchman = Watchman(self, self._watch, liveness, loop=loop, report=report)
        self._gone: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._socket: tcp.Socket | None = None
        self._peer: Peer | None = None
        self._reading_paused = False
        self._listening = True
        #: The next turn of the loop, where what one turn was too short for goes on.
        self._next_turn: asyncio.Handle | None = None
        self._write_paused = False
        self._room_waiters: deque[asyncio.Future[None]] = deque()
        self._closing = False
        self._discarding = False
        self._refusing = False
        self._eof_probe: asyncio.TimerHandle | None = None

    # Beginning.

    def begin(self, transport: asyncio.Transport, peer: Peer, tail: bytes) -> None:
        """Take the transport over from aiohttp, with what came behind the 101."""
        self._transport = transport
        self._peer = peer
        self._socket = cast("tcp.Socket | None", transport.get_extra_info("socket"))
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=HIGH_WATER)
        tcp.set_options(self._socket)
        self._sink.on_room = self._on_room
        self.watchman.start()
        if tail:
            self.data_received(tail)

    def redirect(self, sink: Sink) -> None:
        """Deliver to another sink from now on."""
        self._sink.on_room = None
        self._sink = sink
        self.engine.space = sink.space
        sink.on_room = self._on_room
        self._on_room()
        if self._reading_paused and not self.ended.done():
            self._hold_reading()

    # Reading.

    def data_received(self, data: bytes) -> None:
        """Take a chunk from the transport."""
        if self.ended.done():
            return
        self._watch.heard_at = self._clock()
        self.bytes_received += len(data)
        self._read(data, self._sink.room())

    def _read(self, data: bytes, room: int, *, at_once: bool = False) -> None:
        """Give bytes to the engine, and see to what they brought.

        Args:
            data: The bytes; ``b""`` goes on with what the engine keeps.
            room: How many messages may be delivered.
            at_once: Whether there may be no other turn of the loop for the rest.
        """
        engine, sink = self.engine, self._sink
        while True:
            before = engine.received_size
            if self.is_answer is None:
                count = engine.receive(data, sink.deliver, room)
                size = engine.received_size - before
            else:
                count, size = self._receive_screened(data, room, self.is_answer)
            if count:
                self.messages_received += count
                self._watch.message_at = self._watch.heard_at
                sink.arrived(size)
            if engine.pings or engine.pongs:
                self._answer()
            if engine.close_received is not None or engine.violation is not None:
                self._on_farewell()
                return
            if engine.spent and at_once:
                data = b""
                continue
            room = sink.room()
            if room <= 0:
                self._hold_reading()
                return
            if not engine.stalled:
                return
            if engine.spent:
                self._go_on_later()
                return
            # The sink makes room as it goes, or what came was not for it.
            data = b""

    def _receive_screened(
        self, data: bytes, room: int, is_answer: Callable[[Message], bool]
    ) -> tuple[int, int]:
        """Receive, keeping the answers to our probe out of the sink.

        Returns:
            How many messages it took, and their payload bytes.
        """
        put = self._sink.deliver
        count = size = 0

        def deliver(message: Message) -> None:
            nonlocal count, size
            if not is_answer(message):
                count += 1
                size += size_of(message)
                put(message)

        self.engine.receive(data, deliver, room)
        return count, size

    def _answer(self) -> None:
        """Answer pings, and hand pongs to the watchman."""
        engine = self.engine
        for payload in engine.pongs:
            self.watchman.pong(payload)
        engine.pongs.clear()
        if engine.pings:
            # RFC 6455 §5.5.3: the newest answers for all. Behind a full transport
            # a queue of pongs would only grow, and a flood needs no flood back.
            if self._write_paused or len(engine.pings) > MAX_PONGS:
                del engine.pings[:-1]
            if self._write_paused:
                return
            frames = b"".join([engine.pong(payload) for payload in engine.pings])
            engine.pings.clear()
            self._write(frames)

    def _hold_reading(self) -> None:
        """Stop reading: the sink is full, and TCP shall push back."""
        if self._discarding:
            self._discard()
            return
        if self._sink.closes:
            self._overflow()
            return
        # Told each time: the sink may be another one than when reading stopped.
        self._sink.withhold()
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._listen()

    def _discard(self) -> None:
        """Take no more messages, so that the close frame behind them can be read."""
        self.redirect(Void())
        self._read_rest()

    def _overflow(self) -> None:
        """End the connection: the inbox's rule when it is full is to close."""
        self._sink.withhold()
        text = (
            "The inbox was full and its overflow is 'close'; read faster, raise "
            "Inbox.max_messages, or choose another overflow."
        )
        self.hang_up(ConnectionLost(text, how="local"), 1008, "receiver too slow")

    def _on_room(self) -> None:
        """Go on reading, with what the engine had kept first."""
        if not self._reading_paused or self.ended.done():
            return
        if self.engine.stalled and not self.catching_up:
            self._read(b"", self._sink.room())
        taken = self.catching_up or not self.engine.stalled
        if self._sink.room() > 0 and taken and self._transport:
            self._reading_paused = False
            self._sink.release()
            self._listen()
            self.watchman.resumed()

    def _go_on_later(self) -> None:
        """Leave the rest to the next turn of the loop, and read no more until then."""
        if self._next_turn is None:
            self._next_turn = self._loop.call_soon(self._go_on)
            self._listen()

    def _go_on(self) -> None:
        """Take a turn's worth of what the engine keeps."""
        self._next_turn = None
        if not self._reading_paused and not self.ended.done():
            self._read(b"", self._sink.room())
        if self._transport is not None and not self._transport.is_closing():
            # Also after the end: how the peer hangs up is still to be read.
            self._listen()

    def _listen(self) -> None:
        """Have the transport read, or not, as things are now."""
        listening = not (self._reading_paused or self.catching_up)
        if self._transport is None or listening is self._listening:
            return
        self._listening = listening
        if listening:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    @property
    def catching_up(self) -> bool:
        """Whether bytes that came wait for the next turn of the loop."""
        return self._next_turn is not None

    @property
    def reading_paused(self) -> bool:
        """Whether the sink has no room, so that nothing can be heard."""
        return self._reading_paused

    def _read_rest(self) -> None:
        """Deliver what the engine still keeps, room or not: it was received."""
        if self.engine.stalled:
            self._read(b"", sys.maxsize, at_once=True)

    # Writing.

    @property
    def writable(self) -> bool:
        """Whether the transport lives and is below its high-water mark."""
        return not (
            self._write_paused
            or self.engine.close_sent is not None
            or self.ended.done()
            or self._transport is None
            or self._transport.is_closing()
        )

    @property
    def outgoing(self) -> int:
        """Bytes of ours that the peer's kernel has not acknowledged."""
        if self._transport is None:
            return 0
        buffered = self._transport.get_write_buffer_size()
        return buffered + tcp.unacknowledged(self._socket)

    def send(self, message: Message) -> None:
        """Hand one message to the transport."""
        self.messages_written += 1
        self._write(self.engine.message(message))

    def send_many(self, messages: list[Message]) -> None:
        """Hand several messages to the transport in one write."""
        self.messages_written += len(messages)
        self._write(self.engine.messages(messages))

    def ping(self, payload: bytes) -> None:
        """Send a ping."""
        self._write(self.engine.ping(payload))

    def probe(self, message: Message) -> None:
        """Send an application's ping, which is none of the user's messages."""
        self._write(self.engine.message(message))

    def pong(self) -> None:
        """Send a pong that nobody asked for: a sign of life (RFC 6455 §5.5.3)."""
        self._write(self.engine.pong())

    def _write(self, frames: bytes) -> None:
        transport = self._transport
        if not frames or transport is None or transport.is_closing():
            return
        self.bytes_sent += len(frames)
        try:
            transport.write(frames)
        except (OSError, RuntimeError) as failure:
            # uvloop says RuntimeError for a transport that is already gone.
            self._lost(failure)

    def pause_writing(self) -> None:
        """Take note that the transport is above its high-water mark."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Go on writing, the newest pong first."""
        self._write_paused = False
        self._answer()
        while self._room_waiters and self.writable:
            waiter = self._room_waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
        if self.on_writable is not None:
            self.on_writable()

    async def wait_writable(self) -> None:
        """Wait until something can be sent, or the connection has ended."""
        while not self.writable and not self.ended.done():
            if self.engine.close_sent is not None:
                await asyncio.shield(self.ended)
                return
            waiter = self._loop.create_future()
            self._room_waiters.append(waiter)
            await waiter

    # Ending.

    def end(self, because: ConnectionLost) -> None:
        """Record why the connection ended; only the first cause counts."""
        if self.ended.done():
            return
        self.ended.set_result(because)
        self.watchman.stop()
        if self._eof_probe is not None:
            self._eof_probe.cancel()
        while self._room_waiters:
            waiter = self._room_waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def hang_up(self, because: ConnectionLost, code: int, reason: str) -> None:
        """End the connection from our side, with a close frame as a courtesy."""
        self._write(self.engine.close(code, reason))
        self.end(because)

    def _on_farewell(self) -> None:
        """Answer a close frame, or say what the peer did wrong."""
        engine = self.engine
        if self.ended.done():
            return
        if engine.violation is not None:
            if not self._refusing:
                self._refusing = True
                self._refuse(LAST_WORDS)
            return
        self._write(engine.close_reply())
        self.end(losses.by_close(engine.record(), ours=self._closing))

    def _refuse(self, turns: int = 0) -> None:
        """Say what the peer did wrong, if it did, so many turns of the loop later.

        A violation often comes in one chunk with good messages. Whether those can be
        answered must not depend on how the network cut the stream.
        """
        engine = self.engine
        if engine.violation is None or self.ended.done():
            return
        if turns:
            self._loop.call_soon(self._refuse, turns - 1)
            return
        self._write(engine.close(engine.violation.code, engine.violation.text))
        self.end(losses.by_violation(engine.violation, engine.record()))

    def eof_received(self) -> bool:
        """Find out what the end of the stream means; keep the transport for that."""
        self._read_rest()
        self._refuse()
        over_tls = self._transport is None or isinstance(
            self._transport.get_extra_info("ssl_object"),
            ssl.SSLObject | ssl.SSLSocket,
        )
        if self.ended.done() or over_tls:
            return False
        # A dead process and a half-closed one look alike until we write: the kernel
        # of the dead one answers with a reset. 1002, for no close frame came.
        self._write(self.engine.close(1002, "stream ended without a close frame"))
        wait = min(2 * (tcp.round_trip(self._socket) or 0.0), EOF_PROBE_MAX)
        self._eof_probe = self._loop.call_later(
            max(wait, EOF_PROBE_MIN), self._judge_eof
        )
        return True

    def _judge_eof(self) -> None:
        gone = tcp.peer_gone(self._socket)
        self.end(losses.at_eof(self.engine.record(), gone=gone))

    def connection_lost(self, exc: Exception | None) -> None:
        """Deliver what had arrived, then say how the transport was lost."""
        try:
            if not self.ended.done():
                for chunk in tcp.readable_rest(self._plain_socket()):
                    self._read(chunk, sys.maxsize, at_once=True)
                self._read_rest()
                self._refuse()
            self._lost(exc)
        finally:
            if self._peer is not None:
                self._peer.connection_lost(exc)
            if not self._gone.done():
                self._gone.set_result(None)

    def _plain_socket(self) -> tcp.Socket | None:
        """Return the socket if what it holds is ours to read: not under TLS."""
        over_tls = (
            self._transport is None
            or self._transport.get_extra_info("ssl_object") is not None
        )
        return None if over_tls else self._socket

    def _lost(self, exc: Exception | None) -> None:
        """Say how the transport was lost."""
        if self.ended.done():
            return
        record = self.engine.record()
        if self._eof_probe is not None or exc is None:
            self.end(losses.at_eof(record, gone=True))
        else:
            self.end(losses.by_error(exc, record))

    async def close(self, code: int, reason: str, *, discard: bool) -> None:
        """Send a close frame and wait for the peer's; the caller bounds the wait.

        Args:
            code: The close code.
            reason: The close reason.
            discard: Whether messages that a full inbox holds up may be discarded, so
                that the peer's close frame behind them can be read.

        Cancellation:
            Safe; ``finish`` must follow.
        """
        if not self.ended.done():
            frame = self.engine.close(code, reason)
            self._closing = True
            self._discarding = discard
            self._write(frame)
            if discard and self._reading_paused:
                self._discard()
        await asyncio.shield(self.ended)

    async def finish(self) -> None:
        """Leave nothing behind: let the peer hang up first, briefly, then abort.

        Cancellation:
            Aborts at once, and still waits for the transport to be gone.
        """
        try:
            if self._peer_may_hang_up():
                await asyncio.wait([self._gone], timeout=LINGER)
        finally:
            self.abort()
            await self._gone

    def _peer_may_hang_up(self) -> bool:
        """Whether a close frame of ours may still have to leave and be answered."""
        if not self.ended.done() or self.engine.close_sent is None:
            return False
        return self.ended.result().how in {"close", "local", "protocol", "silence"}

    def abort(self) -> None:
        """Drop the transport and all that waits in it, then release aiohttp's hold."""
        self.end(losses.by_us(self.engine.record()))
        if self._transport is not None:
            self._transport.abort()
        elif not self._gone.done():
            self._gone.set_result(None)
        if self._peer is not None:
            self._peer.close()
