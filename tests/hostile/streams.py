"""What a hostile server sends after the 101, by name.

Each stream is made anew when it is called, in pieces of at most ``PIECE`` bytes, and
ends: none is longer than 9 MiB, and what it inflates to may be a thousand times that.
``COMPRESSED`` names those that mean what they say only where permessage-deflate was
agreed on, with the server's whole window and its context taken over; without it they
break a rule at once.
"""

from __future__ import annotations

import random
import zlib
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

from tests.protocol import server_frame as frame


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


#: The most bytes of one piece.
PIECE: Final = 64 * 1024
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
#: RSV1, as ``server_frame`` takes it: the message is compressed (RFC 7692 section 6).
DEFLATED: Final = 4
MIB: Final = 1024 * 1024
#: Just below the default of ``max_message_size``, which a bomb may reach.
BOMB: Final = 4 * MIB - 1

#: A block that is marked as the last, and holds nothing: it ends zlib's stream.
FINAL_BLOCK: Final = b"\x03\x00"
#: A stored block of no bytes, as a flush leaves it.
EMPTY_BLOCK: Final = b"\x00\x00\x00\xff\xff"


def pieces(data: Iterable[bytes]) -> Iterator[bytes]:
    """Join small parts and cut large ones: pieces of ``PIECE`` bytes, and the rest."""
    waiting = bytearray()
    for part in data:
        waiting += part
        while len(waiting) >= PIECE:
            yield bytes(waiting[:PIECE])
            del waiting[:PIECE]
    if waiting:
        yield bytes(waiting)


def many(part: bytes, size: int = MIB) -> Callable[[], Iterator[bytes]]:
    """Repeat a part until there are ``size`` bytes of it."""
    return lambda: pieces(repeat(part, size // len(part)))


def begun(
    opcode: int, part: bytes, size: int = MIB, *, rsv: int = 0
) -> Callable[[], Iterator[bytes]]:
    """Begin a message that does not end, and repeat a part within it."""
    first = frame(opcode, b"", fin=False, rsv=rsv)
    return lambda: pieces(chain((first,), repeat(part, size // len(part))))


def squeezed(data: bytes) -> bytes:
    """Return the payload of a compressed message whose context is not needed."""
    stream = zlib.compressobj(9, wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_FULL_FLUSH))[:-4]


def deflated(data: bytes, opcode: int = BINARY) -> bytes:
    """Return a compressed message in one frame."""
    return frame(opcode, squeezed(data), rsv=DEFLATED)


def costly_blocks(count: int) -> bytes:
    """Return dynamic blocks of no bytes: a table to build each, from 92 bits."""
    value, at = 0, 0

    def put(bits: int, width: int) -> None:
        nonlocal value, at
        value |= bits << at
        at += width

    for _ in range(count):
        # Not final, dynamic; 257 literals, 1 distance, 18 lengths of code lengths:
        # of 18 (zeros), 0 and 1. Then 256 zeros, a 1, a 0, and the end of the block.
        for bits, width in ((4, 3), (0, 10), (14, 4)):
            put(bits, width)
        for place in range(18):
            put({2: 1, 3: 2, 17: 2}.get(place, 0), 3)
        for bits, width in ((0, 1), (127, 7), (0, 1), (107, 7), (3, 2), (1, 2), (0, 1)):
            put(bits, width)
    # The head of a stored block, of which what ends each message is the rest.
    at += 3
    return value.to_bytes((at + 7) // 8, "little")


def bombs() -> Iterator[bytes]:
    """Messages of 4 MiB each, 1 GiB in all."""
    return pieces(repeat(deflated(bytes(BOMB)), 256))


def text_bombs() -> Iterator[bytes]:
    """Messages of 4 MiB of text each, outside of ASCII: they are decoded as well."""
    return pieces(repeat(deflated("é".encode() * (BOMB // 2), TEXT), 128))


def small_bombs() -> Iterator[bytes]:
    """Messages of 64 KiB from a hundred bytes each."""
    return many(deflated(bytes(64 * 1024)))()


def fragmented_bomb() -> Iterator[bytes]:
    """One message after the other of 4 MiB, a byte of it a frame."""
    payload = squeezed(bytes(BOMB))
    first = frame(BINARY, payload[:1], fin=False, rsv=DEFLATED)
    middle = [frame(CONTINUATION, bytes([b]), fin=False) for b in payload[1:-1]]
    whole = b"".join((first, *middle, frame(CONTINUATION, payload[-1:])))
    return pieces(repeat(whole, 64))


def resets_within() -> Iterator[bytes]:
    """Messages of empty final blocks: a stream of zlib's for every two bytes."""
    message = frame(BINARY, FINAL_BLOCK * (MIB // 4) + b"\x00", rsv=DEFLATED)
    return pieces(repeat(message, 2))


def endless_within() -> Iterator[bytes]:
    """A message of empty blocks that never becomes a byte."""
    part = frame(CONTINUATION, EMPTY_BLOCK * 200, fin=False)
    return begun(BINARY, part, 2 * MIB, rsv=DEFLATED)()


def tables_within() -> Iterator[bytes]:
    """Messages of empty blocks with a table each: all work and no bytes."""
    message = frame(BINARY, costly_blocks(5000), rsv=DEFLATED)
    return pieces(repeat(message, 32))


def noise() -> Iterator[bytes]:
    """Random bytes, the same ones each time."""
    return pieces(random.Random(7).randbytes(4096) for _ in range(64))


def noise_in_frames(rsv: int) -> Callable[[], Iterator[bytes]]:
    """Messages of random bytes, the same ones each time."""

    def make() -> Iterator[bytes]:
        rng = random.Random(11)
        kinds = (TEXT, BINARY)
        return pieces(
            frame(rng.choice(kinds), rng.randbytes(rng.randrange(300)), rsv=rsv)
            for _ in range(1000)
        )

    return make


def bytes_alone() -> Iterator[bytes]:
    """Messages and pings, a byte a piece."""
    data = (frame(TEXT, b"m" * 40) + frame(PING, b"p" * 40)) * 25
    return (data[at : at + 1] for at in range(len(data)))


def huge(size: int, opcode: int = BINARY) -> Callable[[], Iterator[bytes]]:
    """A frame that announces ``size`` bytes, and 1 MiB of them."""
    head = bytes([0x80 | opcode, 127]) + size.to_bytes(8, "big")
    return lambda: pieces(chain((head,), repeat(b"x" * PIECE, 16)))


def large_messages() -> Iterator[bytes]:
    """Text of 4 MiB a message, with a character of each length."""
    text = "aé€𝄞".encode() * (BOMB // 10)
    return pieces(repeat(frame(TEXT, text), 2))


_PLAIN: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    "empty messages": many(frame(TEXT)),
    "empty binary messages": many(frame(BINARY)),
    "messages of one byte": many(frame(TEXT, b"m")),
    "messages and pings in turn": many(frame(TEXT, b"m") + frame(PING)),
    "empty messages in a rare form of length": many(b"\x82\x7e\x00\x00"),
    "pings": many(frame(PING)),
    "pings of 125 bytes": many(frame(PING, b"p" * 125)),
    "pongs nobody asked for": many(frame(PONG)),
    "fragments of no bytes": begun(TEXT, frame(CONTINUATION, fin=False)),
    "fragments of one byte": begun(TEXT, frame(CONTINUATION, b"x", fin=False)),
    "pings between fragments": begun(
        TEXT, frame(CONTINUATION, fin=False) + frame(PING)
    ),
    "messages of two empty fragments": many(
        frame(TEXT, fin=False) + frame(CONTINUATION)
    ),
    "large messages": large_messages,
    "a byte at a time": bytes_alone,
    "a frame of 2**62 bytes": huge(1 << 62),
    "a frame of 2**63 bytes": huge(1 << 63),
    "a message that fits and does not end": huge(BOMB),
    "a message above the limit": huge(BOMB + 2),
    "text that is not UTF-8": many(frame(TEXT, b"\xff" * 100)),
    "half a surrogate": many(frame(TEXT, b"\xed\xa0\x80")),
    "a masked flood": many(b"\x82\x80" + bytes(4)),
    "continuations of nothing": many(frame(CONTINUATION)),
    "pings of 126 bytes": many(frame(PING, b"p" * 126)),
    "reserved opcodes": many(frame(3)),
    "reserved bits": many(frame(TEXT, b"m", rsv=2)),
    "a close frame, and then a flood": lambda: pieces(
        chain((frame(CLOSE, b"\x03\xe8"),), repeat(frame(TEXT, b"m"), MIB // 3))
    ),
    "close frames of one byte": many(frame(CLOSE, b"\x03")),
    "a close frame with an illegal code": many(frame(CLOSE, b"\x03\xee")),
    "a close reason that is not UTF-8": many(frame(CLOSE, b"\x03\xe8\xff")),
    "a close reason that forges a line of a log": many(
        frame(CLOSE, b"\x0f\xa0bye\n\x1b[2J2026 INFO all is well\x7f\xc2\x85")
    ),
    "noise": noise,
    "noise in frames": noise_in_frames(0),
}

_COMPRESSED: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    "bombs": bombs,
    "bombs of text": text_bombs,
    "small bombs": small_bombs,
    "a bomb above the limit": many(deflated(bytes(64 * MIB))),
    "a bomb, a byte a frame": fragmented_bomb,
    "empty compressed messages": many(frame(TEXT, b"\x00", rsv=DEFLATED)),
    "compressed messages of no bytes at all": many(frame(TEXT, b"", rsv=DEFLATED)),
    "messages that end zlib's stream": many(
        frame(BINARY, FINAL_BLOCK + b"\x00", rsv=DEFLATED)
    ),
    "final blocks within a message": resets_within,
    "final blocks, a byte a frame": begun(
        BINARY,
        b"".join(frame(CONTINUATION, bytes([b]), fin=False) for b in FINAL_BLOCK),
        rsv=DEFLATED,
    ),
    "blocks of no bytes": endless_within,
    "tables for no bytes": tables_within,
    "compressed text that is not UTF-8": many(deflated(b"\xff" * 100, TEXT)),
    "what cannot be inflated": many(frame(BINARY, b"\x07\xff", rsv=DEFLATED)),
    "a compressed fragment within a message": many(
        frame(TEXT, squeezed(b"a"), fin=False, rsv=DEFLATED)
        + frame(CONTINUATION, squeezed(b"b"), rsv=DEFLATED)
    ),
    "compressed noise": noise_in_frames(DEFLATED),
}

#: Every stream: what makes it, by its name.
STREAMS: Final[dict[str, Callable[[], Iterator[bytes]]]] = _PLAIN | _COMPRESSED
#: The names of those that need permessage-deflate.
COMPRESSED: Final = frozenset(_COMPRESSED)
