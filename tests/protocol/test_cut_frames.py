"""A frame that was cut behind messages is put in front of what comes next."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from resilient_ws.protocol.deflate import DeflateParameters
from resilient_ws.protocol.frames import MAX_SHORT
from resilient_ws.protocol.header import read_header
from resilient_ws.protocol.hot_loops import (
    MAX_CUT,
    WHOLE_DEFLATED,
    WHOLE_PLAIN,
    is_cut,
)
from tests.protocol import server_frame as frame
from tests.protocol.compressed import frame as compressed, squeezed
from tests.protocol.owner import Owner


CONTINUATION, TEXT, BINARY, PING = 0, 1, 2, 9
HI = frame(TEXT, b"hi")
LARGEST = frame(BINARY, bytes(65535))


@pytest.mark.parametrize("size", [3, 125, 126, 1000, 65535])
@pytest.mark.parametrize("part", ["head", "half", "all but one"])
@pytest.mark.parametrize("releases", [True, False])
def test_it_arrives_whole(size: int, part: str, releases: bool) -> None:
    message = frame(BINARY, random.Random(size).randbytes(size))
    cut = {"head": 4, "half": len(message) // 2, "all but one": len(message) - 1}[part]
    run = Owner(HI + message[:cut], releases=releases)
    assert not run.receiver.idle
    assert not run.receiver.stalled
    assert run.receive(message[cut:] + HI) == 2
    assert run.messages == ["hi", message[-size:], "hi"]
    assert run.receiver.idle


def test_it_is_released_once() -> None:
    """What comes byte by byte is copied once more, and not with every byte."""
    run = Owner(HI + LARGEST[:10])
    for at in range(10, 300):
        run.receive(LARGEST[at : at + 1])
        assert run.receiver.release() == b""
    assert run.receive(LARGEST[300:]) == 1


def test_what_is_released_is_held_no_more() -> None:
    run = Owner(HI + LARGEST[:-1])
    released = run.receiver.release()
    assert released == LARGEST[:-1]
    assert len(released) <= MAX_CUT
    assert run.receiver.idle
    assert run.receiver.release() == b""
    assert run.receive(HI) == 1


def test_what_waits_for_room_is_not_released() -> None:
    run = Owner()
    assert run.receive(HI + HI + LARGEST[:10], room=1) == 1
    assert run.is_stalled()
    assert run.receiver.release() == b""
    assert run.receive(b"") == 1
    assert run.receive(LARGEST[10:]) == 1


def test_within_a_fragmented_message_half_a_header_is_released() -> None:
    rest = frame(CONTINUATION, b"b" * 200)
    run = Owner(frame(BINARY, b"a", fin=False) + rest[:1])
    assert run.receiver.release() == rest[:1]
    assert not run.receiver.idle
    assert Owner(frame(BINARY, b"a", fin=False) + rest[:1], rest[1:]).messages == [
        b"a" + b"b" * 200
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        frame(BINARY, bytes(1001)),
        frame(BINARY, bytes(200), rsv=4),
        b"\x82\xfe\x00\xff" + bytes(9),
        b"\x82\x7e\x00\x7d" + bytes(9),
    ],
    ids=["too big", "not negotiated", "masked", "not minimal"],
)
def test_a_broken_header_is_told_at_once(wrong: bytes) -> None:
    assert Owner(HI + wrong[:10], limit=1000).broke() is not None


@pytest.mark.parametrize("rest", [1, 0], ids=["all of it", "the end"])
def test_a_text_that_is_none_is_told_when_no_more_comes_of_it(rest: int) -> None:
    wrong = frame(TEXT, b"\xff" * 200)
    run = Owner(HI + wrong[:-1])
    assert run.broke() is None
    run.receive(wrong[len(wrong) - rest :])
    assert run.broke() == 1007


@pytest.mark.usefixtures("each_zlib")
@pytest.mark.parametrize("releases", [True, False])
def test_compressed_messages_are_cut_anywhere(releases: bool) -> None:
    chance = random.Random(7)
    payloads = [chance.randbytes(chance.randrange(1, 9000)) for _ in range(60)]
    stream = b"".join(compressed(squeezed(one), BINARY) for one in payloads)
    ends = sorted(chance.sample(range(len(stream)), 25))
    agreed = DeflateParameters(peer_takeover=False)
    run = Owner(agreed=agreed, releases=releases)
    for start, stop in pairwise([0, *ends, len(stream)]):
        run.receive(stream[start:stop])
        run.finish_turns()
    assert run.messages == payloads


@given(
    st.sampled_from([*WHOLE_PLAIN, *WHOLE_DEFLATED, 0x01, 0x80, 0x89, 0x91]),
    st.one_of(st.integers(0, 300), st.integers(65400, 65600)),
    st.integers(0, 70_000),
    st.integers(0, 70_000),
    st.booleans(),
)
def test_what_is_cut(
    first: int, size: int, come: int, limit: int, deflates: bool
) -> None:
    payload = bytes(size)
    view = memoryview((b"abc" + frame(BINARY, payload))[: 3 + come])
    raw = bytearray(view)
    raw[3:4] = bytes([first]) if come else b""
    firsts = WHOLE_PLAIN + WHOLE_DEFLATED if deflates else WHOLE_PLAIN
    header = read_header(bytes(raw), 3) if come >= 4 else None
    expected = (
        header is not None
        and first in firsts
        and header.size < 1 << 16
        and header.size <= limit
        and header.end + header.size > len(raw)
    )
    assert is_cut(memoryview(raw), 3, limit, firsts) is expected


@pytest.mark.parametrize("length", range(MAX_SHORT + 1))
def test_a_length_that_is_not_minimal_is_not_cut(length: int) -> None:
    head = bytes([0x82, 126, 0, length])
    assert not is_cut(memoryview(head), 0, 1 << 20, WHOLE_PLAIN)
