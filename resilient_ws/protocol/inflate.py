"""Inflates compressed messages (RFC 7692 section 7.2.2).

Rules. A message is measured as it is inflated: at most one byte above the limit comes
out, and everything before that byte is checked first. So the rule that a message breaks
first does not depend on how its bytes were cut. The work is done in pieces of limited
size, counted in steps, and can stop after each piece; compressed bytes not used yet are
kept. zlib's state is created for the first compressed message, and discarded after each
message if context takeover is off.
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Final, TypeAlias

from resilient_ws.protocol.pieces import Binary, Text
from resilient_ws.protocol.violation import (
    BAD_DEFLATE,
    BAD_DEFLATED_TEXT,
    Broken,
    too_big,
)
from resilient_ws.protocol.work import (
    DEFLATED_PER_STEP,
    INFLATED_PER_STEP,
    STREAM_STEPS,
)


if TYPE_CHECKING:
    # typeshed has no public name for it.
    _Decompress: TypeAlias = zlib._Decompress  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

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


class Inflater:
    """Holds zlib's state from message to message.

    Args:
        bits: The size of the server's window, as a power of two.
        takeover: Whether that window lives on from message to message.
        limit: The most bytes that a message may inflate to.

    Attributes:
        full: Whether zlib may hold more output of the bytes it was given.
        made: The number of zlib states created.
        steps: The steps that a whole small message counts as.
    """

    __slots__ = ("_bits", "_piece", "_stream", "_takeover", "full", "made", "steps")

    def __init__(self, *, bits: int, takeover: bool, limit: int = sys.maxsize) -> None:
        self.full = False
        self.made = 0
        self.steps = 1 if takeover else 1 + STREAM_STEPS
        self._bits = max(bits, MIN_ZLIB_BITS)
        self._takeover = takeover
        # Capped, so that zlib cannot raise an error past the limit before reaching it.
        self._piece = min(_PIECE_OUT, limit)
        self._stream: _Decompress | None = None

    @property
    def closed(self) -> bool:
        """Whether there is no zlib stream for the tail to end."""
        return self._stream is None

    def whole(self, payload: memoryview) -> tuple[bytes, bytes | None]:
        """Inflate a whole message, or the first piece of a large one.

        It does what ``feed`` does, only faster, because most messages are small.

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
        if len(payload) >= _PIECE_IN:
            return b"", data
        try:
            made = stream.decompress(data, self._piece)
        except zlib.error:
            raise BadDeflate from None
        if len(made) < self._piece and not stream.eof:
            if not self._takeover:
                self._stream = None
            return made, None
        return made, data[self._taken(stream, data, made) :]

    def feed(self, data: memoryview, room: int) -> tuple[bytes, int]:
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
                stream, made = self._peeped(stream, piece)
        except zlib.error:
            raise BadDeflate from None
        return made, self._taken(stream, piece, made, most)

    def finish(self) -> None:
        """End a message."""
        if not self._takeover:
            self._stream = None

    def _open(self) -> _Decompress:
        self.made += 1
        stream = self._stream = zlib.decompressobj(wbits=-self._bits)
        return stream

    def _peeped(
        self, stream: _Decompress, data: memoryview
    ) -> tuple[_Decompress, bytes]:
        """Inflate one byte past the limit, if there is one.

        When zlib meets an error, it does not return the byte that came before. So after
        an error, and only then, the input is fed again byte by byte, to see whether the
        byte comes first.
        """
        self.made += 1
        ahead = stream.copy()
        try:
            made = ahead.decompress(data, 1)
        except zlib.error:
            for at in range(len(data) + 1):
                made = stream.decompress(data[max(at - 1, 0) : at], 1)
                if made:
                    return stream, made
            raise
        self._stream = ahead
        return ahead, made

    def _taken(
        self,
        stream: _Decompress,
        data: bytes | memoryview,
        made: bytes,
        most: int | None = None,
    ) -> int:
        """Return how many bytes of ``data`` were taken for a piece."""
        if stream.eof:
            # A final block (RFC 7692 section 7.2.3.4) ends zlib's stream for good, so
            # the rest needs a new one.
            self.full, self._stream = False, None
            return len(data) - len(stream.unused_data)
        # After a full piece zlib may hold more output, even if it took all the input.
        self.full = len(made) == (self._piece if most is None else most)
        return len(data) - len(stream.unconsumed_tail)


class Inflating:
    """A compressed message, text or binary; its size is counted after inflating.

    Args:
        inflater: The inflater of the connection.
        is_text: Whether it is a text message.
        limit: The most bytes that it may inflate to.
    """

    __slots__ = (
        "_at",
        "_begun",
        "_data",
        "_ended",
        "_inflater",
        "_limit",
        "_plain",
    )

    def __init__(self, inflater: Inflater, limit: int, *, is_text: bool) -> None:
        self._inflater = inflater
        self._plain = Text(wrong=BAD_DEFLATED_TEXT) if is_text else Binary()
        self._limit = limit
        # Compressed bytes, and how many of them zlib has taken.
        self._data = b""
        self._at = 0
        # The bytes that were inflated before this object was created.
        self._begun = b""
        # Whether the whole message has come, and its tail was added.
        self._ended = False

    @property
    def size(self) -> int:
        """The bytes of payload so far, inflated."""
        return self._plain.size

    @property
    def busy(self) -> bool:
        """Whether there is something left to inflate."""
        left = self._at < len(self._data) or self._inflater.full
        return left or len(self._begun) > 0

    def begun(self, made: bytes, left: bytes) -> None:
        """Continue a whole message whose first bytes were inflated already."""
        self._begun, self._data, self._ended = made, left, True

    def add(self, piece: bytes | memoryview) -> None:
        """Take the next compressed bytes; only allowed when not ``busy``."""
        self._data, self._at = bytes(piece), 0

    def end(self) -> None:
        """Add the tail, now that the whole message has come."""
        self.add(b"".join((self._data[self._at :], TAIL)))
        self._ended = True

    def work(self, steps: int) -> int:
        """Inflate until done or out of steps; return the steps left.

        Raises:
            Broken: The message is not compressed data, not UTF-8, or too big.
        """
        inflater, plain, data = self._inflater, self._plain, memoryview(self._data)
        if self._begun:
            plain.add(self._begun)
            self._begun = b""
        while self.busy and steps > 0:
            if self._ended and inflater.closed and len(data) - self._at == len(TAIL):
                # There is no stream for the tail to end.
                self._at = len(data)
                return steps - 1
            states = inflater.made
            try:
                made, taken = inflater.feed(data[self._at :], self._limit - plain.size)
            except BadDeflate:
                bad = BAD_DEFLATED_TEXT if isinstance(plain, Text) else BAD_DEFLATE
                raise Broken(bad) from None
            self._at += taken
            if made:
                if plain.size == self._limit:
                    raise Broken(too_big(self._limit + 1, self._limit))
                plain.add(made)
            steps -= 1 + len(made) // INFLATED_PER_STEP + taken // DEFLATED_PER_STEP
            steps -= STREAM_STEPS * (inflater.made - states)
        return steps

    def finish(self) -> str | bytes:
        """Return the message.

        Raises:
            Broken: The message ends within a character.
        """
        self._inflater.finish()
        return self._plain.finish()
