"""Inflates compressed messages (RFC 7692 section 7.2.2).

Rules. A message is measured as it is inflated: at most one byte above the limit comes
out, and everything before that byte is checked first. So the rule that a message breaks
first does not depend on how its bytes were cut. The work is done in pieces of limited
size, counted in steps, and can stop after each piece; compressed bytes not used yet are
kept. A zlib stream is opened for the first compressed message, and discarded after each
message if context takeover is off.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from resilient_ws.protocol.payload import BinaryPayload, TextPayload
from resilient_ws.protocol.steps import (
    DEFLATED_PER_STEP,
    INFLATED_PER_STEP,
    STREAM_STEPS,
)
from resilient_ws.protocol.violation import (
    BAD_DEFLATE,
    BAD_DEFLATED_TEXT,
    BrokenRule,
    too_big,
)
from resilient_ws.protocol.zlibs import ZLIB


if TYPE_CHECKING:
    from resilient_ws.protocol.zlibs import Decompress

#: The end of a compressed message, which a sender removes and a receiver adds again.
TAIL: Final = b"\x00\x00\xff\xff"

#: zlib cannot deflate with a window of 8 bits. Servers that promise 8 may get 9 from
#: their zlib, so we inflate with at least 9; a larger window always works.
MIN_ZLIB_BITS: Final = 9

#: The most bytes that go into zlib at once, and the most that come out. The first is
#: the most that is copied when zlib stops early, the second the most between two checks
#: of the limits. zlib never stops early in data that shrank to no less than a quarter.
_PIECE_IN: Final = 64 * 1024
_PIECE_OUT: Final = 256 * 1024


class BadDeflate(Exception):
    """Raised when received bytes are not valid compressed data."""


class Unfinished(NamedTuple):
    """A whole message of which a first piece was inflated.

    Attributes:
        made: The bytes inflated so far.
        rest: The compressed bytes that are left, with the tail.
        is_text: Whether it is a text message.
    """

    made: bytes
    rest: bytes
    is_text: bool


class Inflater:
    """Holds zlib's stream from message to message.

    Args:
        bits: The size of the server's window, as a power of two.
        takeover: Whether that window lives on from message to message.
        limit: The most bytes that a message may inflate to.

    Attributes:
        has_more: Whether zlib may hold more output of the bytes it was given.
        streams_opened: The number of zlib streams opened so far.
        steps_per_message: The steps that a whole small message counts as.
    """

    __slots__ = (
        "_bits",
        "_piece",
        "_stream",
        "_takeover",
        "has_more",
        "steps_per_message",
        "streams_opened",
    )

    def __init__(self, *, bits: int, takeover: bool, limit: int = sys.maxsize) -> None:
        self.has_more = False
        self.streams_opened = 0
        self.steps_per_message = 1 if takeover else 1 + STREAM_STEPS
        self._bits = max(bits, MIN_ZLIB_BITS)
        self._takeover = takeover
        # Capped, so that zlib cannot raise an error past the limit before reaching it.
        self._piece = min(_PIECE_OUT, limit)
        self._stream: Decompress | None = None

    @property
    def has_stream(self) -> bool:
        """Whether a zlib stream is open."""
        return self._stream is not None

    def inflate_message(self, payload: memoryview) -> tuple[bytes, bytes | None]:
        """Inflate a whole message, or the first piece of a large one.

        This does what ``inflate_piece`` does, but faster: most messages are small.

        Args:
            payload: The payload of one frame, at most ``_PIECE_IN`` bytes.

        Returns:
            The inflated bytes, and the compressed bytes that are left, or ``None`` if
            the message is complete.

        Raises:
            BadDeflate: The payload is invalid, or refers back beyond the window.
        """
        data = b"".join((payload, TAIL))
        stream = self._stream
        if stream is None:
            if not payload:
                return b"", data
            stream = self._open()
        try:
            made = stream.decompress(data, self._piece)
        except ZLIB.error:
            raise BadDeflate from None
        if len(made) < self._piece and not stream.eof:
            if not self._takeover:
                self._stream = None
            return made, None
        return made, data[self._count_taken(stream, data, made, self._piece) :]

    def inflate_piece(self, data: memoryview, room: int) -> tuple[bytes, int]:
        """Inflate one piece of a message.

        Args:
            data: The compressed bytes that zlib has not taken yet.
            room: How many more bytes the message may have.

        Returns:
            At most ``room`` bytes, or one byte if there is no room; and how many bytes
            of ``data`` were taken.

        Raises:
            BadDeflate: The data is invalid, or refers back beyond the window.
        """
        stream = self._open() if self._stream is None else self._stream
        piece, most = data[:_PIECE_IN], min(self._piece, max(room, 1))
        try:
            if room > 0:
                made = stream.decompress(piece, most)
            else:
                stream, made = self._peek(stream, piece)
        except ZLIB.error:
            raise BadDeflate from None
        return made, self._count_taken(stream, piece, made, most)

    def finish(self) -> None:
        """End a message."""
        if not self._takeover:
            self._stream = None

    def _open(self) -> Decompress:
        self.streams_opened += 1
        stream = self._stream = ZLIB.decompressobj(wbits=-self._bits)
        return stream

    def _peek(self, stream: Decompress, data: memoryview) -> tuple[Decompress, bytes]:
        """Inflate one byte past the limit, if there is one.

        When zlib meets an error, it does not return the byte that came before. So after
        an error, and only then, the input is fed again byte by byte, to see whether the
        byte comes first.
        """
        self.streams_opened += 1
        ahead = stream.copy()
        try:
            made = ahead.decompress(data, 1)
        except ZLIB.error:
            for at in range(len(data) + 1):
                made = stream.decompress(data[max(at - 1, 0) : at], 1)
                if made:
                    return stream, made
            raise
        self._stream = ahead
        return ahead, made

    def _count_taken(
        self, stream: Decompress, data: bytes | memoryview, made: bytes, most: int
    ) -> int:
        """Return how many bytes of ``data`` zlib took to make at most ``most``."""
        if stream.eof:
            # A final block (RFC 7692 section 7.2.3.4) ends zlib's stream for good, so
            # the rest needs a new one.
            self.has_more, self._stream = False, None
            return len(data) - len(stream.unused_data)
        # After a full piece zlib may hold more output, even if it took all the input.
        self.has_more = len(made) == most
        return len(data) - len(stream.unconsumed_tail)


class CompressedPayload:
    """The payload of a compressed message; its size is counted after inflating.

    Args:
        inflater: The inflater of the connection.
        limit: The most bytes that it may inflate to.
        is_text: Whether it is a text message.
        begun: What was done of it already, if it came as a whole.
    """

    __slots__ = ("_begun", "_data", "_ended", "_inflater", "_limit", "_plain", "_taken")

    def __init__(
        self,
        inflater: Inflater,
        limit: int,
        *,
        is_text: bool,
        begun: Unfinished | None = None,
    ) -> None:
        self._inflater = inflater
        self._plain = (
            TextPayload(wrong=BAD_DEFLATED_TEXT) if is_text else BinaryPayload()
        )
        self._limit = limit
        # The bytes that were inflated before this object was created.
        self._begun = b"" if begun is None else begun.made
        # Compressed bytes, and how many of them zlib has taken.
        self._data = b"" if begun is None else begun.rest
        self._taken = 0
        # Whether the whole message has come, and its tail was added.
        self._ended = begun is not None

    @property
    def size(self) -> int:
        """The bytes of payload so far, inflated."""
        return self._plain.size

    @property
    def busy(self) -> bool:
        """Whether there is something left to inflate."""
        left = self._taken < len(self._data) or self._inflater.has_more
        return left or len(self._begun) > 0

    def add(self, part: bytes | memoryview) -> None:
        """Take the next compressed bytes; only allowed when not ``busy``."""
        self._data, self._taken = bytes(part), 0

    def end(self) -> None:
        """Add the tail, now that the whole message has come."""
        self.add(b"".join((self._data[self._taken :], TAIL)))
        self._ended = True

    def inflate(self, steps: int) -> int:
        """Inflate until done or out of steps; return the steps left.

        Raises:
            BrokenRule: The message is not compressed data, not UTF-8, or too big.
        """
        inflater, data = self._inflater, memoryview(self._data)
        if self._begun:
            self._plain.add(self._begun)
            self._begun = b""
        while self.busy and steps > 0:
            if self._ended and not inflater.has_stream and self._only_tail_is_left():
                # There is no stream for the tail to end.
                self._taken = len(data)
                return steps - 1
            opened = inflater.streams_opened
            made, taken = self._next_piece(data[self._taken :])
            self._taken += taken
            steps -= 1 + len(made) // INFLATED_PER_STEP + taken // DEFLATED_PER_STEP
            steps -= STREAM_STEPS * (inflater.streams_opened - opened)
        return steps

    def _only_tail_is_left(self) -> bool:
        return len(self._data) - self._taken == len(TAIL)

    def _next_piece(self, data: memoryview) -> tuple[bytes, int]:
        """Inflate one piece; return it, and how many bytes of ``data`` it took."""
        plain, limit = self._plain, self._limit
        try:
            made, taken = self._inflater.inflate_piece(data, limit - plain.size)
        except BadDeflate:
            bad = BAD_DEFLATED_TEXT if isinstance(plain, TextPayload) else BAD_DEFLATE
            raise BrokenRule(bad) from None
        if made:
            if plain.size == limit:
                raise BrokenRule(too_big(limit + 1, limit))
            plain.add(made)
        return made, taken

    def finish(self) -> str | bytes:
        """Return the message.

        Raises:
            BrokenRule: The message ends within a character.
        """
        self._inflater.finish()
        return self._plain.finish()
