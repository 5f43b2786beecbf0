"""The receiving half of the engine: bytes in, messages out.

Rules. Whatever the peer sends, ``receive`` does not raise: a broken rule becomes a
:class:`Violation`, once. Nothing is parsed after a violation or a received close
frame. Bytes for which the owner has no room are held unparsed, in order, and so is
what would take too long at once. Whole messages in one chunk take the fast path
(``_run``), and what floods are made of has others: pings and pongs, and fragments.
Everything else goes through ``_step``, one frame, or a part of one, at a time.
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
from resilient_ws.protocol.header import payload_bounds, take_header
from resilient_ws.protocol.held import Held
from resilient_ws.protocol.pieces import inflate_message
from resilient_ws.protocol.violation import BAD_TEXT, Broken, Violation


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.protocol.close import CloseFrame
    from resilient_ws.protocol.header import Header


_WHOLE_TEXT: Final = FIN | TEXT
_WHOLE_BINARY: Final = FIN | BINARY
_WHOLE_DEFLATED: Final = (_WHOLE_TEXT | RSV1, _WHOLE_BINARY | RSV1)

#: Frames, other than whole plain messages, that one ``receive`` takes: some
#: milliseconds of work. One read of a socket can hold a hundred thousand.
MAX_STEPS: Final = 2048


def _endless() -> int:
    return sys.maxsize


class Inbound:
    """Turns received bytes into messages.

    Attributes:
        stalled: Whether bytes wait, unparsed, for room or for the next call.
        spent: Whether the last call stopped because it had done enough for one: the
            owner lets others run before it goes on.
        pings: Payloads of pings not answered yet, oldest first; the owner clears it.
        pongs: Payloads of received pongs; the owner clears it.
        violation: What the peer did wrong, if anything.
        close_received: The peer's close frame.
        received_size: Payload bytes of all messages delivered so far, inflated.
        space: Asked before a compressed message is begun: how many payload bytes the
            owner had room for when ``receive`` was called. Without room it is held.
    """

    __slots__ = (
        "_assembly",
        "_held",
        "close_received",
        "pings",
        "pongs",
        "received_size",
        "space",
        "spent",
        "stalled",
        "violation",
    )

    def __init__(self, *, max_message_size: int | None) -> None:
        self.stalled = False
        self.spent = False
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.violation: Violation | None = None
        self.close_received: CloseFrame | None = None
        self.received_size = 0
        self.space: Callable[[], int] = _endless
        self._held = Held()
        self._assembly = Assembly(
            sys.maxsize if max_message_size is None else max_message_size
        )

    def receive(
        self, data: bytes, deliver: Callable[[str | bytes], object], room: int
    ) -> int:
        """Parse the next bytes and deliver the messages that they complete.

        Args:
            data: What was received; ``b""`` goes on with what is held.
            deliver: Takes each message in turn; it must not raise.
            room: How many messages may be delivered; the rest is held as bytes.

        Returns:
            The number of messages delivered.
        """
        assembly = self._assembly
        if len(data) < assembly.missing and room > 0 and not self.stalled:
            # All of it belongs to the frame under way, and nothing waits before it.
            try:
                assembly.add(data)
            except Broken as broken:
                self._violate(broken.violation)
            return 0
        self.spent = False
        if self.violation or self.close_received:
            return 0
        held = self._held
        if data and (room <= 0 or held):
            held.add(data)
            self.stalled = True
        if room <= 0:
            return 0
        pos = 0
        if held:
            self.stalled = False
            data, pos = held.all()
        pos, count = self._parse(data, pos, deliver, room)
        if pos < len(data) or held:
            full = count == room or self.stalled or self.spent
            held.keep(data, pos, whole=full)
            self.stalled = full and pos < len(data)
        return count

    def _parse(
        self, data: bytes, pos: int, deliver: Callable[[str | bytes], object], room: int
    ) -> tuple[int, int]:
        """Take what there is room and time for; return as ``_run`` does."""
        count, end, steps = 0, len(data), MAX_STEPS
        began, assembly = self.received_size, self._assembly
        try:
            while pos < end and count < room:
                if not assembly.inside:
                    pos, delivered = self._run(data, pos, deliver, room - count)
                    count += delivered
                    if pos == end or count == room or self._stalls(data[pos], began):
                        break
                if steps <= 0:
                    self.spent = True
                    break
                before = pos
                if data[pos] in _WHOLE_DEFLATED and not assembly.inside:
                    most = min(room - count, steps)
                    pos, delivered = self._run_deflated(data, pos, deliver, most, began)
                    count += delivered
                    steps -= delivered
                    if pos > before:
                        continue
                pos, steps, message = self._go_on(data, pos, steps)
                if message is not None:
                    deliver(message)
                    count += 1
                elif pos == before:
                    break
        except Broken as broken:
            self._violate(broken.violation)
            pos = end
        return pos, count

    def _run(
        self, data: bytes, pos: int, deliver: Callable[[str | bytes], object], room: int
    ) -> tuple[int, int]:
        """Deliver whole messages until something rarer comes: the fast path.

        Returns:
            Where it stopped, and the number of messages delivered.
        """
        count, size, end, limit = 0, 0, len(data), self._assembly.limit
        short = min(limit, MAX_SHORT)
        try:
            while count < room:
                first = data[pos]
                length = data[pos + 1]
                if length <= short:
                    stop = (start := pos + 2) + length
                elif length == IS_16_BIT:
                    stop = (start := pos + 4) + (data[pos + 2] << 8 | data[pos + 3])
                    if not MAX_SHORT < stop - start <= limit:
                        break
                else:
                    break
                if stop > end:
                    break
                if first == _WHOLE_TEXT:
                    deliver(data[start:stop].decode())
                elif first == _WHOLE_BINARY:
                    deliver(data[start:stop])
                else:
                    break
                size += stop - start
                pos = stop
                count += 1
        except IndexError:
            pass  # the header is incomplete, as one is in most chunks
        except UnicodeDecodeError:
            self._violate(BAD_TEXT)
            pos = end
        self.received_size += size
        return pos, count

    def _go_on(
        self, data: bytes, pos: int, steps: int
    ) -> tuple[int, int, str | bytes | None]:
        """Take what floods are made of, or one frame of another kind.

        Returns:
            Where it stopped, which is ``pos`` when more bytes are needed to go on, how
            many steps are left, and the message that was completed, if one was.
        """
        first, assembly, before = data[pos], self._assembly, pos
        if assembly.missing or (assembly.inside and first & ~FIN == CONTINUATION):
            pos, steps = assembly.run(data, pos, steps)
        elif first in PINGS:
            pos, steps = run_pings(data, pos, steps, self.pings, self.pongs)
        if pos == before:
            # It is begun, or of a rare form, or breaks a rule.
            pos, steps = self._step(data, pos), steps - 1
        if not assembly.is_whole():
            return pos, steps, None
        message, size = assembly.finish()
        self.received_size += size
        return pos, steps, message

    def _step(self, data: bytes, pos: int) -> int:
        """Begin a data frame, or take a control frame; return as ``_go_on`` does."""
        assembly = self._assembly
        deflates = assembly.inflater is not None
        header = take_header(data, pos, inside=assembly.inside, deflates=deflates)
        if header is None:
            return pos
        if header.opcode >= CLOSE:
            return self._control(header, data, pos)
        assembly.begin(header)
        return header.end

    def _control(self, header: Header, data: bytes, pos: int) -> int:
        """Take a control frame that is all there; return where it ends."""
        stop = header.end + header.size
        if stop > len(data):
            return pos
        payload = data[header.end : stop]
        if header.opcode == PING:
            self.pings.append(payload)
        elif header.opcode == PONG:
            self.pongs.append(payload)
        else:
            self.close_received = take_close(payload)
            return len(data)
        return stop

    def _stalls(self, first: int, began: int) -> bool:
        """Stall before a compressed message when there is no space for it.

        A chunk can hold a thousand times its size in compressed messages, so their
        bytes count while it is parsed; those of plain ones are counted after it.
        """
        if not first & RSV1 or self._assembly.inflater is None:
            return False
        self.stalled = self.received_size - began >= self.space()
        return self.stalled

    def _run_deflated(
        self,
        data: bytes,
        pos: int,
        deliver: Callable[[str | bytes], object],
        room: int,
        began: int,
    ) -> tuple[int, int]:
        """Deliver whole compressed messages as ``_run`` does plain ones.

        Returns:
            Where it stopped, and the number of messages delivered.
        """
        inflater, limit = self._assembly.inflater, self._assembly.limit
        # The owner counts what it has after the chunk, so this does not change in it.
        count, end, most = 0, len(data), began + self.space()
        if inflater is None:
            return pos, 0
        try:
            while count < room and pos < end and self.received_size < most:
                first = data[pos]
                if first not in _WHOLE_DEFLATED:
                    break
                bounds = payload_bounds(data, pos)
                if bounds is None:
                    break
                start, stop = bounds
                message, size = inflate_message(
                    inflater, data[start:stop], is_text=first & TEXT != 0, limit=limit
                )
                deliver(message)
                self.received_size += size
                pos = stop
                count += 1
        except Broken as broken:
            self._violate(broken.violation)
            pos = end
        return pos, count

    def _violate(self, violation: Violation) -> None:
        self.violation = violation
        self._assembly.drop()
