"""A message that arrives in more than one piece, be it frames, chunks or inflated.

Rules: pieces are joined in one ``bytearray``; text is checked as it comes, and so is
the size of what is inflated, so that nothing is kept that could not become a message.
What is wrong with a piece is a :class:`Violation`, after which there are no more.
"""

from __future__ import annotations

import codecs
from itertools import chain
from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws.protocol.deflate import BadDeflate


if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilient_ws.protocol.deflate import Inflater


@attrs.frozen(kw_only=True)
class Violation:
    """What the peer did wrong.

    Attributes:
        code: The close code to answer with: 1002, 1007 or 1009.
        text: What it did, as a sentence that fits a close reason.
    """

    code: int
    text: str


BAD_TEXT: Final = Violation(
    code=1007, text="the server sent a text message that is not UTF-8"
)
BAD_DEFLATE: Final = Violation(
    code=1007, text="the server sent a compressed message that cannot be inflated"
)


def too_big(size: int, limit: int) -> Violation:
    """Say that a message has at least ``size`` bytes, which is above ``limit``."""
    text = f"a message of at least {size} bytes, above our limit {limit}"
    return Violation(code=1009, text=text)


class Pieces:
    """The pieces of a plain message."""

    __slots__ = ("_body", "_checked", "_is_text")

    def __init__(self, *, is_text: bool) -> None:
        self._is_text = is_text
        self._body = bytearray()
        #: How much of a text is known to be whole characters.
        self._checked = 0

    def __len__(self) -> int:
        return len(self._body)

    def add(self, piece: bytes, *, last: bool) -> Violation | None:  # noqa: ARG002 - see InflatedPieces
        """Take the next bytes; a text may fail as soon as it cannot become UTF-8."""
        self._body += piece
        if not self._is_text:
            return None
        fresh = self._body[self._checked :]
        try:
            length = codecs.utf_8_decode(fresh)[1]
        except UnicodeDecodeError:
            return BAD_TEXT
        self._checked += length
        # Half a surrogate is refused here: Python waits for its third byte.
        return BAD_TEXT if b"\xed\xa0" <= fresh[length:] < b"\xee" else None

    def message(self) -> str | bytes:
        """Return all of it; a text that ends within a character does not decode."""
        return self._body.decode() if self._is_text else bytes(self._body)


class InflatedPieces(Pieces):
    """The pieces of a compressed message: what counts is what they inflate to."""

    __slots__ = ("_inflater", "_limit")

    def __init__(self, inflater: Inflater, *, is_text: bool, limit: int) -> None:
        super().__init__(is_text=is_text)
        self._inflater = inflater
        self._limit = limit

    def add(self, piece: bytes, *, last: bool) -> Violation | None:
        """Take the next compressed bytes; stop as soon as the limit is passed."""
        return self.take(self._inflater.inflate(piece, last=last))

    def take(self, parts: Iterable[bytes]) -> Violation | None:
        """Take what comes out of the inflater, as it comes."""
        try:
            for part in parts:
                size = len(self) + len(part)
                if size > self._limit:
                    return too_big(size, self._limit)
                wrong = super().add(part, last=False)
                if wrong is not None:
                    return wrong
        except BadDeflate:
            return BAD_DEFLATE
        return None


def inflated(
    inflater: Inflater, payload: bytes, *, is_text: bool, limit: int
) -> tuple[str | bytes, int] | Violation:
    """Return a compressed message that came in one frame, and its size in bytes."""
    try:
        made, rest = inflater.inflate_whole(payload)
        if rest is None and len(made) <= limit:
            return made.decode() if is_text else made, len(made)
        pieces = InflatedPieces(inflater, is_text=is_text, limit=limit)
        wrong = pieces.take(chain((made,), rest or ()))
        return wrong or (pieces.message(), len(pieces))
    except BadDeflate:
        return BAD_DEFLATE
    except UnicodeDecodeError:
        return BAD_TEXT
