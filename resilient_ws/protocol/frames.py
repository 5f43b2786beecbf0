"""The parts of a frame, and how to make one (RFC 6455 section 5).

Rules. Of all this only :class:`KeyPool` has state. It hands out every key once. It
fetches randomness in blocks, because a system call per frame would cost as much as the
rest of the frame. One pool may serve any number of connections, in one thread.
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

# The opcodes, in the low half of the first byte.
CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

# The flags beside the opcode.
FIN: Final = 0x80
RSV: Final = 0x70
RSV1: Final = 0x40

#: The largest size that 7 bits of length can say. A control frame carries no more.
MAX_SHORT: Final = 125

#: The values of these 7 bits that announce a length in the next 16 or 64 bits.
IS_16_BIT: Final = 126
IS_64_BIT: Final = 127
MAX_16_BIT: Final = 0xFFFF

#: The flag beside the 7 bits.
MASKED: Final = 0x80

#: The bytes that ``mask`` takes at once, few enough for its integers to stay in the
#: processor's cache. A multiple of 4, so that every piece starts with the first byte of
#: the key.
_MASK_PIECE: Final = 16 * 1024

#: The bytes that a pool fetches at once.
_KEY_BLOCK: Final = 4096
#: Cuts a block into keys, each when it is asked for.
_cut: Final = Struct("4s").iter_unpack
_head_16: Final = Struct("!BBH").pack
_head_64: Final = Struct("!BBQ").pack


def mask(key: bytes, payload: bytearray) -> None:
    """Mask or unmask ``payload`` in place with the four bytes of ``key``.

    A single XOR of two long integers replaces a loop over the bytes.
    """
    size = len(payload)
    keys = key * (min(size, _MASK_PIECE) // 4 + 1)
    for start in range(0, size, _MASK_PIECE):
        piece = payload[start : start + _MASK_PIECE]
        length = len(piece)
        masked = int.from_bytes(piece) ^ int.from_bytes(keys[:length])
        payload[start : start + length] = masked.to_bytes(length)


def encode_frame(
    first: int, payload: bytes | bytearray | memoryview, key: bytes
) -> bytes:
    """Return one masked frame, as a client sends it.

    Args:
        first: The first byte: the flags and the opcode.
        payload: A ``memoryview`` may have any format and strides; its bytes are sent in
            order.
        key: The masking key.
    """
    masked = bytearray(payload)
    mask(key, masked)
    return b"".join((frame_head(first, len(masked)), key, masked))


def frame_head(first: int, size: int) -> bytes:
    """Return the part of a masked frame that comes before the key."""
    if size <= MAX_SHORT:
        return (first << 8 | MASKED | size).to_bytes(2)
    if size <= MAX_16_BIT:
        return _head_16(first, MASKED | IS_16_BIT, size)
    return _head_64(first, MASKED | IS_64_BIT, size)


class KeyPool:
    """Hands out masking keys made from the operating system's randomness.

    Args:
        entropy: Returns a given number of random bytes; a test may pass its own.

    Attributes:
        take: Returns the next key, four bytes.
    """

    __slots__ = ("__weakref__", "_entropy", "take")

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self.forget()

    def forget(self) -> None:
        """Discard the keys fetched so far, because a forked child has them as well."""
        blocks = map(_cut, map(self._entropy, repeat(_KEY_BLOCK)))
        # Calling a Python function for each key would cost more than the key.
        self.take: Callable[[], bytes] = chain.from_iterable(
            chain.from_iterable(blocks)
        ).__next__
