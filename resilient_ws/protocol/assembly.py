"""Assembles the message under way from its frames, which may arrive in parts.

Rules. A frame begins once its header is valid and its size fits the limit. Its payload
is taken as it arrives, and the next header is read only when the payload is complete
and, if compressed, inflated. All that a chunk holds of one message is taken in one
step; inflating it may need more.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.frames import (
    BINARY,
    CONTINUATION,
    FIN,
    IS_16_BIT,
    MAX_SHORT,
    TEXT,
)
from resilient_ws.protocol.inflate import Inflating
from resilient_ws.protocol.pieces import LARGE, Binary, Large, Text
from resilient_ws.protocol.violation import Broken, too_big


if TYPE_CHECKING:
    from resilient_ws.protocol.header import Header
    from resilient_ws.protocol.inflate import Inflater

#: Stands in for the message when none is under way; nothing is ever added to it.
_NOTHING: Final = Binary()


class Assembly:
    """Builds messages from their frames, one at a time.

    Args:
        limit: The most bytes of payload that a message may have.

    Attributes:
        inflater: The inflater for compressed messages, if compression was agreed.
        limit: The most bytes of payload that a message may have.
        inside: Whether a message is under way.
        missing: The bytes of the current frame that are still to come.
    """

    __slots__ = (
        "_inflating",
        "_is_last",
        "_pieces",
        "_room",
        "inflater",
        "inside",
        "limit",
        "missing",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inflater: Inflater | None = None
        self.inside = False
        self.missing = 0
        self._pieces: Text | Binary | Large | Inflating = _NOTHING
        # The same object, if the message is compressed.
        self._inflating: Inflating | None = None
        self._is_last = False
        # How many more bytes the frames of the message may announce.
        self._room = 0

    def begin(self, header: Header) -> None:
        """Begin a frame, the first of a message or a later one.

        Raises:
            Broken: The frame makes the message too big.
        """
        if not self.inside:
            self.inside, self._pieces = True, self._start(header)
        room = self._room = self._room - header.size
        if room < 0:
            raise Broken(too_big(self.limit - room, self.limit))
        self.missing, self._is_last = header.size, header.fin

    def _start(self, header: Header) -> Text | Binary | Large | Inflating:
        if header.rsv:
            return self._start_inflating(is_text=header.opcode == TEXT)
        self._room = self.limit
        if header.opcode == BINARY and header.fin and header.size > LARGE:
            return Large(header.size)
        return Text() if header.opcode == TEXT else Binary()

    def _start_inflating(self, *, is_text: bool) -> Inflating:
        assert self.inflater is not None  # noqa: S101 - take_header() refuses the frame otherwise
        # A compressed message is measured as it is inflated.
        self._room = sys.maxsize
        self._inflating = Inflating(self.inflater, self.limit, is_text=is_text)
        return self._inflating

    def take_over(self, made: bytes, left: bytes, *, is_text: bool) -> None:
        """Continue a compressed message that came in one frame.

        Args:
            made: The bytes inflated so far.
            left: The compressed bytes that are left.
            is_text: Whether it is a text message.
        """
        self.inside = self._is_last = True
        inflating = self._pieces = self._start_inflating(is_text=is_text)
        inflating.begun(made, left)

    @property
    def takes(self) -> int:
        """The number of bytes that ``add`` can take without a call of ``work``."""
        return 0 if self._inflating is not None else self.missing

    def add(self, view: memoryview) -> None:
        """Take a chunk that is shorter than ``takes``.

        Raises:
            Broken: The payload cannot become a message.
        """
        self.missing -= len(view)
        self._pieces.add(view)

    @property
    def busy(self) -> bool:
        """Whether there is work to do before more can be taken."""
        inflating = self._inflating
        return inflating is not None and (inflating.busy or self.is_whole())

    def work(self, steps: int) -> int:
        """Inflate what was taken, until done or out of steps; return the steps left.

        Raises:
            Broken: The payload cannot become a message.
        """
        return steps if self._inflating is None else self._inflating.work(steps)

    def run(self, view: memoryview, pos: int, steps: int) -> tuple[int, int]:
        """Take the rest of the current frame, and the fragments that follow it.

        Returns:
            The position where it stopped, and the steps left. Anything may follow
            there: a fragment of a rare form, or a broken rule.

        Raises:
            Broken: The payload cannot become a message.
        """
        end, room, is_last = len(view), self._room, self._is_last
        stop = pos + self.missing
        parts: list[memoryview | bytes] = [view[pos:stop]]
        try:
            while stop < end and steps > 0 and not is_last:
                first, length = view[stop], view[stop + 1]
                if first & ~FIN != CONTINUATION:
                    break
                if length <= MAX_SHORT:
                    start = stop + 2
                elif length == IS_16_BIT:
                    start = stop + 4
                    length = view[stop + 2] << 8 | view[stop + 3]
                    if length <= MAX_SHORT:
                        break
                else:
                    break
                if length > room:
                    break
                room -= length
                stop = start + length
                # Copies, because thousands of views would make the garbage collector
                # scan all objects of the process.
                parts.append(view[start:stop].tobytes())
                is_last = first != CONTINUATION
                steps -= 1
        except IndexError:
            pass  # the chunk ends within a header
        self.missing = max(0, stop - end)
        self._room, self._is_last = room, is_last
        # Joined, because a call for each part would cost more than another copy.
        self._pieces.add(parts[0] if len(parts) == 1 else memoryview(b"".join(parts)))
        if is_last and self._inflating is not None and not self.missing:
            self._inflating.end()
        return min(stop, end), steps

    def is_whole(self) -> bool:
        """Return whether the message is complete."""
        if self.missing or not self._is_last:
            return False
        return self._inflating is None or not self._inflating.busy

    def finish(self) -> tuple[str | bytes, int]:
        """Return the complete message, and its size in bytes.

        Raises:
            Broken: The message ends within a character.
        """
        pieces = self._pieces
        self.drop()
        message = pieces.finish()
        return message, pieces.size

    def drop(self) -> None:
        """Discard the message under way."""
        self.inside = self._is_last = False
        self.missing = 0
        self._pieces, self._inflating = _NOTHING, None
