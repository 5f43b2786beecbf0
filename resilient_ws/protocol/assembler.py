"""Assembles the message under way from its frames, which may arrive in parts.

Rules. A frame begins once its header is valid and its size fits the limit. Its payload
is taken as it arrives, and the next header is read only when the payload is complete
and, if compressed, inflated. All that a chunk holds of one message is taken at once;
inflating it may need more calls.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.frames import BINARY, TEXT
from resilient_ws.protocol.hot_loops import walk_fragments
from resilient_ws.protocol.inflate import CompressedPayload
from resilient_ws.protocol.payload import (
    LARGE,
    BinaryPayload,
    LargePayload,
    LargeTextPayload,
    TextPayload,
    TextRoom,
)
from resilient_ws.protocol.violation import BrokenRule, too_big


if TYPE_CHECKING:
    from resilient_ws.protocol.header import Header
    from resilient_ws.protocol.inflate import Inflater, Unfinished

#: Stands in for the payload when no message is under way; nothing is ever added to it.
_NO_PAYLOAD: Final = BinaryPayload()


class Assembler:
    """Builds messages from their frames, one at a time.

    Args:
        limit: The most bytes of payload that a message may have.

    Attributes:
        inside: Whether a message is under way.
        missing: The bytes of the current frame that are still to come.
        text_room: Where large texts are gathered.
    """

    __slots__ = (
        "_compressed",
        "_is_last",
        "_large",
        "_limit",
        "_payload",
        "_room",
        "inside",
        "missing",
        "text_room",
    )

    def __init__(self, limit: int) -> None:
        self.inside = False
        self.missing = 0
        self._limit = limit
        self.text_room = TextRoom()
        self._payload: (
            TextPayload
            | LargeTextPayload
            | BinaryPayload
            | LargePayload
            | CompressedPayload
        ) = _NO_PAYLOAD
        # The same object, if the message is a large text in one frame.
        self._large: LargeTextPayload | None = None
        # The same object, if the message is compressed.
        self._compressed: CompressedPayload | None = None
        self._is_last = False
        # How many more bytes the frames of the message may announce.
        self._room = 0

    def begin(self, header: Header, inflater: Inflater | None) -> None:
        """Begin a frame, the first of a message or a later one.

        Args:
            header: The header of the frame.
            inflater: Inflates the message if it is compressed; ``None`` if compression
                was not agreed on.

        Raises:
            BrokenRule: The frame makes the message too big.
        """
        if not self.inside:
            self._begin_message(header, inflater)
        room = self._room = self._room - header.size
        if room < 0:
            raise BrokenRule(too_big(self._limit - room, self._limit))
        self.missing, self._is_last = header.size, header.fin

    def _begin_message(self, header: Header, inflater: Inflater | None) -> None:
        self.inside = True
        self._room = self._limit
        if header.rsv:
            assert inflater is not None  # noqa: S101 - take_header() refuses the frame otherwise
            self._compressed = self._payload = CompressedPayload(
                inflater, self._limit, is_text=header.opcode == TEXT
            )
            # A compressed message is measured as it is inflated.
            self._room = sys.maxsize
        elif header.fin and header.size > LARGE:
            self._begin_large(header)
        else:
            self._payload = TextPayload() if header.opcode == TEXT else BinaryPayload()

    def _begin_large(self, header: Header) -> None:
        if header.opcode == BINARY:
            self._payload = LargePayload(header.size)
        else:
            self._large = self.text_room.payload(header.size)
            self._payload = self._large or TextPayload()

    def go_on_with(self, begun: Unfinished, inflater: Inflater) -> None:
        """Go on with a compressed message that came in one frame.

        Args:
            begun: What was done of it, and what is left.
            inflater: The inflater that began it.

        Raises:
            BrokenRule: The payload cannot become a message.
        """
        self._compressed = self._payload = CompressedPayload(
            inflater, self._limit, is_text=begun.is_text, begun=begun
        )
        self.inside = self._is_last = True

    @property
    def missing_plain(self) -> int:
        """The bytes still to come of a frame that needs no inflating."""
        return 0 if self._compressed is not None else self.missing

    def place(self) -> memoryview | None:
        """Return where the rest of a large frame may be read into, if anywhere."""
        return None if self._large is None else self._large.rest()

    def add(self, view: memoryview) -> None:
        """Take a chunk that is shorter than ``missing_plain``.

        Raises:
            BrokenRule: The payload cannot become a message.
        """
        self.missing -= len(view)
        self._payload.add(view)

    @property
    def busy(self) -> bool:
        """Whether there is something to inflate or to finish before more is taken."""
        compressed = self._compressed
        return compressed is not None and (compressed.busy or self.is_whole())

    def inflate(self, steps: int) -> int:
        """Inflate what was taken, until done or out of steps; return the steps left.

        Raises:
            BrokenRule: The payload cannot become a message.
        """
        return steps if self._compressed is None else self._compressed.inflate(steps)

    def take(self, view: memoryview, pos: int, steps: int) -> tuple[int, int]:
        """Take the rest of the current frame, and the fragments that follow it.

        Returns:
            The position where it stopped, and the steps left. Anything may follow
            there: a fragment of a rare form, or a broken rule.

        Raises:
            BrokenRule: The payload cannot become a message.
        """
        end, stop = len(view), pos + self.missing
        parts: list[memoryview | bytes] = [view[pos:stop]]
        if stop < end and not self._is_last:
            stop, self._room, steps, self._is_last = walk_fragments(
                view, stop, parts, self._room, steps
            )
        self.missing = max(0, stop - end)
        # Joined, because a call for each part would cost more than another copy.
        joined = parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
        self._payload.add(joined)
        if self._compressed is not None and self._is_last and not self.missing:
            self._compressed.end()
        return min(stop, end), steps

    def is_whole(self) -> bool:
        """Return whether the message is complete."""
        if self.missing or not self._is_last:
            return False
        return self._compressed is None or not self._compressed.busy

    def finish(self) -> tuple[str | bytes, int]:
        """Return the complete message, and its size in bytes.

        Raises:
            BrokenRule: The message ends within a character.
        """
        payload = self._payload
        self.drop()
        message = payload.finish()
        return message, payload.size

    def drop(self) -> None:
        """Discard the message under way."""
        self.inside = self._is_last = False
        self.missing = 0
        self._payload, self._large, self._compressed = _NO_PAYLOAD, None, None
