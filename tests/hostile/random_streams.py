"""What a hostile server sends after the 101, at random: valid frames and broken ones.

The seed and the number of a stream decide all of it: its frames, whether
permessage-deflate was agreed on, where it is cut, and how it ends.
"""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Sequence  # attrs looks it up
from typing import TYPE_CHECKING, Final

import attrs

from tests.hostile.streams import (
    BINARY,
    CLOSE,
    COMPRESSED,
    CONTINUATION,
    DEFLATED,
    PING,
    PONG,
    STREAMS,
    TEXT,
)
from tests.protocol import server_frame as frame


if TYPE_CHECKING:
    from collections.abc import Callable


_TEXTS: Final = ("", "m", '{"a": 1}', "grüße €𝄞 ", "x" * 300)
_SIZES: Final = (0, 1, 5, 125, 126, 127, 1000, 65_535, 65_536)
_CODES: Final = (0, 999, 1000, 1001, 1005, 1006, 1008, 1012, 1015, 2999, 4000, 65_535)


@attrs.frozen(kw_only=True)
class Stream:
    """One stream.

    Attributes:
        deflate: Whether permessage-deflate was agreed on.
        pieces: What is sent, each piece by itself.
        ends: What the server does then: ``"close"``, ``"reset"`` or ``"hold"``.
    """

    deflate: bool
    pieces: Sequence[bytes]
    ends: str


class _Maker:
    """Makes the frames of one stream."""

    def __init__(self, rng: random.Random, *, deflate: bool) -> None:
        self._rng = rng
        self._deflate = deflate
        # One for the whole stream: its context is taken over.
        self._compressor = zlib.compressobj(rng.choice((1, 9)), wbits=-15)

    def payload(self) -> tuple[int, bytes]:
        """A message: its opcode and what is in it."""
        rng = self._rng
        if rng.random() < 0.5:
            return TEXT, (rng.choice(_TEXTS) * rng.randint(0, 30)).encode()
        size = rng.choice(_SIZES)
        return BINARY, rng.randbytes(size) if rng.random() < 0.5 else bytes(size)

    def message(self) -> bytes:
        """A valid message, whole or in fragments with control frames between them."""
        rng = self._rng
        opcode, payload = self.payload()
        rsv = 0
        if self._deflate and rng.random() < 0.6:
            deflated = self._compressor.compress(payload)
            deflated += self._compressor.flush(zlib.Z_SYNC_FLUSH)
            payload, rsv = deflated[:-4], DEFLATED
        count = rng.choice((1, 1, 1, 2, 5))
        bounds = sorted(rng.randint(0, len(payload)) for _ in range(count - 1))
        parts = [
            payload[a:b] for a, b in itertools.pairwise((0, *bounds, len(payload)))
        ]
        frames = b""
        for place, part in enumerate(parts):
            fin = place == count - 1
            kind, bits = (CONTINUATION, 0) if place else (opcode, rsv)
            frames += frame(kind, part, fin=fin, rsv=bits)
            if not fin and rng.random() < 0.3:
                frames += self.control()
        return frames

    def control(self) -> bytes:
        """A ping or a pong."""
        rng = self._rng
        return frame(rng.choice((PING, PONG)), rng.randbytes(rng.choice((0, 8, 125))))

    def close(self) -> bytes:
        """A close frame, right or wrong."""
        rng = self._rng
        code = rng.choice(_CODES).to_bytes(2, "big")
        reason = rng.choice(
            (b"", b"bye", b"\xff", b"\n\x1b[2J\xe2\x80\xa8", b"x" * 123)
        )
        return frame(CLOSE, rng.choice((b"", b"\x03", code, code + reason)))

    def broken(self) -> bytes:  # noqa: PLR0911 - a line for each rule
        """A frame that breaks a rule, or seems to."""
        rng = self._rng
        payload = rng.randbytes(rng.choice((0, 3, 200)))
        kind = rng.randrange(9)
        if kind == 0:
            return frame(rng.randrange(16), payload, rsv=rng.randrange(8))
        if kind == 1:
            return frame(rng.randrange(8, 16), payload, fin=rng.random() < 0.5)
        if kind == 2:
            return frame(CONTINUATION, payload, fin=rng.random() < 0.5)
        if kind == 3:  # masked
            return bytes([0x82, 0x80 | 4]) + rng.randbytes(8)
        if kind == 4:  # a longer form of a length than it needs
            return b"\x82\x7e\x00\x05hello"
        if kind == 5:  # more than ever comes
            size = rng.choice((1 << 16, 1 << 22, 1 << 31, 1 << 62, (1 << 64) - 1))
            return b"\x82\x7f" + size.to_bytes(8, "big") + payload
        if kind == 6:
            return frame(TEXT, b"\xed\xa0\x80" + payload)
        if kind == 7:
            return frame(BINARY, payload, rsv=DEFLATED)
        return rng.randbytes(rng.choice((1, 2, 14, 500)))

    def excerpt(self) -> bytes:
        """The beginning of one of the worst."""
        names = sorted(
            name for name in STREAMS if self._deflate or name not in COMPRESSED
        )
        return next(STREAMS[self._rng.choice(names)]())


def _cut(data: bytes, rng: random.Random) -> list[bytes]:
    """Cut at random: into few pieces, many, or single bytes at the beginning."""
    if len(data) < 2:
        return [data]
    count = min(rng.choice((0, 1, 3, 30)), len(data) - 1)
    cuts = set(rng.sample(range(1, len(data)), count))
    if rng.random() < 0.2:
        cuts |= set(range(1, min(len(data), 40)))
    return [data[a:b] for a, b in itertools.pairwise((0, *sorted(cuts), len(data)))]


def stream_of(seed: int, number: int) -> Stream:
    """Return one stream."""
    rng = random.Random(f"{seed}/{number}")
    deflate = rng.random() < 0.5
    maker = _Maker(rng, deflate=deflate)
    parts: tuple[Callable[[], bytes], ...] = (
        maker.message,
        maker.control,
        maker.broken,
        maker.close,
        maker.excerpt,
    )
    weights = rng.choice(
        ((9, 2, 0, 0, 0), (9, 3, 1, 1, 0), (3, 1, 3, 1, 1), (0, 0, 9, 1, 1))
    )
    made = rng.choices(parts, weights, k=rng.choice((1, 3, 10, 40)))
    data = bytearray(b"".join(part() for part in made))
    if data and rng.random() < 0.3:
        for _ in range(rng.choice((1, 1, 5))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.2:
        del data[rng.randrange(len(data) + 1) :]
    ends = rng.choices(("close", "reset", "hold"), (7, 2, 1))[0]
    return Stream(deflate=deflate, pieces=_cut(bytes(data), rng), ends=ends)
