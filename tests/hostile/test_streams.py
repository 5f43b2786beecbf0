"""The streams of a hostile server are what their names say, and end."""

from __future__ import annotations

import zlib
from itertools import islice

import pytest

from resilient_ws.protocol.deflate import DeflateParameters
from tests.hostile.streams import (
    COMPRESSED,
    EMPTY_BLOCK,
    FINAL_BLOCK,
    MIB,
    PIECE,
    STREAMS,
    costly_blocks,
)
from tests.protocol.owner import Owner


#: The code that each broken rule is answered with; of the others none is broken.
BROKEN = {
    "empty messages in a rare form of length": 1002,
    "a frame of 2**62 bytes": 1009,
    "a frame of 2**63 bytes": 1002,
    "a message above the limit": 1009,
    "text that is not UTF-8": 1007,
    "half a surrogate": 1007,
    "a masked flood": 1002,
    "continuations of nothing": 1002,
    "pings of 126 bytes": 1002,
    "reserved opcodes": 1002,
    "reserved bits": 1002,
    "close frames of one byte": 1002,
    "a close frame with an illegal code": 1002,
    "a close reason that is not UTF-8": 1007,
    "noise": 1002,
    "noise in frames": 1007,
    "a bomb above the limit": 1009,
    "compressed text that is not UTF-8": 1007,
    "what cannot be inflated": 1007,
    "a compressed fragment within a message": 1002,
    "compressed noise": 1007,
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_comes_in_pieces_and_ends(name: str) -> None:
    sizes = [len(piece) for piece in STREAMS[name]()]
    assert 0 < max(sizes) <= PIECE
    assert sum(sizes) <= 9 * MIB


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_breaks_the_rule_that_its_name_says_or_none(name: str) -> None:
    agreed = DeflateParameters() if name in COMPRESSED else None
    owner = Owner(limit=4 * MIB, agreed=agreed)
    # The beginning of one is like all of it.
    for piece in islice(STREAMS[name](), 1200 if name == "a byte at a time" else 2):
        owner.receive(piece)
        owner.finish()
        owner.messages.clear()
    assert owner.broke() == BROKEN.get(name)


def test_the_names_of_the_compressed_ones_are_names_of_streams() -> None:
    assert STREAMS.keys() > COMPRESSED


def test_the_blocks_are_what_zlib_takes_for_nothing() -> None:
    stream = zlib.decompressobj(wbits=-15)
    assert stream.decompress(EMPTY_BLOCK * 3) == b""
    assert stream.decompress(costly_blocks(50) + EMPTY_BLOCK[1:]) == b""
    assert stream.decompress(costly_blocks(3) + EMPTY_BLOCK[1:] + FINAL_BLOCK) == b""
    assert stream.eof
