"""What arrives on one connection: chunks to the engine, messages to the sink.

Rules: the sink gets no more messages than it has room for; the engine keeps the rest as
bytes, and the transport is not read. A chunk that would take too long is processed over
several turns of the loop, with no reads between them. When the stream is over, all that
was received is delivered, whether or not there is room.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Protocol

from resilient_ws.protocol.message import size_of
from resilient_ws.transport.buffer import READ_SIZE
from resilient_ws.transport.sinks import Void


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from resilient_ws.errors import ConnectionLost
    from resilient_ws.policy.liveness import Watch
    from resilient_ws.protocol.message import Message
    from resilient_ws.protocol.receiver import Receiver
    from resilient_ws.transport.sinks import Sink


#: Given to the receiver to go on with what it holds.
_NOTHING: Final = memoryview(b"")


class Reactions(Protocol):
    """What a wire does about things that arrive besides messages."""

    def on_control(self) -> None:
        """Take the pings and pongs that the engine holds."""

    def on_farewell(self) -> None:
        """Take note of a close frame, or of a broken rule."""

    def on_resumed(self) -> None:
        """Take note that reading goes on after a pause for want of room."""

    def on_overflow(self) -> None:
        """End the connection: the sink is full, and its rule is to close."""


class Incoming:
    """The reading side of a wire."""

    __slots__ = (
        "_afterwards",
        "_clock",
        "_discarding",
        "_ended",
        "_had_full",
        "_listening",
        "_loop",
        "_next_turn",
        "_over",
        "_paused",
        "_reactions",
        "_receiver",
        "_sink",
        "_transport",
        "_watch",
        "bytes_received",
        "messages_received",
        "screen",
    )

    def __init__(
        self,
        receiver: Receiver,
        sink: Sink,
        watch: Watch,
        reactions: Reactions,
        *,
        loop: asyncio.AbstractEventLoop,
        ended: asyncio.Future[ConnectionLost],
    ) -> None:
        #: Says of a message whether it answers our probe, and so is not for the user.
        self.screen: Callable[[Message], bool] | None = None
        self.bytes_received = 0
        self.messages_received = 0
        self._receiver = receiver
        self._sink = sink
        self._watch = watch
        self._reactions = reactions
        self._loop = loop
        self._clock = loop.time
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._listening = True
        self._paused = False
        self._discarding = False
        #: Whether a full buffer came in this turn of the loop.
        self._had_full = False
        #: The next turn of the loop, where what one turn was too short for goes on.
        self._next_turn: asyncio.Handle | None = None
        #: Whether nothing more will come, and what follows when all has been taken.
        self._over = False
        self._afterwards: Callable[[], None] | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """Read from this transport from now on."""
        self._transport = transport
        self._sink.on_room = self._on_room

    def redirect(self, sink: Sink) -> None:
        """Deliver to another sink from now on."""
        self._sink.on_room = None
        self._sink = sink
        sink.on_room = self._on_room
        self._on_room()
        if self._paused and not self._ended.done():
            self._hold()

    @property
    def paused(self) -> bool:
        """Whether the sink has no room, so that nothing can be heard."""
        return self._paused

    @property
    def catching_up(self) -> bool:
        """Whether bytes that came wait for the next turn of the loop."""
        return self._next_turn is not None

    # Taking.

    def take(self, chunk: memoryview) -> None:
        """Take a chunk from the transport; its buffer may be used again after that."""
        self._watch.heard_at = self._clock()
        self.bytes_received += len(chunk)
        full = self._receive(chunk, self._sink.room())
        if full or not (self._receiver.idle or self._receiver.needs_only_bytes):
            self._see_to()
        if len(chunk) == READ_SIZE:
            self._take_turns()

    def take_all(self, rest: bytes, then: Callable[[], None]) -> None:
        """Deliver all there is, room or not, for the stream is over.

        Args:
            rest: The last bytes.
            then: Called once when all of it has been taken: at once, unless that is too
                much for one turn of the loop.
        """
        self._over = True
        self._afterwards = then
        self.bytes_received += len(rest)
        self._read(memoryview(rest), sys.maxsize)

    def discard(self) -> None:
        """Take no more messages, so that the close frame behind them can be read."""
        self._discarding = True
        if self._paused:
            self._drop_rest()

    def _read(self, data: memoryview, room: int) -> None:
        """Give bytes to the engine, and act on what it finds.

        Args:
            data: The bytes; ``_NOTHING`` goes on with what the engine keeps.
            room: How many messages may be delivered.
        """
        self._receive(data, room)
        self._see_to()

    def _see_to(self) -> None:
        """Process what the engine keeps, as long as there is room and time."""
        receiver = self._receiver
        while True:
            if receiver.close_received is not None or receiver.violation is not None:
                self._reactions.on_farewell()
                break
            room = self._sink.room()
            if room <= 0 and not self._over:
                self._hold()
                return
            if not receiver.stalled:
                break
            if receiver.out_of_steps:
                self._go_on_later()
                return
            if room <= 0:
                # Plain messages are as large as what was received; compressed ones
                # can be a thousand times that, and so wait for room to the end.
                break
            # The sink makes room as it goes, or what came was not for it.
            self._receive(_NOTHING, sys.maxsize if self._over else room)
        if self._afterwards is not None:
            then, self._afterwards = self._afterwards, None
            then()

    @property
    def message_at(self) -> float | None:
        """The loop time when the newest message came, ``None`` before the first."""
        return self._watch.message_at if self.messages_received else None

    def _receive(self, data: memoryview, room: int) -> bool:
        """Have the engine parse bytes, and pass on what it finds.

        Returns:
            Whether the sink may have no more room.
        """
        receiver, sink, full = self._receiver, self._sink, room <= 0
        before = receiver.received_size
        if self.screen is None:
            count = receiver.receive(data, sink.deliver, room, sink.space)
            size = receiver.received_size - before
        else:
            count, size = self._receive_screened(data, room, self.screen)
        if count:
            self.messages_received += count
            self._watch.message_at = self._watch.heard_at
            full = sink.arrived(size) or count == room
        if receiver.pings or receiver.pongs:
            self._reactions.on_control()
        return full

    def _receive_screened(
        self, data: memoryview, room: int, screen: Callable[[Message], bool]
    ) -> tuple[int, int]:
        """Receive, keeping the answers to our probe out of the sink.

        Returns:
            How many messages it took, and their payload bytes.
        """
        put = self._sink.deliver
        count = size = 0

        def deliver(message: Message) -> None:
            nonlocal count, size
            if not screen(message):
                count += 1
                size += size_of(message)
                put(message)

        self._receiver.receive(data, deliver, room, self._sink.space)
        return count, size

    # Holding back.

    def _hold(self) -> None:
        """Stop reading: the sink is full, and TCP shall push back."""
        if self._discarding:
            self._drop_rest()
            return
        # Told each time: the sink may be another one than when reading stopped.
        self._sink.withhold()
        if self._sink.closes:
            self._reactions.on_overflow()
        else:
            self._paused = True
            self._listen()

    def _drop_rest(self) -> None:
        self.redirect(Void())
        if self._receiver.stalled and not self.catching_up:
            self._read(_NOTHING, self._sink.room())

    def _on_room(self) -> None:
        """Take what the engine has kept, then resume reading."""
        if not self._paused or self._over or self._ended.done():
            return
        if self._receiver.stalled and not self.catching_up:
            self._read(_NOTHING, self._sink.room())
        taken = self.catching_up or not self._receiver.stalled
        if self._sink.room() > 0 and taken:
            self._paused = False
            self._sink.release()
            self._listen()
            self._reactions.on_resumed()

    def _take_turns(self) -> None:
        """Have no more than two full buffers read in one turn of the loop.

        uvloop reads up to 32, 8 MiB, before anybody can take what came: it has left
        the processor's cache by then.
        """
        if self._had_full:
            self._go_on_later()
        else:
            self._had_full = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._had_full = False

    def _go_on_later(self) -> None:
        """Leave the rest to the next turn of the loop, and read no more until then."""
        if self._next_turn is None:
            self._next_turn = self._loop.call_soon(self._go_on)
            self._listen()

    def _go_on(self) -> None:
        """Take a turn's worth of what the engine keeps."""
        self._next_turn = None
        if not self._ended.done():
            if self._over:
                self._read(_NOTHING, sys.maxsize)
            elif not self._paused:
                self._read(_NOTHING, self._sink.room())
        # Also after the end: how the peer hangs up is still to be read.
        self._listen()

    def _listen(self) -> None:
        """Have the transport read, or not, as things are now."""
        transport = self._transport
        listening = not (self._paused or self.catching_up)
        if transport is None or self._over or transport.is_closing():
            return
        if listening is not self._listening:
            self._listening = listening
            if listening:
                transport.resume_reading()
            else:
                transport.pause_reading()
