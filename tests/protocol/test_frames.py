"""The bytes of one frame."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from websockets.frames import Frame, Opcode

from resilient_ws.protocol.frames import (
    BINARY,
    FIN,
    PING,
    RSV1,
    TEXT,
    KeyPool,
    encode_frame,
    mask,
)
from resilient_ws.protocol.header import read_header
from resilient_ws.transport import masking
from resilient_ws.transport.masking import MASK
from tests.protocol import unmask


if TYPE_CHECKING:
    from collections.abc import Generator

    from resilient_ws.protocol.frames import Mask

KEY = b"\x01\x20\x03\xf4"
SIZES = [0, 1, 3, 4, 5, 125, 126, 127, 65535, 65536, 65537]


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_carries_its_payload_in_the_shortest_length_form(size: int) -> None:
    payload = os.urandom(size)
    frame = encode_frame(FIN | BINARY, payload, KEY)
    assert unmask(frame) == (0x82, payload, len(frame))
    header = read_header(frame, 0)
    assert header is not None
    assert (header.size, header.minimal) == (size, True)


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_is_the_one_that_websockets_reads(size: int) -> None:
    payload = os.urandom(size)
    data = bytearray(encode_frame(FIN | BINARY, payload, KEY))

    def take(count: int) -> Generator[None, None, bytes]:
        yield from ()
        taken = bytes(data[:count])
        del data[:count]
        return taken

    parser = Frame.parse(take, mask=True)
    with pytest.raises(StopIteration) as stopped:
        next(parser)
    assert stopped.value.value == Frame(Opcode.BINARY, payload)
    assert not data


@pytest.mark.parametrize(
    ("fin", "rsv1", "first"),
    [
        (True, False, 0x81),
        (False, False, 0x01),
        (True, True, 0xC1),
        (False, True, 0x41),
    ],
)
def test_the_bits_of_the_first_byte_are_set(fin: bool, rsv1: bool, first: int) -> None:
    flags = fin * FIN | rsv1 * RSV1
    assert encode_frame(flags | TEXT, b"", KEY) == bytes([first, 0x80]) + KEY


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        (b"abcd", b"abcd"),
        (bytearray(b"abcd"), b"abcd"),
        (memoryview(b"abcd"), b"abcd"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (memoryview(b"abcdefgh").cast("I"), b"abcdefgh"),
    ],
)
def test_every_kind_of_bytes_can_be_sent(
    payload: bytes | bytearray | memoryview, sent: bytes
) -> None:
    assert unmask(encode_frame(FIN | PING, payload, KEY))[1] == sent


@pytest.mark.parametrize("routine", [mask, MASK], ids=["python", "compiled"])
@given(data=st.binary(max_size=300), key=st.binary(min_size=4, max_size=4))
def test_masking_is_the_xor_of_the_rfc_and_undoes_itself(
    routine: Mask, data: bytes, key: bytes
) -> None:
    payload = bytearray(data)
    routine(key, payload)
    assert payload == bytes(byte ^ key[i % 4] for i, byte in enumerate(data))
    routine(key, payload)
    assert payload == data


def test_the_routine_that_aiohttp_was_built_with_is_found() -> None:
    built = importlib.util.find_spec("aiohttp._websocket.mask") is not None
    assert (MASK is not mask) is built


@pytest.mark.parametrize("missing", [None, types.ModuleType("another")])
def test_without_that_routine_masking_is_ours(
    monkeypatch: pytest.MonkeyPatch, missing: types.ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp._websocket.mask", missing)
    assert masking._fastest_mask() is mask


@pytest.mark.parametrize("routine", [mask, MASK], ids=["python", "compiled"])
@pytest.mark.parametrize("size", [16383, 16384, 16385, 100_001])
def test_a_large_payload_is_masked_without_a_seam(routine: Mask, size: int) -> None:
    data = os.urandom(size)
    keys = (KEY * (size // 4 + 1))[:size]
    expected = bytes(a ^ b for a, b in zip(data, keys, strict=True))
    payload = bytearray(data)
    routine(KEY, payload)
    assert payload == expected


def test_keys_are_used_once_and_fetched_in_blocks() -> None:
    asked: list[int] = []

    def entropy(count: int) -> bytes:
        asked.append(count)
        return b"".join(
            (len(asked) << 16 | i).to_bytes(4, "big") for i in range(count // 4)
        )

    pool = KeyPool(entropy)
    assert not asked
    keys = [pool.take() for _ in range(2500)]
    assert asked == [4096] * 3
    assert len(set(keys)) == 2500
    assert {len(key) for key in keys} == {4}


def test_what_is_forgotten_is_not_handed_out() -> None:
    blocks = [b"old!", b"new!"]
    pool = KeyPool(lambda count: blocks.pop(0) * (count // 4))
    assert pool.take() == b"old!"
    pool.forget()
    assert pool.take() == b"new!"


def test_keys_come_from_the_operating_system_by_default() -> None:
    assert KeyPool().take() != KeyPool().take()
