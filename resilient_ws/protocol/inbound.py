"""The receiving half of the engine: bytes in, messages out.

Rules. Whatever the peer sends, ``receive`` does not raise: a broken rule becomes a
:class:`Violation`, once. Nothing is parsed after a violation or a received close
frame. Bytes are held unparsed, in order, if the owner has no room for them or if
parsing them at once would take too long. Whole messages in one chunk take the fast path
(``_run``). Pings, pongs and fragments, which floods consist of, have fast paths of
their own. Everything else goes through ``_step``, a frame at a time.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.assembly import Assembly
from resilient_ws.protocol.control import PINGS, run_pings, take_close
from resilient_ws.protocol.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    IS_16_BIT,
    MAX_SHORT,
    PING,
    PONG,
    RSV1,
    TEXT,
)
from resilient_ws.protocol.header import take_header
from resilient_ws.protocol.held import Held
from resilient_ws.protocol.inflate import BadDeflate
from resilient_ws.protocol.violation import (
    BAD_DEFLATE,
    BAD_DEFLATED_TEXT,
    BAD_TEXT,
    Broken,
    Violation,
)
from resilient_ws.protocol.work import (
    DEFLATED_PER_STEP,
    INFLATED_PER_STEP,
    MAX_MESSAGES,
    MAX_STEPS,
    MESSAGES_PER_STEP,
)


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.protocol.close import CloseFrame
    from resilient_ws.protocol.header import Header


_WHOLE_TEXT: Final = FIN | TEXT
_WHOLE_BINARY: Final = FIN | BINARY
_WHOLE_DEFLATED: Final = (_WHOLE_TEXT | RSV1, _WHOLE_BINARY | RSV1)


def _endless() -> int:
    return sys.maxsize


class Inbound:
    """Turns received bytes into messages.

    Attributes:
        idle: Whether everything received was delivered, without a violation or close.
        stalled: Whether unparsed bytes wait for room or for the next call.
        spent: Whether the last call stopped because its steps were used up. The owner
            lets other tasks run before it goes on.
        pings: Payloads of pings not answered yet, oldest first; the owner clears it.
        pongs: Payloads of received pongs; the owner clears it.
        violation: What the peer did wrong, if anything.
        close_received: The peer's close frame.
        received_size: Payload bytes of all messages delivered so far, inflated.
        space: Returns how many payload bytes the owner had room for when ``receive``
            was called. A compressed message without room is held.
    """

    __slots__ = (
        "_assembly",
        "_held",
        "_left",
        "_limit",
        "_short_limit",
        "close_received",
        "idle",
        "pings",
        "pongs",
        "received_size",
        "space",
        "spent",
        "stalled",
        "violation",
    )

    def __init__(self, *, max_message_size: int | None) -> None:
        self.idle = True
        self.stalled = False
        self.spent = False
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.violation: Violation | None = None
        self.close_received: CloseFrame | None = None
        self.received_size = 0
        self.space: Callable[[], int] = _endless
        self._limit = sys.maxsize if max_message_size is None else max_message_size
        self._short_limit = min(self._limit, MAX_SHORT)
        self._held = Held()
        # The steps left before the owner must let other tasks run.
        self._left = MAX_STEPS
        self._assembly = Assembly(self._limit)

    @property
    def at_ease(self) -> bool:
        """Whether the owner has nothing to do but to receive more bytes."""
        return not (self.stalled or self.violation or self.close_received)

    def receive(
        self,
        chunk: bytes | memoryview,
        deliver: Callable[[str | bytes], object],
        room: int,
    ) -> int:
        """Parse the next bytes and deliver the messages that they complete.

        Args:
            chunk: The received bytes; ``b""`` goes on with the held ones. A view must
                begin where its buffer does. The buffer may be reused after the call,
                because bytes to keep are copied.
            deliver: Takes each message in turn; it must not raise.
            room: How many messages may be delivered; the rest is held as bytes.

        Returns:
            The number of messages delivered.
        """
        if not self.idle or room <= 0:
            return self._go_on(chunk, deliver, room)
        began, view = self.received_size, memoryview(chunk)
        # Calling min() would cost more for a chunk with a single message.
        most = room if room < MAX_MESSAGES else MAX_MESSAGES  # noqa: FURB136
        pos, count = self._run(view, 0, deliver, most)
        if pos < len(view):
            self._left = MAX_STEPS - count // MESSAGES_PER_STEP
            count += self._take(view, pos, deliver, room - count, began)
        return count

    def _go_on(
        self,
        chunk: bytes | memoryview,
        deliver: Callable[[str | bytes], object],
        room: int,
    ) -> int:
        """Receive while something is held or under way, or while there is no room."""
        assembly, held = self._assembly, self._held
        if len(chunk) < assembly.takes and room > 0 and not self.stalled:
            # The chunk belongs to the current frame, and no held bytes precede it.
            try:
                assembly.add(memoryview(chunk))
            except Broken as broken:
                self._violate(broken.violation)
            return 0
        if len(chunk) or self.spent:
            # New bytes, and those continued in another turn, get all the steps.
            self._left = MAX_STEPS
        self.spent = False
        if self.violation or self.close_received:
            return 0
        if len(chunk) and (room <= 0 or held.chunks):
            held.add(bytes(chunk))
            self.idle, self.stalled = False, True
        if room <= 0:
            return 0
        pos, self.stalled = 0, False
        if held.chunks:
            chunk, pos = held.all()
        view, began = memoryview(chunk), self.received_size
        return self._take(view, pos, deliver, room, began)

    def _take(
        self,
        view: memoryview,
        pos: int,
        deliver: Callable[[str | bytes], object],
        room: int,
        began: int,
    ) -> int:
        """Take what there is room and time for, and hold the rest.

        Args:
            view: The bytes.
            pos: Where to begin.
            deliver: Takes each message.
            room: How many messages may be delivered.
            began: The value of ``received_size`` when the owner called.
        """
        held = self._held
        pos, count = self._parse(view, pos, deliver, room, began)
        if pos < len(view) or held.chunks:
            full = count == room or self.stalled or self.spent
            held.keep(view, pos, whole=full)
            self.stalled = full and pos < len(view)
        self.stalled = self.stalled or self._assembly.busy
        self.idle = not (
            held.chunks
            or self._assembly.inside
            or self.violation
            or self.close_received
        )
        return count

    def _parse(
        self,
        view: memoryview,
        pos: int,
        deliver: Callable[[str | bytes], object],
        room: int,
        began: int,
    ) -> tuple[int, int]:
        """Take what there is room and time for; return as ``_run`` does."""
        count, end, assembly = 0, len(view), self._assembly
        try:
            while count < room and (pos < end or assembly.busy):
                if not assembly.inside:
                    most = min(room - count, MESSAGES_PER_STEP * self._left)
                    pos, delivered = self._run(view, pos, deliver, most)
                    count += delivered
                    self._left -= delivered // MESSAGES_PER_STEP
                    if pos == end or count == room or self._stalls(view[pos], began):
                        break
                if self._left <= 0:
                    self.spent = True
                    break
                before = pos, count, self._left
                pos, delivered = self._take_rare(
                    view, pos, deliver, room - count, began
                )
                count += delivered
                if (pos, count, self._left) == before:
                    break
        except Broken as broken:
            self._violate(broken.violation)
            pos = end
        return pos, count

    def _run(
        self,
        view: memoryview,
        pos: int,
        deliver: Callable[[str | bytes], object],
        room: int,
    ) -> tuple[int, int]:
        """Deliver whole messages until something rarer comes: the fast path.

        Returns:
            Where it stopped, and the number of messages delivered.
        """
        count, size, end = 0, 0, len(view)
        limit, short = self._limit, self._short_limit
        # Half the cost of slicing a view. Bytes past the end are from another chunk: a
        # frame whose header includes them ends past the end too, and is not taken.
        data: bytes | bytearray = view.obj  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] # it is one of the two
        try:
            while count < room and pos < end:
                first = data[pos]
                length = data[pos + 1]
                if length <= short:
                    start = pos + 2
                elif length == IS_16_BIT:
                    length = data[pos + 2] << 8 | data[pos + 3]
                    if not MAX_SHORT < length <= limit:
                        break
                    start = pos + 4
                else:
                    break
                stop = start + length
                if stop > end:
                    break
                if first == _WHOLE_TEXT:
                    deliver(data[start:stop].decode())
                elif first == _WHOLE_BINARY:
                    deliver(view[start:stop].tobytes())
                else:
                    break
                size += length
                pos = stop
                count += 1
        except IndexError:
            pass  # the buffer is full, and ends within a header
        except UnicodeDecodeError:
            self._violate(BAD_TEXT)
            pos = end
        self.received_size += size
        return pos, count

    def _take_rare(
        self,
        view: memoryview,
        pos: int,
        deliver: Callable[[str | bytes], object],
        room: int,
        began: int,
    ) -> tuple[int, int]:
        """Take what the fast path leaves, or go on with work that is under way.

        Returns:
            As ``_run`` does. If more bytes are needed to go on, no step was used.
        """
        assembly = self._assembly
        if not assembly.inside and view[pos] in _WHOLE_DEFLATED:
            stop, count = self._run_deflated(view, pos, deliver, room, began)
            if stop > pos:
                return stop, count
        if assembly.busy:
            self._left = assembly.work(self._left)
        else:
            pos = self._advance(view, pos)
        if not assembly.is_whole():
            return pos, 0
        message, size = assembly.finish()
        self.received_size += size
        deliver(message)
        return pos, 1

    def _advance(self, view: memoryview, pos: int) -> int:
        """Take a run of fragments, pings or pongs, or one frame of another kind.

        Returns:
            Where it stopped, which is ``pos`` if more bytes are needed to go on.
        """
        first, assembly, before = view[pos], self._assembly, pos
        if assembly.missing or (assembly.inside and first & ~FIN == CONTINUATION):
            pos, self._left = assembly.run(view, pos, self._left)
        elif first in PINGS:
            pos, self._left = run_pings(view, pos, self._left, self.pings, self.pongs)
        if pos == before:
            # The frame begins a message, has a rare form, or breaks a rule.
            pos = self._step(view, pos)
            self._left -= pos > before
        return pos

    def _step(self, view: memoryview, pos: int) -> int:
        """Take a control frame, or what has come of a data frame and its fragments."""
        assembly = self._assembly
        deflates = assembly.inflater is not None
        header = take_header(view, pos, inside=assembly.inside, deflates=deflates)
        if header is None:
            return pos
        if header.opcode >= CLOSE:
            return self._control(header, view, pos)
        assembly.begin(header)
        pos, self._left = assembly.run(view, header.end, self._left)
        return pos

    def _control(self, header: Header, view: memoryview, pos: int) -> int:
        """Take a control frame if it is complete; return where it ends."""
        stop = header.end + header.size
        if stop > len(view):
            return pos
        payload = view[header.end : stop].tobytes()
        if header.opcode == PING:
            self.pings.append(payload)
        elif header.opcode == PONG:
            self.pongs.append(payload)
        else:
            self.close_received = take_close(payload)
            return len(view)
        return stop

    def _stalls(self, first: int, began: int) -> bool:
        """Stall before a compressed message if there is no space for it.

        Compressed messages can inflate to a thousand times the size of a chunk, so they
        are counted while it is parsed; plain messages are counted afterwards.
        """
        if not first & RSV1 or self._assembly.inflater is None:
            return False
        self.stalled = self.received_size - began >= self.space()
        return self.stalled

    def _run_deflated(
        self,
        view: memoryview,
        pos: int,
        deliver: Callable[[str | bytes], object],
        room: int,
        began: int,
    ) -> tuple[int, int]:
        """Deliver whole compressed messages as ``_run`` does plain ones.

        It parses headers itself: sharing the loop of ``_run`` would slow down every
        single message, and a call per header costs a small message a tenth of its time.

        Returns:
            Where it stopped, and the number of messages delivered.
        """
        inflater, left = self._assembly.inflater, self._left
        if inflater is None:
            return pos, 0
        count, size, end, began_at, frames = 0, 0, len(view), pos, 0
        room = min(room, left // inflater.steps)
        # The owner counts messages after the chunk, so its space stays the same in it.
        most = began + self.space() - self.received_size
        most = min(most, INFLATED_PER_STEP * left)
        enough = min(end, pos + DEFLATED_PER_STEP * left)
        data: bytes | bytearray = view.obj  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] # it is one of the two
        is_text = False
        try:
            while count < room and size < most and pos < enough:
                first = data[pos]
                length = data[pos + 1]
                if length <= MAX_SHORT:
                    start = pos + 2
                elif length == IS_16_BIT:
                    length = data[pos + 2] << 8 | data[pos + 3]
                    if length <= MAX_SHORT:
                        break
                    start = pos + 4
                else:
                    break
                stop = start + length
                if stop > end or first not in _WHOLE_DEFLATED:
                    break
                is_text = first & TEXT != 0
                frames += 1
                made, rest = inflater.whole(view[start:stop])
                pos = stop
                if rest is not None:
                    # The message is large, or a final block ends zlib's stream in it.
                    self._assembly.take_over(made, rest, is_text=is_text)
                    break
                deliver(made.decode() if is_text else made)
                size += len(made)
                count += 1
        except IndexError:
            pass  # the buffer is full, and ends within a header
        except (BadDeflate, UnicodeDecodeError):
            self._violate(BAD_DEFLATED_TEXT if is_text else BAD_DEFLATE)
            pos = end
        self.received_size += size
        self._left -= (
            frames * inflater.steps
            + size // INFLATED_PER_STEP
            + (pos - began_at) // DEFLATED_PER_STEP
        )
        return pos, count

    def _violate(self, violation: Violation) -> None:
        self.violation = violation
        self.idle = False
        self._assembly.drop()
