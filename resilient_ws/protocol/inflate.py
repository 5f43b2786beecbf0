"""Taking compressed messages apart (RFC 7692 section 7.2.2).

Rules. What is compressed is measured as it is inflated: no byte above the limit comes
out but the one that shows it, and what stands before that byte is judged before it. So
which rule a message breaks first does not depend on how its bytes were cut. The work is
done in pieces of bounded size and counted in steps, and can stop after each: what zlib
was not given yet is kept. zlib's state is made for the first compressed message, and
given up after each one where context takeover is off.
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

#: What a sender takes off the end of a message, and a receiver puts back.
TAIL: Final = b"\x00\x00\xff\xff"

#: zlib refuses to deflate into a window of 8 bits. Some servers that promise 8 get 9
#: from their zlib, so we inflate with 9 at least; a larger window always fits.
MIN_ZLIB_BITS: Final = 9

#: At most so many compressed bytes go into zlib at once, and so many come out: the one
#: bounds what is copied when zlib stops early, the other is the grain of every limit.
#: What shrank to a quarter comes out as it went in: zlib has not to stop.
_PIECE_IN: Final = 64 * 1024
_PIECE_OUT: Final = 256 * 1024


class BadDeflate(Exception):
    """What was received is not compressed data."""


class Inflater:
    """zlib's state from message to message.

    Args:
        bits: The size of the server's window, as a power of two.
        takeover: Whether that window lives on from message to message.
        limit: The most bytes that a message may inflate to.

    Attributes:
        full: Whether zlib may hold more of what it was given.
        made: How many of its states were made.
        steps: What a whole small message counts as.
    """

    __slots__ = ("_bits", "_piece", "_stream", "_takeover", "full", "made", "steps")

    def __init__(self, *, bits: int, takeover: bool, limit: int = sys.maxsize) -> None:
        self.full = False
        self.made = 0
        self.steps = 1 if takeover else 1 + STREAM_STEPS
        self._bits = max(bits, MIN_ZLIB_BITS)
        self._takeover = takeover
        # So that no error behind the last byte that is allowed comes before it.
        self._piece = min(_PIECE_OUT, limit)
        self._stream: _Decompress | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing is open that the end of a message could end."""
        return self._stream is None

    def whole(self, payload: memoryview) -> tuple[bytes, bytes | None]:
        """Return what a whole message begins with, and what is left to inflate.

        It does what ``feed`` does, and does it faster, for most messages are small.

        Returns:
            The first bytes, and the compressed ones that zlib has not taken; ``None``
            in place of these where the message is complete.

        Raises:
            BadDeflate: It is not compressed data, or looks back beyond the window.
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
        """Return one piece of what a message becomes.

        Args:
            data: What is there of the compressed payload.
            room: How many more bytes the message may have.

        Returns:
            At most ``room`` bytes, or one where there is no room; and how much of
            ``data`` was taken for it.

        Raises:
            BadDeflate: It is not compressed data, or looks back beyond the window.
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
        """Look for the one byte too many.

        zlib gives up at an error and keeps the byte that came before it to itself. So
        where there is an error, and only there, they are told apart byte by byte, from
        what zlib holds on.
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
        """Return how much of ``data`` was taken for a piece."""
        if stream.eof:
            # A final block ends the stream (RFC 7692 section 7.2.3.4), for zlib for
            # ever: another stream takes the rest.
            self.full, self._stream = False, None
            return len(data) - len(stream.unused_data)
        # A full piece may leave some in zlib, even when it has taken everything.
        self.full = len(made) == (self._piece if most is None else most)
        return len(data) - len(stream.unconsumed_tail)


class Inflating:
    """A compressed message, of either kind: what counts is what it inflates to.

    Args:
        inflater: Takes it apart.
        is_text: Whether it is a text message.
        limit: The most bytes that may come out.
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
        # Compressed bytes, and up to where zlib has taken them.
        self._data = b""
        self._at = 0
        # The bytes that came out before this was made.
        self._begun = b""
        # Whether all of the message has come, with its tail.
        self._ended = False

    @property
    def size(self) -> int:
        """The bytes of payload so far, inflated."""
        return self._plain.size

    @property
    def busy(self) -> bool:
        """Whether there is something to inflate."""
        left = self._at < len(self._data) or self._inflater.full
        return left or len(self._begun) > 0

    def begun(self, made: bytes, left: bytes) -> None:
        """Go on with a whole message of which the first bytes came out already."""
        self._begun, self._data, self._ended = made, left, True

    def add(self, piece: bytes | memoryview) -> None:
        """Take the next compressed bytes, when there is nothing left to inflate."""
        self._data, self._at = bytes(piece), 0

    def end(self) -> None:
        """Take note that all of the message has come."""
        self.add(b"".join((self._data[self._at :], TAIL)))
        self._ended = True

    def work(self, steps: int) -> int:
        """Inflate for so many steps; return how many are left.

        Raises:
            Broken: It is not compressed data, not UTF-8, or too big.
        """
        inflater, plain, data = self._inflater, self._plain, memoryview(self._data)
        if self._begun:
            plain.add(self._begun)
            self._begun = b""
        while self.busy and steps > 0:
            if self._ended and inflater.closed and len(data) - self._at == len(TAIL):
                # Nothing is open that the tail could end.
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
            Broken: It ends within a character.
        """
        self._inflater.finish()
        return self._plain.finish()
