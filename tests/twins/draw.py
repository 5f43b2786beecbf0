"""Draws chunks as servers send them: right, cut, of other kinds, and hostile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.protocol import server_frame
from tests.twins.compare import Chunk, Sendable


if TYPE_CHECKING:
    import random

#: Where the form of a length changes, and beside it.
SIZES: Final = (
    *(0, 1, 2, 3, 7, 8, 9, 124, 125, 126, 127, 128, 300),
    *(4095, 4096, 65535, 65536),
)
#: The odds of each: long ones are rare, for they take long.
_ODDS: Final = (*[9] * 7, *[4] * 5, 2, 1, 1, 0.05, 0.05)
LETTERS: Final = ("a", "é", "€", "😀", "\x00", "\x7f", "\x80", "\ud7ff", "\U0010ffff")
#: Bytes that are not UTF-8, alone or before others.
WRONG: Final = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")


def _text(draw: random.Random, size: int) -> bytes:
    letters = LETTERS if draw.random() < 0.7 else "ab"
    text = "".join(draw.choices(letters, k=min(size, 40))).encode()
    return (text + b"a" * size)[:size].decode(errors="ignore").encode()


def _payload(draw: random.Random, opcode: int) -> bytes:
    (size,) = draw.choices(SIZES, _ODDS)
    if opcode != 1:
        return draw.randbytes(size)
    if draw.random() < 0.95:
        return _text(draw, size)
    return _text(draw, size // 2) + draw.choice(WRONG) + _text(draw, size // 3)


def _hostile(draw: random.Random) -> bytes:
    """Return a header that nobody should send, and bytes behind it."""
    head = draw.choice(
        [
            b"\x81\x7e\x00\x03",  # a length below what its form is for
            b"\x81\x7e\x00\x7d",
            b"\x82\x7f" + bytes(8),
            b"\x82\x7f" + b"\xff" * 8,
            b"\x81\xfe\x00\x7e",  # masked
            b"\x81\x80",
            b"\xc1\x05",  # compressed, and not agreed on
            b"\x83\x00",
            b"\x01\x00",
        ]
    )
    return head + draw.randbytes(draw.randrange(12))


def _piece(draw: random.Random) -> bytes:
    kind = draw.random()
    if kind < 0.85:
        opcode = draw.choice((1, 1, 2))
        return server_frame(opcode, _payload(draw, opcode))
    if kind < 0.92:
        return server_frame(draw.choice((0, 8, 9, 10, 3)), draw.randbytes(3))
    if kind < 0.96:
        return server_frame(1, b"part", fin=False)
    return _hostile(draw) if kind < 0.99 else draw.randbytes(draw.randrange(40))


def chunk(draw: random.Random) -> Chunk:
    """Draw what a walk is given."""
    data = b"".join([_piece(draw) for _ in range(draw.randrange(8))])
    if draw.random() < 0.5:
        data = data[: draw.randrange(len(data) + 1)]
    stale = draw.choice((b"", b"", b"\x81\x05stale" * 2, draw.randbytes(5)))
    pos = draw.randrange(len(data) + 2) if draw.random() < 0.05 else 0
    return Chunk(
        data,
        stale=stale,
        pos=pos,
        room=draw.choice((-1, 0, 1, 2, 3, 1 << 30)),
        limit=draw.choice((0, 1, 8, 125, 126, 300, 1 << 30, 2**63 - 1)),
        by_call=draw.random() < 0.3,
        raise_at=draw.choice((-1, -1, -1, -1, -1, -1, -1, 0, 2)),
    )


def messages(draw: random.Random) -> list[Sendable]:
    """Draw what is to be sent."""
    return [_message(draw) for _ in range(draw.randrange(5))]


def _message(draw: random.Random) -> Sendable:
    payload = _payload(draw, draw.choice((1, 2)))
    kind = draw.randrange(6)
    if kind == 0:
        return payload
    if kind == 1:
        return bytearray(payload)
    if kind == 2:
        return memoryview(payload)[:: draw.choice((1, 2, -1))]
    if kind == 3:
        return memoryview(payload[: len(payload) // 8 * 8]).cast("Q")
    text = payload.decode(errors="replace")
    return text if draw.random() < 0.98 else f"{text}\ud800"
