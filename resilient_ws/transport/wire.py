"""One connection's transport, from the 101 to its end.

Rules: nothing here raises into the event loop. After the end nothing is delivered. The
transport is aborted first, and only then does aiohttp let go of the connection. A wire
knows nothing of sessions and never touches another wire.

Its parts, each of which knows only those above it:

- ``Outgoing`` writes frames, and ``ReadGate`` stops and starts the reading.
- ``Keepalive`` pings, and finds out when the peer is silent.
- ``Closing`` ends the connection, and keeps why it ended.
- ``Incoming`` has the engine parse what arrives, and delivers the messages.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from resilient_ws.protocol.engine import Engine
from resilient_ws.protocol.tapped import TappedEngine
from resilient_ws.transport import tcp, tls
from resilient_ws.transport.closing import Closing
from resilient_ws.transport.incoming import Incoming
from resilient_ws.transport.keepalive import Keepalive
from resilient_ws.transport.masking import MASK, keys_of
from resilient_ws.transport.outgoing import Outgoing
from resilient_ws.transport.read_buffer import READ_SIZE, START, buffer_of, room_of
from resilient_ws.transport.read_gate import ReadGate


if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from resilient_ws.errors import ConnectionLost, LivenessTimeout
    from resilient_ws.events import Event
    from resilient_ws.policy.liveness import Liveness
    from resilient_ws.protocol.frames import KeyPool
    from resilient_ws.protocol.message import Message
    from resilient_ws.protocol.tapped import Note
    from resilient_ws.transport.sink import Sink


#: Seconds that the peer gets to end the TCP connection after the closing handshake.
LINGER: Final = 1.0


def _engine(note: Note | None, max_message_size: int | None, keys: KeyPool) -> Engine:
    if note is None:
        return Engine(max_message_size=max_message_size, keys=keys, mask=MASK)
    return TappedEngine(note, max_message_size=max_message_size, keys=keys, mask=MASK)


class AiohttpSide:
    """Keeps aiohttp's side of a connection alive until the connection ends."""

    __slots__ = ("_protocol", "_response")

    def __init__(self, response: aiohttp.ClientResponse, protocol: Any) -> None:  # noqa: ANN401 - aiohttp's ResponseHandler is private
        self._response = response
        self._protocol = protocol

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell aiohttp of the loss, which it no longer sees itself."""
        self._protocol.connection_lost(exc)

    def close(self) -> None:
        """Release the connection, after the transport was aborted."""
        self._response.close()


class Wire(asyncio.BufferedProtocol):
    """Sends and receives on one connection.

    Args:
        sink: Takes the messages until ``attach``.
        liveness: When to ping, and when to give up.
        max_message_size: The most payload bytes of one received message.
        intercept: Returns whether to keep a received message from the sink.
        make_probe: Makes a message to send in place of a ping.
        loop: The session's loop.
        report: Called with each event.
        note: Called with each message and control frame, if it is not ``None``.

    Attributes:
        ended: Completed with why the connection ended.
    """

    __slots__ = (
        "_aiohttp",
        "_buffer",
        "_closing",
        "_gate",
        "_gone",
        "_keys",
        "_place",
        "_receiver",
        "_socket",
        "_transport",
        "ended",
        "engine",
        "incoming",
        "keepalive",
        "outgoing",
    )

    def __init__(
        self,
        sink: Sink,
        liveness: Liveness,
        *,
        max_message_size: int | None,
        intercept: Callable[[Message], bool] | None,
        make_probe: Callable[[], Message | None] | None,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
        note: Note | None = None,
    ) -> None:
        # The buffer and the keys are those of the loop as long as a wire holds them.
        self._buffer = buffer_of(loop)
        # Where else the transport was told to read, if the receiver was not idle.
        self._place: memoryview | None = None
        self._keys = keys_of(loop)
        self.engine = engine = _engine(note, max_message_size, self._keys)
        self._receiver = engine.receiver
        engine.receiver.share(room_of(loop))
        ended: asyncio.Future[ConnectionLost] = loop.create_future()
        self.ended = ended
        # In the next turn of the loop, when nothing is being parsed.
        ended.add_done_callback(self._give_up)
        self.outgoing = outgoing = Outgoing(engine, ended, loop, self._lost)
        self._gate = gate = ReadGate(loop)
        self.keepalive = keepalive = Keepalive(
            liveness,
            outgoing,
            gate,
            ended,
            loop,
            make_probe=make_probe,
            on_silence=self._silent,
            report=report,
        )
        self._closing = closing = Closing(engine, outgoing, keepalive, ended, loop)
        self.incoming = Incoming(
            engine.receiver,
            sink,
            gate,
            keepalive,
            closing,
            intercept=intercept,
            loop=loop,
        )
        #: Completed when the transport is gone.
        self._gone: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._socket: tcp.Socket | None = None
        self._aiohttp: AiohttpSide | None = None

    def begin(
        self, transport: asyncio.Transport, tail: bytes, side: AiohttpSide | None
    ) -> None:
        """Take the transport over from aiohttp.

        Args:
            transport: The transport.
            tail: The bytes that were received behind the 101.
            side: Aiohttp's side, if it must live as long as the connection.
        """
        self._transport = transport
        self._aiohttp = side
        self._socket = cast("tcp.Socket | None", transport.get_extra_info("socket"))
        transport.set_protocol(self)
        tcp.set_options(self._socket)
        self.outgoing.begin(transport, self._socket)
        self._gate.begin(transport)
        self._closing.begin(transport, self._socket)
        self.keepalive.start()
        if tail:
            self.incoming.take(memoryview(tail), 0, len(tail), READ_SIZE)

    def attach(
        self,
        sink: Sink,
        *,
        on_writable: Callable[[], None],
        on_confirmed: Callable[[int], None] | None,
    ) -> None:
        """Let messages flow between the peer and the session: the connection is open.

        Args:
            sink: Takes the messages from now on.
            on_writable: Called when a transport that was full has room again.
            on_confirmed: Called after each pong with the number of messages that were
                written before its ping.
        """
        self.incoming.redirect(sink)
        self.outgoing.attach(on_writable)
        self.keepalive.attach(on_confirmed)

    # What the transport calls.

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the buffer is the loop's
        """Return the buffer for the next bytes."""
        if self._receiver.idle:
            return self._buffer.room
        place = self._place = self._receiver.place()
        return self._buffer.room if place is None else place

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that were read into the buffer."""
        if self.ended.done():
            return
        buffer, start = self._buffer, START
        if not self._receiver.idle:
            place, self._place = self._place, None
            if place is not None:
                self.incoming.take(place[:nbytes], 0, nbytes, len(place))
                return
            start = buffer.put_in_front(self._receiver.release())
        self.incoming.take(
            buffer.memory[: START + nbytes], start, nbytes, len(buffer.room)
        )

    def pause_writing(self) -> None:
        """Note that the transport is above its high-water mark."""
        self.outgoing.pause()

    def resume_writing(self) -> None:
        """Go on writing: the transport has room again."""
        self.outgoing.resume()

    def eof_received(self) -> bool:
        """Find out what the end of the stream means; keep the transport for that."""
        if self.ended.done() or tls.over_tls(self._transport):
            return False
        self.incoming.take_all(b"", self._closing.at_eof)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Deliver what was received, then record how the transport was lost."""
        try:
            if not self.ended.done():
                if tls.over_tls(self._transport):
                    rest = tls.decrypted_rest(self._transport)
                else:
                    rest = tcp.readable_rest(self._socket)
                self.incoming.take_all(rest, lambda: self._closing.at_loss(exc))
        finally:
            if self._aiohttp is not None:
                self._aiohttp.connection_lost(exc)
            if not self._gone.done():
                self._gone.set_result(None)

    # What its parts call.

    def _give_up(self, _: asyncio.Future[ConnectionLost]) -> None:
        """Discard the message under way: whoever keeps this wire keeps none of it."""
        self._receiver.give_up()

    def _lost(self, failure: Exception) -> None:
        """Record that a write failed."""
        self._closing.lost(failure)

    def _silent(self, because: LivenessTimeout) -> None:
        """End the connection: it was silent for too long."""
        self._closing.silent(because)

    # What the supervisor calls to end it.

    async def close(self, code: int, reason: str, *, discard: bool) -> None:
        """Send a close frame and wait for the peer's; the caller bounds the wait.

        Args:
            code: The close code.
            reason: The close reason.
            discard: Whether to discard messages that a full inbox holds up, so that the
                peer's close frame behind them can be read.

        Cancellation:
            Safe; ``finish`` must follow.
        """
        if not self.ended.done():
            self._closing.request(code, reason)
            if discard:
                self.incoming.discard()
        await asyncio.shield(self.ended)

    async def finish(self) -> None:
        """Let the peer hang up first, for a moment, then leave nothing behind.

        Cancellation:
            Aborts at once, and still waits for the transport to be gone.
        """
        try:
            if self._closing.may_be_answered:
                await asyncio.wait([self._gone], timeout=LINGER)
        finally:
            self.abort()
            await self._gone

    def abort(self) -> None:
        """Drop the transport and all that it buffers, then let aiohttp go."""
        self._closing.abandon()
        if self._transport is not None:
            self._transport.abort()
        elif not self._gone.done():
            self._gone.set_result(None)
        if self._aiohttp is not None:
            self._aiohttp.close()
