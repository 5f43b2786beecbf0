"""The bytes of one frame: what it is made of, and one of ours (RFC 6455 section 5).

Rules of :class:`KeyPool`, the one thing with state here: every key is handed out
once; randomness is fetched in blocks, because a system call per frame would cost as
much as the rest of the frame. One pool may serve any number of connections, in one
thread.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Masks data with a key of four bytes, as ``mask`` does.
Mask: TypeAlias = "Callable[[bytes | bytearray, bytes], bytes | bytearray]"


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
    return frame_head(first, len(payload)) + key + mask(payload, key)


def frame_head(first: int, size: int) -> bytes:
    """Return what stands before the key of a masked frame."""
    if size <= MAX_SHORT:
        return (first << 8 | MASKED | size).to_bytes(2)
    if size <= MAX_16_BIT:
        return ((first << 8 | MASKED | IS_16_BIT) << 16 | size).to_bytes(4)
    return ((first << 8 | MASKED | IS_64_BIT) << 64 | size).to_bytes(10)


class KeyPool:
    """Masking keys from the randomness of the operating system.

    Args:
        entropy: Gives that many random bytes; a test may pass its own.
    """

    __slots__ = ("_entropy", "_keys")

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self._keys: Iterator[tuple[bytes]] = iter(())

    def take(self) -> bytes:
        """Return the next four bytes."""
        found = next(self._keys, None)
        if found is None:
            self._keys = _cut(self._entropy(_BLOCK))
            found = next(self._keys)
        return found[0]

    def forget(self) -> None:
        """Hand out nothing of what was fetched: a forked child has it as well."""
        self._keys = iter(())
