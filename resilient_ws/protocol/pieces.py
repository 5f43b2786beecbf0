"""The payload of a message that arrives in pieces: text or binary.

Rules. A piece is processed once: text is decoded as it comes, so that it is refused as
soon as it cannot be UTF-8, and at most three bytes wait for the rest of their
character. Tiny pieces are joined early, because a message of millions of them would use
several times its size in memory.
"""

from __future__ import annotations

from codecs import utf_8_decode
from io import BytesIO
from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.violation import BAD_TEXT, Broken


if TYPE_CHECKING:
    from resilient_ws.protocol.violation import Violation


#: The most parts that wait to be joined: they cost up to 90 bytes each. A large message
#: in network segments has fewer parts and is joined once. A buffer that grows to an
#: unknown size is no better: if realloc has to move it, it is copied eight times over;
#: and io.StringIO is a list of parts up to Python 3.11.
_MAX_PARTS: Final = 16 * 1024
#: A frame of more bytes is large.
LARGE: Final = 64 * 1024
#: After that many bytes, memory is reserved for the announced size: up to 1 MiB, and
#: then up to eight times what has come, but at most 16 MiB ahead of that, or half of it
#: if that is more. The peer may never send what it announced.
_BELIEVED: Final = 1024 * 1024
_TIMES: Final = 8
_AHEAD: Final = 16 * 1024 * 1024


class Text:
    """A text message.

    Args:
        wrong: The violation to raise if the text is not UTF-8.

    Attributes:
        size: The bytes of payload so far.
    """

    __slots__ = ("_joined", "_parts", "_rest", "_wrong", "size")

    def __init__(self, *, wrong: Violation = BAD_TEXT) -> None:
        self.size = 0
        self._wrong = wrong
        self._parts: list[str] = []
        # How many of the parts were joined from many.
        self._joined = 0
        # The bytes of an incomplete character.
        self._rest = b""

    def add(self, piece: bytes | memoryview) -> None:
        """Take the next bytes.

        Raises:
            Broken: Whatever follows, the text cannot be UTF-8.
        """
        self.size += len(piece)
        if self._rest:
            piece, self._rest = self._rest + piece, b""
        try:
            text, taken = utf_8_decode(piece, "strict", False)  # noqa: FBT003 - as codecs has it
        except UnicodeDecodeError:
            raise Broken(self._wrong) from None
        parts = self._parts
        parts.append(text)
        if len(parts) >= self._joined + _MAX_PARTS:
            parts[self._joined :] = ["".join(parts[self._joined :])]
            self._joined += 1
        if taken < len(piece):
            rest = self._rest = bytes(piece[taken:])
            # Half a surrogate is refused here: Python waits for its third byte.
            if b"\xed\xa0" <= rest < b"\xee":
                raise Broken(self._wrong)

    def finish(self) -> str:
        """Return the message.

        Raises:
            Broken: The message ends within a character.
        """
        if self._rest:
            raise Broken(self._wrong)
        return "".join(self._parts)


class Binary:
    """A binary message.

    Attributes:
        size: The bytes of payload so far.
    """

    __slots__ = ("_joined", "_parts", "size")

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []
        self._joined = 0

    def add(self, piece: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.size += len(piece)
        parts = self._parts
        parts.append(bytes(piece))
        if len(parts) >= self._joined + _MAX_PARTS:
            parts[self._joined :] = [b"".join(parts[self._joined :])]
            self._joined += 1

    def finish(self) -> bytes:
        """Return the message."""
        return b"".join(self._parts)


class Large:
    """A binary message in one large frame.

    It grows in place and is returned without a copy. Joining pieces at the end would
    hold them twice, and the C library would request such a peak from the system, and
    return it, for each message.

    Args:
        announced: The size that the frame announced, in bytes.

    Attributes:
        size: The bytes of payload so far.
    """

    __slots__ = ("_announced", "_room", "_whole", "size")

    def __init__(self, announced: int) -> None:
        self.size = 0
        self._announced = announced
        self._whole = BytesIO()
        # The bytes reserved so far; up to this size BytesIO grows by itself.
        self._room = LARGE

    def add(self, piece: bytes | memoryview) -> None:
        """Take the next bytes."""
        size = self.size + len(piece)
        if size > self._room:
            self._make_room(size)
        self._whole.write(piece)
        self.size = size

    def _make_room(self, size: int) -> None:
        """Reserve more memory than has come, so that the buffer is seldom moved."""
        ahead = size + max(_AHEAD, size // 2)
        believed = max(_BELIEVED, min(_TIMES * size, ahead))
        self._room = min(self._announced, believed)
        self._whole.seek(self._room - 1)
        self._whole.write(b"\0")
        self._whole.seek(self.size)

    def finish(self) -> bytes:
        """Return the message."""
        return self._whole.getvalue()
