"""The bytes of one frame: what it is made of, and one of ours (RFC 6455 section 5).

Rules of :class:`KeyPool`, the one thing with state here: every key is handed out
once; randomness is fetched in blocks, because a system call per frame would cost as
much as the rest of the frame. One pool may serve any number of connections, in one
thread.
"""

from __future__ import annotations

import os
from itertools import chain, repeat
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias


if TYPE_CHECKING:
    from collections.abc import Callable

#: Masks a payload in place with a key of four bytes, as ``mask`` does.
Mask: TypeAlias = "Callable[[bytes, bytearray], None]"


CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

FIN: Final = 0x80
RSV: Final = 0x70
RSV1: Final = 0x40

#: The most that a control frame may carry, and that 7 bits of length can say.
MAX_SHORT: Final = 125

#: What those 7 bits say where the length follows in 16 bits, or in 64.
IS_16_BIT: Final = 126
IS_64_BIT: Final = 127
MAX_16_BIT: Final = 0xFFFF

#: The bit beside them.
MASKED: Final = 0x80

#: One piece of a large payload: its integers stay in the processor's cache. It is a
#: multiple of 4, so every piece starts with the first byte of the key.
_PIECE: Final = 16 * 1024

_BLOCK: Final = 4096
#: Cuts a block into keys, one when it is asked for one.
_cut: Final = Struct("4s").iter_unpack
_head_16: Final = Struct("!BBH").pack
_head_64: Final = Struct("!BBQ").pack


def mask(key: bytes, payload: bytearray) -> None:
    """Mask, or unmask, ``payload`` in place with the four bytes of ``key``.

    One XOR of two long integers does in one step what a loop does byte by byte.
    """
    size = len(payload)
    keys = key * (min(size, _PIECE) // 4 + 1)
    for start in range(0, size, _PIECE):
        piece = payload[start : start + _PIECE]
        length = len(piece)
        masked = int.from_bytes(piece) ^ int.from_bytes(keys[:length])
        payload[start : start + length] = masked.to_bytes(length)


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
    masked = bytearray(
        payload.tobytes() if isinstance(payload, memoryview) else payload
    )
    mask(key, masked)
    first = opcode | (FIN if fin else 0) | (RSV1 if rsv1 else 0)
    return b"".join((frame_head(first, len(masked)), key, masked))


#: What stands before the key of a short message, by its first byte and its size.
SHORT_HEADS: Final = {
    FIN | opcode: tuple(bytes((FIN | opcode, MASKED | size)) for size in range(126))
    for opcode in (TEXT, BINARY)
}


def frame_head(first: int, size: int) -> bytes:
    """Return what stands before the key of a masked frame."""
    if size <= MAX_SHORT:
        return (first << 8 | MASKED | size).to_bytes(2)
    if size <= MAX_16_BIT:
        return _head_16(first, MASKED | IS_16_BIT, size)
    return _head_64(first, MASKED | IS_64_BIT, size)


class KeyPool:
    """Masking keys from the randomness of the operating system.

    Args:
        entropy: Gives that many random bytes; a test may pass its own.

    Attributes:
        take: Returns the next four bytes.
    """

    __slots__ = ("__weakref__", "_entropy", "take")

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self.forget()

    def forget(self) -> None:
        """Hand out nothing of what was fetched: a forked child has it as well."""
        blocks = map(_cut, map(self._entropy, repeat(_BLOCK)))
        # A call of ours for each key would cost more than the key.
        self.take: Callable[[], bytes] = chain.from_iterable(
            chain.from_iterable(blocks)
        ).__next__
