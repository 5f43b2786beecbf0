"""The receiving half of the engine: bytes in, messages out.

Rules. Whatever the peer sends, ``receive`` does not raise: a broken rule becomes a
:class:`Violation`, once. Nothing is parsed after a violation or a received close
frame. Bytes are held unparsed, in order, if the owner has no room for them, if
parsing them at once would take too long, or if they are a short frame that was cut
behind other messages: the next bytes are likely to complete it. Whole messages, and the
pings, pongs and fragments that floods consist of, are taken by the hot loops.
Everything else goes through ``_take_frame``, a frame at a time.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from resilient_ws.protocol.assembler import Assembler
from resilient_ws.protocol.close import read_close
from resilient_ws.protocol.frames import CLOSE, CONTINUATION, FIN, PING, PONG, RSV1
from resilient_ws.protocol.header import take_header
from resilient_ws.protocol.hot_loops import (
    PINGS,
    WHOLE_DEFLATED,
    WHOLE_PLAIN,
    is_cut,
    walk_deflated,
    walk_pings,
)
from resilient_ws.protocol.inflate import Inflater
from resilient_ws.protocol.pure import ALL_TAKEN, NOT_UTF8
from resilient_ws.protocol.steps import (
    DEFLATED_PER_STEP,
    INFLATED_PER_STEP,
    MAX_MESSAGES,
    MAX_STEPS,
    MESSAGES_PER_STEP,
)
from resilient_ws.protocol.unparsed import Unparsed
from resilient_ws.protocol.violation import BAD_TEXT, BrokenRule, Violation
from resilient_ws.protocol.walk import walk


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.protocol.close import CloseFrame
    from resilient_ws.protocol.header import Header
    from resilient_ws.protocol.message import Deliver
    from resilient_ws.protocol.payload import TextRoom


def endless() -> int:
    """Return that there is always space."""
    return sys.maxsize


class Receiver:
    """Turns received bytes into messages.

    Args:
        max_message_size: The most payload bytes of one message, all fragments
            together; ``None`` means no limit.

    Attributes:
        idle: Whether everything received was delivered, without a violation or close.
        stalled: Whether unparsed bytes wait for room or for the next call.
        out_of_steps: Whether the last call stopped because it had done enough work for
            one. The owner lets other tasks run before it goes on.
        pings: Payloads of pings not answered yet, oldest first; the owner clears it.
        pongs: Payloads of received pongs; the owner clears it.
        violation: What the peer did wrong, if anything.
        close_received: The peer's close frame.
        received_size: Payload bytes of all messages delivered so far, inflated.
    """

    __slots__ = (
        "_assembler",
        "_firsts",
        "_inflater",
        "_limit",
        "_steps",
        "_unparsed",
        "close_received",
        "idle",
        "out_of_steps",
        "pings",
        "pongs",
        "received_size",
        "stalled",
        "violation",
    )

    def __init__(self, *, max_message_size: int | None) -> None:
        self.idle = True
        self.stalled = False
        self.out_of_steps = False
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.violation: Violation | None = None
        self.close_received: CloseFrame | None = None
        self.received_size = 0
        # What is compiled takes no larger number, and no buffer has more bytes.
        most = sys.maxsize if max_message_size is None else max_message_size
        self._limit = min(most, sys.maxsize)
        self._unparsed = Unparsed()
        # The steps left before the owner must let other tasks run.
        self._steps = MAX_STEPS
        self._assembler = Assembler(self._limit)
        self._inflater: Inflater | None = None
        # The first bytes of the frames that are a message.
        self._firsts: tuple[int, ...] = WHOLE_PLAIN

    def enable_compression(self, *, bits: int, takeover: bool) -> None:
        """Accept compressed messages, which break a rule otherwise.

        Args:
            bits: The size of the peer's window, as a power of two.
            takeover: Whether that window lives on from message to message.
        """
        self._inflater = Inflater(bits=bits, takeover=takeover, limit=self._limit)
        self._firsts = WHOLE_PLAIN + WHOLE_DEFLATED

    def share(self, room: TextRoom) -> None:
        """Gather large texts in a room that other connections use as well."""
        self._assembler.text_room = room

    def place(self) -> memoryview | None:
        """Return where the next bytes may be read into, to be passed to ``receive``.

        Returns:
            Memory of just the size of what is missing of a large text, or ``None`` if
            the bytes may go anywhere.
        """
        return None if self._unparsed.chunks else self._assembler.place()

    def release(self) -> bytes:
        """Return the frame that was cut, to be put in front of the next bytes.

        This is never necessary. But to parse a whole frame in the owner's buffer takes
        less time than to assemble it from its parts.

        Returns:
            What came of it, at most ``MAX_CUT`` bytes, which is then held no more.
            Empty if there is none, or if bytes are held for another reason.
        """
        if self.stalled or self.out_of_steps or not self._unparsed.chunks:
            return b""
        self.idle = not self._assembler.inside
        return self._unparsed.take()

    def give_up(self) -> None:
        """Discard what has not become a message: the rest of it will not come.

        A shared room is free from then on, however long the receiver itself is kept.
        """
        self._unparsed, self.stalled = Unparsed(), False
        self._assembler.drop()

    @property
    def needs_only_bytes(self) -> bool:
        """Whether the owner has nothing to do but to receive more bytes."""
        return not (self.stalled or self.violation or self.close_received)

    def receive(
        self,
        chunk: memoryview,
        deliver: Deliver,
        room: int,
        space: Callable[[], int] = endless,
        start: int = 0,
    ) -> int:
        """Parse the next bytes and deliver the messages that they complete.

        Args:
            chunk: The received bytes; if it is empty, go on with the held ones. The
                view must begin where its buffer does. The buffer may be reused after
                the call, because bytes to keep are copied.
            deliver: Takes each message in turn; it must not raise.
            room: How many messages may be delivered; the rest is held as bytes.
            space: Returns how many payload bytes the owner had room for when it called.
                A compressed message without space is held.
            start: Where in ``chunk`` the bytes begin.

        Returns:
            The number of messages delivered.
        """
        if not self.idle or room <= 0:
            return self._go_on(chunk, start, deliver, room, space)
        # Calling min() would cost more for a chunk with a single message.
        most = room if room < MAX_MESSAGES else MAX_MESSAGES  # noqa: FURB136
        pos, count, size, reason = walk(chunk, start, deliver, most, self._limit)
        self.received_size += size
        if reason == ALL_TAKEN:
            return count
        self._steps = MAX_STEPS - count // MESSAGES_PER_STEP
        return self._take(chunk, pos, deliver, room, space() - size, count=count)

    def _go_on(
        self,
        chunk: memoryview,
        start: int,
        deliver: Deliver,
        room: int,
        space: Callable[[], int],
    ) -> int:
        """Receive while something is held or under way, or while there is no room."""
        assembler, unparsed = self._assembler, self._unparsed
        size, pos = len(chunk) - start, start
        if size < assembler.missing_plain and room > 0 and not self.stalled:
            # The chunk belongs to the current frame, and no held bytes precede it.
            try:
                assembler.add(chunk[start:])
            except BrokenRule as broken:
                self._violate(broken.violation)
            return 0
        if size or self.out_of_steps:
            # New bytes, and those continued in another turn, get all the steps.
            self._steps = MAX_STEPS
        self.out_of_steps = False
        if self.violation or self.close_received:
            return 0
        if size and (room <= 0 or unparsed.chunks):
            unparsed.append(bytes(chunk[start:]))
            self.idle, self.stalled = False, True
        if room <= 0:
            return 0
        self.stalled = False
        if unparsed.chunks:
            chunk, pos = unparsed.joined()
        return self._take(chunk, pos, deliver, room, space(), count=0)

    def _take(
        self,
        view: memoryview,
        pos: int,
        deliver: Deliver,
        room: int,
        space: int,
        *,
        count: int,
    ) -> int:
        """Take what there is room and time for, and hold the rest.

        Args:
            view: The bytes.
            pos: Where to begin.
            deliver: Takes each message.
            room: How many messages may be delivered.
            space: How many payload bytes may be delivered before a compressed message.
            count: How many messages of the chunk were delivered before.

        Returns:
            How many messages of the chunk were delivered.
        """
        unparsed = self._unparsed
        full_at = self.received_size + space
        pos, count = self._parse(view, pos, deliver, room, full_at, count=count)
        if pos < len(view) or unparsed.chunks:
            stopped = count == room or self.stalled or self.out_of_steps
            unparsed.replace(view, pos, in_place=stopped)
            self.stalled = stopped and pos < len(view)
        self.stalled = self.stalled or self._assembler.busy
        self.idle = not (
            unparsed.chunks
            or self._assembler.inside
            or self.violation
            or self.close_received
        )
        return count

    def _parse(
        self,
        view: memoryview,
        pos: int,
        deliver: Deliver,
        room: int,
        full_at: int,
        *,
        count: int,
    ) -> tuple[int, int]:
        """Take what there is room and time for.

        A message that is cut behind others is left: the next bytes may complete it.

        Args:
            view: The bytes.
            pos: Where to begin.
            deliver: Takes each message.
            room: How many messages of the chunk may be delivered.
            full_at: The ``received_size`` at which the owner's space is used up.
            count: How many messages of the chunk were delivered before.

        Returns:
            Where it stopped, and how many messages of the chunk were delivered.
        """
        end, assembler = len(view), self._assembler
        try:
            while count < room and (pos < end or assembler.busy):
                if not assembler.inside:
                    if count and is_cut(view, pos, self._limit, self._firsts):
                        break
                    pos, delivered = self._take_plain(view, pos, deliver, room - count)
                    count += delivered
                    if pos == end or count == room or self._stalls(view[pos], full_at):
                        break
                    if delivered:
                        continue
                if self._steps <= 0:
                    self.out_of_steps = True
                    break
                before = pos, count, self._steps
                pos, delivered = self._take_other(
                    view, pos, deliver, room - count, full_at
                )
                count += delivered
                if (pos, count, self._steps) == before:
                    break
        except BrokenRule as broken:
            self._violate(broken.violation)
            pos = end
        return pos, count

    def _take_plain(
        self, view: memoryview, pos: int, deliver: Deliver, room: int
    ) -> tuple[int, int]:
        """Deliver whole plain messages; return as ``_parse`` does."""
        room = min(room, MESSAGES_PER_STEP * self._steps)
        pos, count, size, reason = walk(view, pos, deliver, room, self._limit)
        self.received_size += size
        self._steps -= count // MESSAGES_PER_STEP
        if reason == NOT_UTF8:
            self._violate(BAD_TEXT)
            pos = len(view)
        return pos, count

    def _stalls(self, first: int, full_at: int) -> bool:
        """Stall before a compressed message if there is no space for it.

        Compressed messages can inflate to a thousand times the size of a chunk, so they
        are counted while it is parsed; plain messages are counted afterwards.
        """
        if not first & RSV1 or self._inflater is None:
            return False
        self.stalled = self.received_size >= full_at
        return self.stalled

    def _take_other(
        self, view: memoryview, pos: int, deliver: Deliver, room: int, full_at: int
    ) -> tuple[int, int]:
        """Take what ``_take_plain`` leaves, or go on with a message under way.

        Returns:
            As ``_parse`` does. If more bytes are needed to go on, no step was used.
        """
        assembler = self._assembler
        if not assembler.inside and view[pos] in WHOLE_DEFLATED:
            stop, count = self._take_deflated(view, pos, deliver, room, full_at)
            if stop > pos:
                return stop, count
        if assembler.busy:
            self._steps = assembler.inflate(self._steps)
        else:
            pos = self._take_frames(view, pos)
        if not assembler.is_whole():
            return pos, 0
        message, size = assembler.finish()
        self.received_size += size
        deliver(message)
        return pos, 1

    def _take_deflated(
        self, view: memoryview, pos: int, deliver: Deliver, room: int, full_at: int
    ) -> tuple[int, int]:
        """Deliver whole compressed messages; return as ``_parse`` does."""
        inflater, steps, began = self._inflater, self._steps, pos
        if inflater is None:
            return pos, 0
        pos, count, size, reason = walk_deflated(
            view,
            pos,
            deliver,
            min(room, steps // inflater.steps_per_message),
            inflater,
            size_room=min(full_at - self.received_size, INFLATED_PER_STEP * steps),
            enough=pos + DEFLATED_PER_STEP * steps,
        )
        self.received_size += size
        frames, taken = count, pos - began
        if isinstance(reason, Violation):
            self._violate(reason)
            return len(view), count
        if reason is not None:
            self._assembler.go_on_with(reason, inflater)
            frames, taken = frames + 1, max(0, taken - len(reason.rest))
            size += len(reason.made)
        self._steps -= (
            frames * inflater.steps_per_message
            + size // INFLATED_PER_STEP
            + taken // DEFLATED_PER_STEP
        )
        return pos, count

    def _take_frames(self, view: memoryview, pos: int) -> int:
        """Take a run of fragments, pings or pongs, or one frame of another kind.

        Returns:
            Where it stopped, which is ``pos`` if more bytes are needed to go on.
        """
        first, assembler, before = view[pos], self._assembler, pos
        if assembler.missing or (assembler.inside and first & ~FIN == CONTINUATION):
            pos, self._steps = assembler.take(view, pos, self._steps)
        elif first in PINGS:
            pos, self._steps = walk_pings(
                view, pos, self.pings, self.pongs, self._steps
            )
        if pos == before:
            # The frame begins a message, has a rare form, or breaks a rule.
            pos = self._take_frame(view, pos)
            self._steps -= pos > before
        return pos

    def _take_frame(self, view: memoryview, pos: int) -> int:
        """Take a control frame, or what has come of a data frame and its fragments.

        Returns:
            As ``_take_frames`` does.
        """
        assembler, inflater = self._assembler, self._inflater
        header = take_header(
            view, pos, inside=assembler.inside, deflates=inflater is not None
        )
        if header is None:
            return pos
        if header.opcode >= CLOSE:
            return self._take_control_frame(header, view, pos)
        assembler.begin(header, inflater)
        pos, self._steps = assembler.take(view, header.end, self._steps)
        return pos

    def _take_control_frame(self, header: Header, view: memoryview, pos: int) -> int:
        """Take a control frame if it is complete; return as ``_take_frames`` does."""
        stop = header.end + header.size
        if stop > len(view):
            return pos
        payload = view[header.end : stop].tobytes()
        if header.opcode == PING:
            self.pings.append(payload)
        elif header.opcode == PONG:
            self.pongs.append(payload)
        else:
            self.close_received = read_close(payload)
            return len(view)
        return stop

    def _violate(self, violation: Violation) -> None:
        self.violation = violation
        self.idle = False
        self._assembler.drop()
