"""The receiving half of the engine: bytes in, messages out.

Rules. Whatever the peer sends, ``receive`` does not raise: a broken rule becomes a
:class:`Violation`, once. Nothing is parsed after a violation or a received close
frame. Bytes for which the owner has no room are held unparsed, in order, and so is
what would take too long at once. Whole messages in one chunk take the fast path
(``_run``), pings, pongs and empty fragments another (``_run_small``); everything else,
and whatever is compressed, goes through ``_step``, one step at a time.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.close import CloseFrame, read_close
from resilient_ws.protocol.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    MAX_SHORT,
    PING,
    PONG,
    RSV1,
    TEXT,
    Header,
    broken_rule,
    payload_bounds,
    read_header,
)
from resilient_ws.protocol.pieces import (
    BAD_TEXT,
    InflatedPieces,
    Pieces,
    Violation,
    inflated,
    too_big,
)


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.protocol.deflate import Inflater


_WHOLE_TEXT: Final = FIN | TEXT
_WHOLE_BINARY: Final = FIN | BINARY
_WHOLE_DEFLATED: Final = (_WHOLE_TEXT | RSV1, _WHOLE_BINARY | RSV1)

#: First bytes of what a flood is made of: there is little to do for each.
_PING: Final = FIN | PING
_PONG: Final = FIN | PONG
_SMALL: Final = (_PING, _PONG, CONTINUATION)

#: Frames, other than whole plain messages, that one ``receive`` takes: some
#: milliseconds of work. One read of a socket can hold a hundred thousand.
MAX_STEPS: Final = 2048

_BAD_REASON: Final = Violation(
    code=1007, text="the server sent a close reason that is not UTF-8"
)


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
        "_at",
        "_fin",
        "_held",
        "_inflater",
        "_limit",
        "_missing",
        "_pieces",
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
        self._limit = sys.maxsize if max_message_size is None else max_message_size
        # Bytes kept for later: they start at `_at` of the first item.
        self._held: list[bytes] = []
        self._at = 0
        # The message under way, if any, and of its frame under way: how many bytes
        # are still to come, and whether it is the last one.
        self._pieces: Pieces | None = None
        self._missing = 0
        self._fin = False
        # What takes compressed messages apart, where that was agreed on.
        self._inflater: Inflater | None = None

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
        self.spent = False
        if self.violation or self.close_received:
            return 0
        if room <= 0:
            self._hold(data)
            return 0
        pos = 0
        if self._held:
            self._hold(data)
            self.stalled = False
            # A join of one item is that item: going on copies nothing.
            data, pos = b"".join(self._held), self._at
        pos, count = self._parse(data, pos, deliver, room)
        if pos < len(data) or self._held:
            full = count == room or self.stalled or self.spent
            self._keep(data, pos, full=full)
        return count

    def _parse(
        self, data: bytes, pos: int, deliver: Callable[[str | bytes], object], room: int
    ) -> tuple[int, int]:
        """Take what there is room and time for; return as ``_run`` does."""
        count, end, steps = 0, len(data), MAX_STEPS
        began = self.received_size
        while pos < end and count < room:
            if self._pieces is None:
                pos, delivered = self._run(data, pos, deliver, room - count)
                count += delivered
                if pos == end or count == room or self._stalls(data[pos], began):
                    break
            if steps <= 0:
                self.spent = True
                break
            before = pos
            if data[pos] in _SMALL and not self._missing:
                pos, steps = self._run_small(data, pos, steps)
                if pos != before:
                    continue
            steps -= 1
            pos, message = self._step(data, pos)
            if message is not None:
                deliver(message)
                count += 1
            elif pos == before:
                break
        return pos, count

    def _run(
        self, data: bytes, pos: int, deliver: Callable[[str | bytes], object], room: int
    ) -> tuple[int, int]:
        """Deliver whole messages until something rarer comes: the fast path.

        Returns:
            Where it stopped, and the number of messages delivered.
        """
        count, size, end, limit = 0, 0, len(data), self._limit
        short = min(limit, MAX_SHORT)
        try:
            while count < room:
                first = data[pos]
                length = data[pos + 1]
                if length <= short:
                    stop = (start := pos + 2) + length
                elif length == MAX_SHORT + 1:
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

    def _run_small(self, data: bytes, pos: int, steps: int) -> tuple[int, int]:
        """Take pings, pongs and empty fragments until something else comes.

        Returns:
            Where it stopped, and how many steps are left.
        """
        end, inside = len(data), self._pieces is not None
        pings, pongs = self.pings, self.pongs
        while steps > 0 and pos + 1 < end:
            first, length = data[pos], data[pos + 1]
            stop = pos + 2 + length
            # What breaks a rule is for `_step` to judge.
            if length > MAX_SHORT or stop > end:
                break
            if first == _PONG:
                pongs.append(data[pos + 2 : stop])
            elif first == _PING:
                pings.append(data[pos + 2 : stop])
            elif first != CONTINUATION or length or not inside:
                break
            pos = stop
            steps -= 1
        return pos, steps

    def _step(self, data: bytes, pos: int) -> tuple[int, str | bytes | None]:
        """Go on by one frame, or by as much of it as is there.

        Returns:
            Where it stopped, which is ``pos`` when more bytes are needed to go on,
            and the message that it completed, if one.
        """
        pieces = self._pieces
        if pieces is None and data[pos] in _WHOLE_DEFLATED and self._inflater:
            whole = self._inflate(self._inflater, data, pos)
            if whole is not None:
                return whole
        if pieces is None or not self._missing:
            header = read_header(data, pos)
            if header is None:
                return pos, None
            if self._refuses(header):
                return len(data), None
            if header.opcode >= CLOSE:
                return self._control(header, data, pos), None
            if pieces is None:
                pieces = self._pieces = self._begin(header)
            pos, self._missing, self._fin = header.end, header.size, header.fin
        return self._collect(pieces, data, pos)

    def _stalls(self, first: int, began: int) -> bool:
        """Stall before a compressed message when there is no space for it.

        A chunk can hold a thousand times its size in compressed messages, so their
        bytes count while it is parsed; those of plain ones are counted after it.
        """
        if self._inflater is None or not first & RSV1:
            return False
        self.stalled = self.received_size - began >= self.space()
        return self.stalled

    def _inflate(
        self, inflater: Inflater, data: bytes, pos: int
    ) -> tuple[int, str | bytes | None] | None:
        """Take a compressed message of one frame; ``None`` if that is not all there."""
        bounds = payload_bounds(data, pos)
        if bounds is None:
            return None
        start, stop = bounds
        is_text = data[pos] & TEXT != 0
        result = inflated(
            inflater, data[start:stop], is_text=is_text, limit=self._limit
        )
        if isinstance(result, Violation):
            self._violate(result)
            return len(data), None
        message, size = result
        self.received_size += size
        return stop, message

    def _begin(self, header: Header) -> Pieces:
        """Return what takes the message that begins with this frame."""
        is_text = header.opcode == TEXT
        if self._inflater is None or not header.rsv:
            return Pieces(is_text=is_text)
        return InflatedPieces(self._inflater, is_text=is_text, limit=self._limit)

    def _collect(
        self, pieces: Pieces, data: bytes, pos: int
    ) -> tuple[int, str | bytes | None]:
        """Take what is there of the payload under way; see ``_step``."""
        piece = data[pos : pos + self._missing]
        self._missing -= len(piece)
        pos += len(piece)
        last = self._fin and not self._missing
        wrong = pieces.add(piece, last=last)
        if wrong is not None:
            self._violate(wrong)
        elif last:
            self._pieces = None
            try:
                message = pieces.message()
            except UnicodeDecodeError:
                self._violate(BAD_TEXT)
            else:
                self.received_size += len(pieces)
                return pos, message
        return (len(data) if self.violation else pos), None

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
            try:
                self.close_received = read_close(payload)
            except UnicodeDecodeError:
                self._violate(_BAD_REASON)
            except ValueError as error:
                self._violate(Violation(code=1002, text=str(error)))
            return len(data)
        return stop

    def _refuses(self, header: Header) -> bool:
        """Judge a header before any of its payload is taken."""
        pieces = self._pieces
        claimed = 0 if self._inflater is None else RSV1
        rule = broken_rule(header, inside=pieces is not None, claimed=claimed)
        if rule is not None:
            self._violate(Violation(code=1002, text=f"the server sent {rule}"))
            return True
        if header.opcode >= CLOSE or header.rsv or isinstance(pieces, InflatedPieces):
            # What is compressed is measured as it is inflated.
            return False
        total = header.size + len(pieces or ())
        if total <= self._limit:
            return False
        self._violate(too_big(total, self._limit))
        return True

    def _violate(self, violation: Violation) -> None:
        self.violation = violation
        self._pieces = None

    def _hold(self, data: bytes) -> None:
        """Put bytes behind those that wait already."""
        if not data:
            return
        if self._held:
            # What was parsed must go now, or a slow owner would keep it for ever.
            self._held[0] = self._held[0][self._at :]
            self._at = 0
        self._held.append(data)
        self.stalled = True

    def _keep(self, data: bytes, pos: int, *, full: bool) -> None:
        """Keep what was not parsed, for the next call."""
        if pos == len(data):
            self._held, self._at, self.stalled = [], 0, False
        elif full:
            # All of it stays, or taking message by message would copy it each time.
            self._held, self._at, self.stalled = [data], pos, True
        else:
            self._held, self._at, self.stalled = [data[pos:]], 0, False
