"""A header is judged byte by byte, as it comes."""

from __future__ import annotations

from itertools import product

import pytest

from resilient_ws.protocol.deflate import DeflateParameters
from resilient_ws.protocol.header import read_header, wrong_length, wrong_start
from tests.protocol import server_frame as frame
from tests.protocol.owner import Owner


OPEN_TEXT = frame(1, b"a", fin=False)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("deflates", [False, True])
def test_the_first_two_bytes_are_right_where_the_rfc_says_so(
    inside: bool, deflates: bool
) -> None:
    for first, second in product(range(256), (0, 125, 126, 127, 128, 253, 254, 255)):
        fin, rsv, opcode = first >> 7, first >> 4 & 7, first & 15
        if opcode >= 8:
            legal = opcode <= 10 and fin and not rsv and second <= 125
        elif opcode in (1, 2):
            legal = not inside and (not rsv or (rsv == 4 and deflates))
        else:
            legal = opcode == 0 and inside and not rsv
        legal = legal and second < 128
        alone = wrong_start(bytes([first]), 0, inside=inside, deflates=deflates)
        both = wrong_start(bytes([first, second]), 0, inside=inside, deflates=deflates)
        assert (both is None) == legal, f"{first:02x} {second:02x}: {both}"
        assert alone in (None, both)


@pytest.mark.parametrize(
    ("data", "early"),
    [
        (b"\x82\x05", None),
        (b"\x82\x7e\x00\x7e", None),
        (b"\x82\x7e\x00\x7d", "a length that is not in its shortest form"),
        (b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", None),
        (
            b"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff",
            "a length that is not in its shortest form",
        ),
        (b"\x82\x7f\x80" + bytes(7), "a length with its top bit set"),
    ],
)
def test_a_length_is_judged_when_all_of_it_is_there(
    data: bytes, early: str | None
) -> None:
    for size in range(len(data)):
        assert read_header(data[:size], 0) is None
    header = read_header(b"xx" + data, 2)
    assert header is not None
    assert header.end == len(data) + 2
    assert wrong_length(header) == early


@pytest.mark.parametrize(
    "data",
    [
        b"\x83",
        b"\xc1",
        b"\x09",
        b"\x80",
        b"\x00",
        OPEN_TEXT + b"\x82",
        OPEN_TEXT + b"\xc0",
        b"\x81\x80",
        b"\x82\xfe",
        b"\x82\xff",
        b"\x89\x7e",
        b"\x88\x7f",
        OPEN_TEXT + b"\x8a\x85",
        OPEN_TEXT + b"\x80\xfe",
    ],
    ids=bytes.hex,
)
def test_a_wrong_start_is_a_violation_before_the_length_is_there(data: bytes) -> None:
    before = frame(2, b"before")
    assert Owner(before + data[:-1]).broke() is None
    for owner in (Owner(before + data), Owner(before, *map(bytes, zip(data)))):
        assert owner.broke() == 1002
        assert owner.messages == [b"before"]


def test_rsv1_on_a_continuation_is_refused_at_once_with_compression_too() -> None:
    for start in (OPEN_TEXT, frame(1, b"", fin=False, rsv=4)):
        owner = Owner(start, agreed=DeflateParameters())
        assert owner.broke() is None
        owner.receive(b"\xc0")
        assert owner.broke() == 1002
