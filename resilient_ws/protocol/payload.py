"""Collects the payload of a plain message that arrives in parts.

Rules. Each part is processed once. Text is decoded as it comes, so that it is refused
as soon as it cannot be UTF-8; at most three bytes wait for the rest of their character.
Tiny parts are joined early, because a message of millions of them would use several
times its size in memory. A large text in one frame is gathered in a room that many
connections share, and decoded once.
"""

from __future__ import annotations

from codecs import ascii_decode, utf_8_decode
from io import BytesIO
from typing import TYPE_CHECKING, Final
from weakref import ref

from resilient_ws.protocol.violation import BAD_TEXT, BrokenRule


if TYPE_CHECKING:
    from resilient_ws.protocol.violation import Violation


#: The most parts that wait to be joined: they cost up to 90 bytes each. A large message
#: in network segments has fewer parts and is joined once. A buffer that grows to an
#: unknown size is no better: if realloc has to move it, it is copied eight times over;
#: and io.StringIO is a list of parts up to Python 3.11.
_MAX_PARTS: Final = 16 * 1024

#: A frame of more bytes is large.
LARGE: Final = 64 * 1024

#: How far :class:`LargePayload` believes the size that a frame announces, because the
#: peer may never send it. Once ``LARGE`` bytes have come, it reserves memory for up to
#: 1 MiB; later for up to eight times what has come, but at most 16 MiB ahead of that,
#: or half of it if that is more.
_BELIEVED_AT_ONCE: Final = 1024 * 1024
_BELIEVED_TIMES: Final = 8
_BELIEVED_AHEAD: Final = 16 * 1024 * 1024


class TextPayload:
    """The payload of a text message.

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

    def add(self, part: bytes | memoryview) -> None:
        """Take the next bytes.

        Raises:
            BrokenRule: Whatever follows, the text cannot be UTF-8.
        """
        self.size += len(part)
        if self._rest:
            part, self._rest = self._rest + part, b""
        try:
            text, taken = utf_8_decode(part, "strict", False)  # noqa: FBT003 - as codecs has it
        except UnicodeDecodeError:
            raise BrokenRule(self._wrong) from None
        parts = self._parts
        parts.append(text)
        if len(parts) >= self._joined + _MAX_PARTS:
            parts[self._joined :] = ["".join(parts[self._joined :])]
            self._joined += 1
        if taken < len(part):
            rest = self._rest = bytes(part[taken:])
            # Refuse half a surrogate here: Python would wait for its third byte.
            if b"\xed\xa0" <= rest < b"\xee":
                raise BrokenRule(self._wrong)

    def finish(self) -> str:
        """Return the message.

        Raises:
            BrokenRule: The message ends within a character.
        """
        if self._rest:
            raise BrokenRule(self._wrong)
        return "".join(self._parts)


class TextRoom:
    """Memory in which one large text at a time is gathered.

    Any number of connections may share it, in one thread. It is made for the first
    large text and kept, because the system clears the pages of new memory one by one.
    A text that finds it in use is collected in parts, so a peer that announces a text
    and never sends it takes nothing from others but some speed.
    """

    __slots__ = ("__weakref__", "_user", "_view")

    #: The most bytes that fit in.
    SIZE: Final = 1024 * 1024

    def __init__(self) -> None:
        self._view: memoryview | None = None
        # Weak, because a connection may end within a message.
        self._user: ref[LargeTextPayload] | None = None

    def payload(self, announced: int) -> LargeTextPayload | None:
        """Return the payload of a text in one frame; ``None`` if it does not fit now.

        Args:
            announced: The size that the frame announced, in bytes.
        """
        in_use = self._user is not None and self._user() is not None
        if in_use or announced > self.SIZE:
            return None
        if self._view is None:
            self._view = memoryview(bytearray(self.SIZE))
        payload = LargeTextPayload(self._view[:announced])
        self._user = ref(payload)
        return payload


class LargeTextPayload:
    """The payload of a text message in one large frame.

    As long as the text is ASCII, it is only checked as it comes, and decoded once at
    the end. What is not ASCII would cost too much to decode twice.

    Args:
        room: Where the bytes are gathered: as many as the frame announced.

    Attributes:
        size: The bytes of payload so far.
    """

    __slots__ = ("__weakref__", "_room", "_text", "size")

    def __init__(self, room: memoryview) -> None:
        self.size = 0
        self._room = room
        # Takes the bytes from the first that are not ASCII on.
        self._text: TextPayload | None = None

    def rest(self) -> memoryview:
        """Return the room for the bytes that are missing; they may be read into it."""
        return self._room[self.size :]

    def add(self, part: bytes | memoryview) -> None:
        """Take the next bytes, which may be in their place already.

        Raises:
            BrokenRule: Whatever follows, the text cannot be UTF-8.
        """
        start, room = self.size, self._room
        size = self.size = start + len(part)
        if self._text is not None:
            self._text.add(part)
            return
        if not isinstance(part, memoryview) or part.obj is not room.obj:
            room[start:size] = part
        if size == len(room):
            return  # decoding it checks it
        try:
            ascii_decode(part)
        except UnicodeDecodeError:
            text = self._text = TextPayload()
            text.add(room[:size])

    def finish(self) -> str:
        """Return the message.

        Raises:
            BrokenRule: The message is not UTF-8, or ends within a character.
        """
        if self._text is not None:
            return self._text.finish()
        try:
            return str(self._room, "utf-8")
        except UnicodeDecodeError:
            raise BrokenRule(BAD_TEXT) from None


class BinaryPayload:
    """The payload of a binary message.

    Attributes:
        size: The bytes of payload so far.
    """

    __slots__ = ("_joined", "_parts", "size")

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []
        # How many of the parts were joined from many.
        self._joined = 0

    def add(self, part: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.size += len(part)
        parts = self._parts
        parts.append(bytes(part))
        if len(parts) >= self._joined + _MAX_PARTS:
            parts[self._joined :] = [b"".join(parts[self._joined :])]
            self._joined += 1

    def finish(self) -> bytes:
        """Return the message."""
        return b"".join(self._parts)


class LargePayload:
    """The payload of a binary message in one large frame.

    It grows in place and is returned without a copy. Joining parts at the end would
    hold them twice, and the C library would request such a peak from the system, and
    return it, for each message.

    Args:
        announced: The size that the frame announced, in bytes.

    Attributes:
        size: The bytes of payload so far.
    """

    __slots__ = ("_announced", "_buffer", "_reserved", "size")

    def __init__(self, announced: int) -> None:
        self.size = 0
        self._announced = announced
        self._buffer = BytesIO()
        # The bytes reserved so far; up to this size BytesIO grows by itself.
        self._reserved = LARGE

    def add(self, part: bytes | memoryview) -> None:
        """Take the next bytes."""
        size = self.size + len(part)
        if size > self._reserved:
            self._reserve(size)
        self._buffer.write(part)
        self.size = size

    def _reserve(self, size: int) -> None:
        """Reserve more memory than has come, so that the buffer is seldom moved."""
        ahead = size + max(_BELIEVED_AHEAD, size // 2)
        believed = max(_BELIEVED_AT_ONCE, min(_BELIEVED_TIMES * size, ahead))
        self._reserved = min(self._announced, believed)
        self._buffer.seek(self._reserved - 1)
        self._buffer.write(b"\0")
        self._buffer.seek(self.size)

    def finish(self) -> bytes:
        """Return the message."""
        return self._buffer.getvalue()
