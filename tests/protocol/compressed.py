"""Compressed messages, made by zlib alone, and an engine that takes them."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Final

import pytest

from resilient_ws.protocol import zlibs
from resilient_ws.protocol.deflate import DeflateParameters
from tests.protocol import server_frame
from tests.protocol.owner import Owner


if TYPE_CHECKING:
    from collections.abc import Iterable


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1 = 4
TAIL = b"\x00\x00\xff\xff"
KIB = 1024

#: In CI it is installed, or the tests fail.
needs_zlib_ng: Final = pytest.mark.skipif(
    zlibs.NEXT_GENERATION is None and os.environ.get("CI") != "true",
    reason="zlib-ng is not installed",
)
MIB = 1024 * 1024
# RFC 7692 section 7.2.3: "Hello" in one block, in two, stored, and final.
HELLO = bytes.fromhex("f248cdc9c90700")
HELLO_AGAIN = bytes.fromhex("f200110000")
HELLO_STORED = bytes.fromhex("000500faff48656c6c6f00")
HELLO_FINAL = bytes.fromhex("f348cdc9c9070000")
HELLO_TWO_BLOCKS = bytes.fromhex("f248050000 00ffffcac9c90700")


def squeezed(
    data: bytes, *, bits: int = 15, level: int = 9, history: bytes = b""
) -> bytes:
    """One message's payload, made by zlib alone, after another one with ``history``."""
    stream = zlib.compressobj(level, wbits=-bits)
    if history:
        before = stream.compress(history) + stream.flush(zlib.Z_SYNC_FLUSH)
        assert before == squeezed(history, bits=bits, level=level) + TAIL
    payload = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
    return payload.removesuffix(TAIL)


def final(data: bytes) -> bytes:
    """The same, with BFINAL set on its last block."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush() + b"\x00"


def frame(payload: bytes, opcode: int = BINARY, *, fin: bool = True) -> bytes:
    """A frame that claims to be the first one of a compressed message."""
    return server_frame(opcode, payload, fin=fin, rsv=RSV1)


def rest(payload: bytes, *, fin: bool = True) -> bytes:
    return server_frame(CONTINUATION, payload, fin=fin)


def deflating(
    *chunks: bytes, limit: int | None = MIB, agreed: DeflateParameters | None = None
) -> Owner:
    """Return the owner of an engine that compresses."""
    return Owner(*chunks, limit=limit, agreed=agreed or DeflateParameters())


def in_pieces(data: bytes, size: int) -> Iterable[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))
