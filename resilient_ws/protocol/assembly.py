"""The message under way: what is there of its frames becomes one message.

Rules. A frame is begun when its header was found right and its size fits the limit;
its payload is taken as it comes, and the next header is not looked at before all of
it has come. Whole fragments in one chunk take a path of their own (``run``).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from resilient_ws.protocol.frames import CONTINUATION, IS_16_BIT, MAX_SHORT, TEXT
from resilient_ws.protocol.pieces import Binary, Inflating, Text
from resilient_ws.protocol.violation import Broken, too_big


if TYPE_CHECKING:
    from resilient_ws.protocol.deflate import Inflater
    from resilient_ws.protocol.header import Header
    from resilient_ws.protocol.pieces import Pieces


class Assembly:
    """Makes one message after the other of their frames.

    Args:
        limit: The most bytes of payload that a message may have.

    Attributes:
        inflater: What takes compressed messages apart, where that was agreed on.
        limit: The most bytes of payload that a message may have.
        pieces: The message under way, if any.
        missing: Bytes of its frame under way that are still to come.
    """

    __slots__ = ("_is_last", "_room", "inflater", "limit", "missing", "pieces")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inflater: Inflater | None = None
        self.pieces: Pieces | None = None
        self.missing = 0
        self._is_last = False
        # How many more bytes the frames of the message may announce.
        self._room = 0

    def begin(self, header: Header) -> Pieces:
        """Take a frame on, the first of a message or a later one; return its message.

        Raises:
            Broken: The message is too big with it.
        """
        pieces = self.pieces
        if pieces is None:
            pieces = self.pieces = self._start(header)
        room = self._room = self._room - header.size
        if room < 0:
            raise Broken(too_big(self.limit - room, self.limit))
        self.missing, self._is_last = header.size, header.fin
        return pieces

    def _start(self, header: Header) -> Pieces:
        plain = Text() if header.opcode == TEXT else Binary()
        if self.inflater is None or not header.rsv:
            self._room = self.limit
            return plain
        # What is compressed is measured as it is inflated.
        self._room = sys.maxsize
        return Inflating(self.inflater, plain, self.limit)

    def take(self, pieces: Pieces, data: bytes, pos: int) -> int:
        """Take what is there of the frame under way; return where that ends.

        Raises:
            Broken: The payload cannot become a message.
        """
        piece = data[pos : pos + self.missing]
        self.missing -= len(piece)
        pieces.add(piece)
        return pos + len(piece)

    def take_all(self, data: bytes) -> None:
        """Take a chunk that is shorter than what is missing.

        Raises:
            Broken: The payload cannot become a message.
        """
        self.missing -= len(data)
        if self.pieces is not None:
            self.pieces.add(data)

    def run(
        self, pieces: Pieces, data: bytes, pos: int, steps: int
    ) -> tuple[int, int]:
        """Take whole fragments, but for the last of the message.

        Returns:
            Where it stopped, and how many steps are left. What it stopped at may be
            anything: a rare form of a fragment, or a broken rule.

        Raises:
            Broken: The payload cannot become a message.
        """
        end, room, parts = len(data), self._room, list[bytes]()
        try:
            while steps > 0 and data[pos] == CONTINUATION:
                length = data[pos + 1]
                if length <= MAX_SHORT:
                    stop = (start := pos + 2) + length
                elif length == IS_16_BIT:
                    stop = (start := pos + 4) + (data[pos + 2] << 8 | data[pos + 3])
                    if stop - start <= MAX_SHORT:
                        break
                else:
                    break
                if stop > end or stop - start > room:
                    break
                room -= stop - start
                parts.append(data[start:stop])
                pos = stop
                steps -= 1
        except IndexError:
            pass  # the chunk ends with a fragment, or within a header
        self._room = room
        # As one, for a call for each would cost more than another copy.
        pieces.add(b"".join(parts))
        return pos, steps

    def is_whole(self) -> bool:
        """Tell whether all of the message is there."""
        return self._is_last and not self.missing

    def drop(self) -> None:
        """Let go of the message under way."""
        self.pieces = None
        self.missing = 0
        self._is_last = False
