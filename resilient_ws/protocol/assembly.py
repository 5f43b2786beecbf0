"""The message under way: frames, or what is there of them, become one message.

Rules. A frame is begun when its header was found right and its size fits the limit;
its payload is taken as it comes, and the next header is not looked at before all of
it has come, and has been inflated where it is compressed. What a chunk has of one
message is taken in one step; to inflate it takes as many as that takes.
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

#: What stands for the message where none is under way: nothing is ever added to it.
_NOTHING: Final = Binary()


class Assembly:
    """Makes one message after the other of their frames.

    Args:
        limit: The most bytes of payload that a message may have.

    Attributes:
        inflater: What takes compressed messages apart, where that was agreed on.
        limit: The most bytes of payload that a message may have.
        inside: Whether a message is under way.
        missing: Bytes of its frame under way that are still to come.
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
        # The same, where it is compressed.
        self._inflating: Inflating | None = None
        self._is_last = False
        # How many more bytes the frames of the message may announce.
        self._room = 0

    def begin(self, header: Header) -> None:
        """Take a frame on, the first of a message or a later one.

        Raises:
            Broken: The message is too big with it.
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
        assert self.inflater is not None  # noqa: S101 - or its header had been refused
        # What is compressed is measured as it is inflated.
        self._room = sys.maxsize
        self._inflating = Inflating(self.inflater, self.limit, is_text=is_text)
        return self._inflating

    def take_over(self, made: bytes, left: bytes, *, is_text: bool) -> None:
        """Go on with a compressed message that came in one frame.

        Args:
            made: What came out of it already.
            left: What is still to be inflated.
            is_text: Whether it is a text message.
        """
        self.inside = self._is_last = True
        inflating = self._pieces = self._start_inflating(is_text=is_text)
        inflating.begun(made, left)

    @property
    def takes(self) -> int:
        """How many bytes of the frame under way it takes at once, and with no work."""
        return 0 if self._inflating is not None else self.missing

    def add(self, view: memoryview) -> None:
        """Take a chunk that is shorter than what it ``takes``.

        Raises:
            Broken: The payload cannot become a message.
        """
        self.missing -= len(view)
        self._pieces.add(view)

    @property
    def busy(self) -> bool:
        """Whether there is work to do before anything more can be taken."""
        inflating = self._inflating
        return inflating is not None and (inflating.busy or self.is_whole())

    def work(self, steps: int) -> int:
        """Inflate what was taken, for so many steps; return how many are left.

        Raises:
            Broken: The payload cannot become a message.
        """
        return steps if self._inflating is None else self._inflating.work(steps)

    def run(self, view: memoryview, pos: int, steps: int) -> tuple[int, int]:
        """Take the rest of the frame under way, and the fragments that follow it.

        Returns:
            Where it stopped, and how many steps are left. What it stopped at may be
            anything: a rare form of a fragment, or a broken rule.

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
                # Not views: thousands of those have the garbage collector look at all
                # that the process has.
                parts.append(view[start:stop].tobytes())
                is_last = first != CONTINUATION
                steps -= 1
        except IndexError:
            pass  # the chunk ends within a header
        self.missing = max(0, stop - end)
        self._room, self._is_last = room, is_last
        # As one, for a call for each would cost more than another copy.
        self._pieces.add(parts[0] if len(parts) == 1 else memoryview(b"".join(parts)))
        if is_last and self._inflating is not None and not self.missing:
            self._inflating.end()
        return min(stop, end), steps

    def is_whole(self) -> bool:
        """Tell whether all of the message is there."""
        if self.missing or not self._is_last:
            return False
        return self._inflating is None or not self._inflating.busy

    def finish(self) -> tuple[str | bytes, int]:
        """Return the message, which is whole, and its size in bytes.

        Raises:
            Broken: It ends within a character, or its compression does not end.
        """
        pieces = self._pieces
        self.drop()
        message = pieces.finish()
        return message, pieces.size

    def drop(self) -> None:
        """Let go of the message under way."""
        self.inside = self._is_last = False
        self.missing = 0
        self._pieces, self._inflating = _NOTHING, None
