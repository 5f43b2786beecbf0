"""What a walk takes, where it stops, and why; and how frames are made: both twins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resilient_ws.protocol.frames import mask
from resilient_ws.protocol.pure import ALL_TAKEN, NOT_UTF8, STOPPED
from tests.protocol import server_frame as frame
from tests.protocol.compressed import frame as compressed
from tests.twins import compare


if TYPE_CHECKING:
    from tests.twins.compare import Sendable, Twin

TEXT, BINARY, PING = 1, 2, 9
HI, BYE = frame(TEXT, "grün".encode()), frame(BINARY, b"bye")
LONG, LONGER = frame(BINARY, bytes(126)), frame(BINARY, bytes(65536))


@pytest.fixture(params=["pure", "compiled"])
def twin(request: pytest.FixtureRequest) -> Twin:
    return compare.PURE if request.param == "pure" else compare.built()


@pytest.mark.parametrize(
    ("data", "room", "taken", "reason"),
    [
        (b"", 9, 0, ALL_TAKEN),
        (HI + BYE + LONG, 9, 3, ALL_TAKEN),
        (HI + BYE + LONG, 3, 3, ALL_TAKEN),
        (HI + BYE + LONG, 2, 2, STOPPED),
        (HI + BYE, 0, 0, STOPPED),
        (HI + BYE, -1, 0, STOPPED),
        (HI + BYE[:-1], 9, 1, STOPPED),
        (HI + BYE[:1], 9, 1, STOPPED),
        (HI + LONG[:3], 9, 1, STOPPED),
        (HI + LONGER, 9, 1, STOPPED),
        (HI + frame(PING), 9, 1, STOPPED),
        (HI + frame(TEXT, b"a", fin=False), 9, 1, STOPPED),
        (HI + compressed(b""), 9, 1, STOPPED),
        (HI + frame(BINARY, bytes(201)), 9, 1, STOPPED),
        (HI + b"\x82\x7e\x00\x7d" + bytes(125), 9, 1, STOPPED),
        (HI + frame(TEXT, b"\xff") + BYE, 9, 1, NOT_UTF8),
    ],
)
def test_whole_plain_messages_are_taken_up_to_the_first_other_frame(
    twin: Twin, data: bytes, room: int, taken: int, reason: int
) -> None:
    found: list[str | bytes] = []
    expected = ["grün", b"bye", bytes(126)][:taken]
    # Before it and behind it there are bytes of other chunks.
    buffer = bytearray(HI + data + BYE)
    view = memoryview(buffer)[: len(HI + data)]
    pos, count, size, why = twin.walk(view, len(HI), found.append, room, 200)
    assert (found, count, why) == (expected, taken, reason)
    assert size == sum(len(item) + (item == "grün") for item in expected)
    assert pos == len(HI) + sum([len(HI), len(BYE), len(LONG)][:taken])


@pytest.mark.parametrize("limit", [0, 5, 125, 126])
def test_a_message_above_the_limit_is_left_to_others(twin: Twin, limit: int) -> None:
    found: list[str | bytes] = []
    good, bad = frame(BINARY, bytes(limit)), frame(BINARY, bytes(limit + 1))
    data = memoryview(good + bad)
    assert twin.walk(data, 0, found.append, 9, limit) == (len(good), 1, limit, STOPPED)
    assert found == [bytes(limit)]


def test_many_messages_at_once_are_the_frames_of_each(twin: Twin) -> None:
    messages: list[Sendable] = [
        *("", "é" * 62, "é" * 63, "a" * 1000, "b" * 70_000),
        *(b"", bytearray(125), memoryview(bytes(126)), bytes(1000), bytes(70_000)),
        *(memoryview(b"abcdef")[::2], memoryview(bytes(800)).cast("Q")),
    ]
    singly, at_once = compare.framed(twin, messages)
    assert at_once == singly
    assert singly == compare.framed(compare.PURE, messages)[0]
    assert twin.frames([], compare.keys(), mask) == b""
