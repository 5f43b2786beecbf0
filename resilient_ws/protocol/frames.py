"""The bytes of one frame: its header, its masking (RFC 6455 section 5).

Rules of :class:`KeyPool`, the one thing with state here: every key is handed out
once; randomness is fetched in blocks, because a system call per frame would cost as
much as the rest of the frame.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import attrs


if TYPE_CHECKING:
    from collections.abc import Callable


CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

OPCODES: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})

FIN: Final = 0x80
RSV: Final = 0x70
RSV1: Final = 0x40

#: The most that a control frame may carry, and that 7 bits of length can say.
MAX_SHORT: Final = 125

_MASKED: Final = 0x80
_IS_16_BIT: Final = 126
_IS_64_BIT: Final = 127
_MAX_16_BIT: Final = 0xFFFF

#: One piece of a large payload: its integers stay in the processor's cache. It is a
#: multiple of 4, so every piece starts with the first byte of the key.
_PIECE: Final = 16 * 1024

_BLOCK: Final = 4096


@attrs.define(kw_only=True)  # frozen costs half a microsecond more, on every frame
class Header:
    """The header of a received frame, not judged yet.

    Attributes:
        fin: Whether it is the last frame of its message.
        rsv: The three reserved bits, where they stand in the first byte.
        opcode: What kind of frame it is.
        masked: Whether it claims to be masked.
        size: The bytes of payload that it announces.
        minimal: Whether the length was written in the shortest form.
        end: Where the payload starts.
    """

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    size: int
    minimal: bool
    end: int


def read_header(data: bytes, pos: int) -> Header | None:
    """Return the header that starts at ``pos``, or ``None`` when it is incomplete."""
    if len(data) < pos + 2:
        return None
    first, second = data[pos], data[pos + 1]
    size, least, end = second & 0x7F, 0, pos + 2
    if size > MAX_SHORT:
        width, least = (2, MAX_SHORT) if size == _IS_16_BIT else (8, _MAX_16_BIT)
        end += width
        if len(data) < end:
            return None
        size, least = int.from_bytes(data[pos + 2 : end]), least + 1
    return Header(
        fin=bool(first & FIN),
        rsv=first & RSV,
        opcode=first & 0x0F,
        masked=bool(second & _MASKED),
        size=size,
        minimal=size >= least,
        end=end,
    )


def payload_bounds(data: bytes, pos: int) -> tuple[int, int] | None:
    """Return where the payload of a frame begins and ends, if all of it is there.

    It is for frames of up to 64 KiB whose first byte was found good. ``None`` leaves
    anything else, and a length that breaks a rule, to ``read_header``.
    """
    if len(data) < pos + 2:
        return None
    start, size = pos + 2, data[pos + 1]
    if size == _IS_16_BIT:
        start += 2
        size = int.from_bytes(data[pos + 2 : start])
        if size <= MAX_SHORT:
            return None
    elif size > MAX_SHORT:
        return None
    stop = start + size
    return None if stop > len(data) else (start, stop)


def broken_rule(header: Header, *, inside: bool, claimed: int = 0) -> str | None:
    """Return what is wrong with a received header, if something is.

    Args:
        header: The header, as ``read_header`` gave it.
        inside: Whether a fragmented message is under way.
        claimed: The reserved bits that extensions may set on the first frame of a
            message, and nowhere else.
    """
    size, opcode = header.size, header.opcode
    is_control = opcode >= CLOSE
    unclaimed = header.rsv & ~claimed if opcode in (TEXT, BINARY) else header.rsv
    rules = (
        (unclaimed, "a reserved bit that no extension claims"),
        (header.masked, "a masked frame"),
        (opcode not in OPCODES, "a reserved opcode"),
        (size >> 63, "a length with its top bit set"),
        (not header.minimal, "a length that is not in its shortest form"),
        (is_control and not header.fin, "a fragmented control frame"),
        (is_control and size > MAX_SHORT, "a control frame above 125 bytes"),
        (opcode == CONTINUATION and not inside, "a continuation of nothing"),
        (opcode in (TEXT, BINARY) and inside, "a message inside a fragmented one"),
    )
    for broken, what in rules:
        if broken:
            return what
    return None


def encode_frame(
    opcode: int,
    payload: bytes | bytearray | memoryview,
    key: bytes,
    fin: bool = True,  # noqa: FBT001, FBT002 - as in the header, bit by bit
    rsv1: bool = False,  # noqa: FBT001, FBT002
) -> bytes:
    """Return one masked frame, as a client sends it.

    A ``memoryview`` may have any format and any strides: its bytes go, in order.
    """
    if isinstance(payload, memoryview):
        payload = payload.tobytes()
    first = opcode | (FIN if fin else 0) | (RSV1 if rsv1 else 0)
    size = len(payload)
    if size <= MAX_SHORT:
        header = (first << 8 | _MASKED | size).to_bytes(2)
    elif size <= _MAX_16_BIT:
        header = bytes((first, _MASKED | _IS_16_BIT)) + size.to_bytes(2)
    else:
        header = bytes((first, _MASKED | _IS_64_BIT)) + size.to_bytes(8)
    return header + key + mask(payload, key)


def mask(data: bytes | bytearray, key: bytes) -> bytes:
    """Return ``data`` masked, or unmasked, with the four bytes of ``key``.

    One XOR of two long integers does in one step what a loop does byte by byte.
    """
    size = len(data)
    if size > _PIECE:
        return b"".join(
            mask(data[start : start + _PIECE], key) for start in range(0, size, _PIECE)
        )
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data) ^ int.from_bytes(keys)).to_bytes(size)


class KeyPool:
    """Masking keys from the randomness of the operating system.

    Args:
        entropy: Gives that many random bytes; a test may pass its own.
    """

    __slots__ = ("_at", "_block", "_entropy")

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self._block = b""
        self._at = 0

    def take(self) -> bytes:
        """Return the next four bytes."""
        start = self._at
        if start == len(self._block):
            self._block = self._entropy(_BLOCK)
            start = 0
        self._at = stop = start + 4
        return self._block[start:stop]
