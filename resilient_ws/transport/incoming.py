"""What arrives on one connection: chunks go to the engine, messages to the sink.

Rules: the sink gets no more messages than it has room for; the engine keeps the rest as
bytes, and the transport is not read. A chunk that would take too long is processed over
several turns of the loop, with no reads between them. When the stream has ended, all
that was received is delivered, whether or not there is room.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.message import size_of
from resilient_ws.transport.sink import NullSink


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from resilient_ws.protocol.message import Message
    from resilient_ws.protocol.receiver import Receiver
    from resilient_ws.transport.closing import Closing
    from resilient_ws.transport.keepalive import Keepalive
    from resilient_ws.transport.read_gate import ReadGate
    from resilient_ws.transport.sink import Sink


#: Given to the receiver to go on with what it holds.
_NOTHING: Final = memoryview(b"")


class Incoming:
    """The reading side of a wire.

    Args:
        receiver: Parses what arrives.
        sink: Takes the messages.
        gate: Stops the transport from being read.
        keepalive: Takes pings and pongs; its watch is told when something was heard.
        closing: Ends the connection, and says whether it has ended.
        intercept: Returns whether to keep a message from the sink; ``None`` keeps none.
        loop: The connection's loop.
    """

    __slots__ = (
        "_afterwards",
        "_clock",
        "_closing",
        "_discarding",
        "_gate",
        "_intercept",
        "_keepalive",
        "_over",
        "_receiver",
        "_sink",
        "_watch",
        "bytes_received",
        "messages_received",
    )

    def __init__(
        self,
        receiver: Receiver,
        sink: Sink,
        gate: ReadGate,
        keepalive: Keepalive,
        closing: Closing,
        *,
        intercept: Callable[[Message], bool] | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.bytes_received = 0
        self.messages_received = 0
        self._receiver = receiver
        self._sink = sink
        self._watch = keepalive.watch
        self._gate = gate
        self._keepalive = keepalive
        self._closing = closing
        self._intercept = intercept
        self._clock = loop.time
        self._discarding = False
        #: Whether the stream has ended, and what follows when all of it is processed.
        self._over = False
        self._afterwards: Callable[[], None] | None = None

    @property
    def message_at(self) -> float | None:
        """The loop time of the newest message, ``None`` before the first."""
        return self._watch.message_at if self.messages_received else None

    @property
    def paused(self) -> bool:
        """Whether the sink has no room, so that nothing can be heard."""
        return self._gate.paused

    def redirect(self, sink: Sink) -> None:
        """Deliver to another sink from now on."""
        self._sink.reading_resumed()
        self._sink = sink
        self._on_room()
        if self._gate.paused and not self._closing.ended.done():
            self._hold()

    def discard(self) -> None:
        """Take no more messages, so that the close frame behind them can be read."""
        self._discarding = True
        if self._gate.paused:
            self._drop_rest()

    # Receiving.

    def take(self, chunk: memoryview, start: int, size: int, offered: int) -> None:
        """Process a chunk that was read; its buffer may be reused after that.

        Args:
            chunk: The bytes, behind those that were released.
            start: Where in ``chunk`` to begin.
            size: How many were read.
            offered: How many there was a buffer for; if it is full, more may follow.
        """
        self._watch.heard_at = self._clock()
        self.bytes_received += size
        full = self._receive(chunk, self._sink.room(), start)
        if full or not (self._receiver.idle or self._receiver.needs_only_bytes):
            self._process_rest()
        if size == offered:
            self._gate.after_full_buffer(self._go_on)

    def take_all(self, rest: bytes, then: Callable[[], None]) -> None:
        """Deliver all that was received, room or not, because the stream has ended.

        Args:
            rest: The last bytes.
            then: Called when everything is processed: at once, unless that takes more
                than one turn of the loop.
        """
        self._over = True
        self._afterwards = then
        self._gate.end()
        self.bytes_received += len(rest)
        self._process(memoryview(rest), sys.maxsize)

    def _process(self, data: memoryview, room: int) -> None:
        """Have the engine parse bytes, then act on what it found.

        Args:
            data: The bytes; ``_NOTHING`` continues with those that the engine keeps.
            room: How many messages may be delivered.
        """
        self._receive(data, room)
        self._process_rest()

    def _process_rest(self) -> None:
        """Process what the engine keeps, while there is room and time."""
        receiver = self._receiver
        while True:
            if receiver.close_received is not None or receiver.violation is not None:
                self._closing.farewell()
                break
            room = self._sink.room()
            if room <= 0 and not self._over:
                self._hold()
                return
            if not receiver.stalled:
                break
            if receiver.out_of_steps:
                self._gate.in_next_turn(self._go_on)
                return
            if room <= 0:
                # The stream has ended. Plain messages are no larger than what was
                # received, but compressed ones can be a thousand times as large, so
                # they wait until the end for room.
                break
            # The sink makes room meanwhile, or the messages were not for it.
            self._receive(_NOTHING, sys.maxsize if self._over else room)
        if self._afterwards is not None:
            then, self._afterwards = self._afterwards, None
            if not receiver.stalled:
                receiver.give_up()
            then()

    def _receive(self, data: memoryview, room: int, start: int = 0) -> bool:
        """Have the engine parse bytes, and pass on the messages it finds.

        Returns:
            Whether the sink may have no room left.
        """
        receiver, sink, full = self._receiver, self._sink, room <= 0
        before = receiver.received_size
        if self._intercept is None:
            count = receiver.receive(data, sink.deliver, room, sink.space, start)
            size = receiver.received_size - before
        else:
            count, size = self._receive_some(data, room, start, self._intercept)
        if count:
            self.messages_received += count
            self._watch.message_at = self._watch.heard_at
            full = sink.arrived(size) or count == room
        if receiver.pings or receiver.pongs:
            self._keepalive.take_control_frames(receiver.pongs)
        return full

    def _receive_some(
        self,
        data: memoryview,
        room: int,
        start: int,
        intercept: Callable[[Message], bool],
    ) -> tuple[int, int]:
        """Receive messages, and keep those from the sink that are intercepted.

        Returns:
            The number of messages that the sink took, and their payload bytes.
        """
        put = self._sink.deliver
        count = size = 0

        def deliver(message: Message) -> None:
            nonlocal count, size
            if not intercept(message):
                count += 1
                size += size_of(message)
                put(message)

        self._receiver.receive(data, deliver, room, self._sink.space, start)
        return count, size

    # Stopping and going on.

    def _hold(self) -> None:
        """Stop reading, because the sink is full."""
        if self._discarding:
            self._drop_rest()
            return
        # Even if reading is paused already: the sink may be a new one.
        self._sink.reading_paused(self._on_room)
        if self._sink.closes:
            self._closing.overflowed()
        else:
            self._gate.pause()

    def _drop_rest(self) -> None:
        self.redirect(NullSink())
        if self._receiver.stalled and not self._gate.catching_up:
            self._process(_NOTHING, self._sink.room())

    def _on_room(self) -> None:
        """Take what the engine keeps, then go on reading."""
        gate = self._gate
        if self._over or self._closing.ended.done():
            # Nothing more is read here; the next connection stops and resumes anew.
            self._sink.reading_resumed()
            return
        if not gate.paused:
            return
        if self._receiver.stalled and not gate.catching_up:
            self._process(_NOTHING, self._sink.room())
        taken = gate.catching_up or not self._receiver.stalled
        if self._sink.room() > 0 and taken:
            self._sink.reading_resumed()
            gate.resume()
            self._keepalive.resumed()

    def _go_on(self) -> None:
        """Process as much of what the engine keeps as fits into one turn of the loop.

        The gate opens after this also if the connection has ended: how the peer hangs
        up is still to be read.
        """
        if self._closing.ended.done():
            return
        if self._over:
            self._process(_NOTHING, sys.maxsize)
        elif not self._gate.paused:
            self._process(_NOTHING, self._sink.room())
