"""The hot loops: what each takes, where it stops, and why."""

from __future__ import annotations

import pytest

from resilient_ws.protocol.hot_loops import (
    walk_deflated,
    walk_fragments,
    walk_pings,
)
from resilient_ws.protocol.inflate import Inflater, Unfinished
from resilient_ws.protocol.violation import BAD_DEFLATE, BAD_DEFLATED_TEXT
from tests.protocol import server_frame as frame
from tests.protocol.compressed import frame as compressed, squeezed


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
HI, BYE = frame(TEXT, "grün".encode()), frame(BINARY, b"bye")
LONG, LONGER = frame(BINARY, bytes(126)), frame(BINARY, bytes(65536))


# Compressed messages

SMALL = compressed(squeezed(b"a" * 300))
TEXTS = compressed(squeezed(b"b" * 300), TEXT)


@pytest.mark.parametrize(
    ("data", "limits", "taken"),
    [
        (SMALL + TEXTS + HI, {}, 2),
        (SMALL + TEXTS, {"room": 1}, 1),
        (SMALL + TEXTS, {"size_room": 300}, 1),
        (SMALL + TEXTS, {"size_room": 301}, 2),
        (SMALL + TEXTS, {"enough": len(SMALL)}, 1),
        (SMALL + TEXTS, {"enough": len(SMALL) + 1}, 2),
        (SMALL + TEXTS[:-1], {}, 1),
        (SMALL + LONGER, {}, 1),
    ],
)
def test_whole_compressed_messages_are_taken_up_to_the_first_other_frame(
    data: bytes, limits: dict[str, int], taken: int
) -> None:
    found: list[str | bytes] = []
    wide = {"size_room": 1 << 30, "enough": 1 << 30, **limits}
    room, inflater = wide.pop("room", 9), Inflater(bits=15, takeover=False)
    ended = walk_deflated(memoryview(data), 0, found.append, room, inflater, **wide)
    stop = len(SMALL + TEXTS) if taken == 2 else len(SMALL)
    assert ended == (stop, taken, 300 * taken, None)
    assert found == [b"a" * 300, "b" * 300][:taken]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (compressed(b"\x07"), BAD_DEFLATE),
        (compressed(b"\x07", TEXT), BAD_DEFLATED_TEXT),
        (compressed(squeezed(b"\xff"), TEXT), BAD_DEFLATED_TEXT),
    ],
)
def test_a_compressed_message_that_breaks_a_rule_is_named(
    wrong: bytes, reason: object
) -> None:
    found: list[str | bytes] = []
    inflater = Inflater(bits=15, takeover=False)
    _, count, size, why = walk_deflated(
        memoryview(SMALL + wrong),
        0,
        found.append,
        9,
        inflater,
        size_room=1 << 30,
        enough=1 << 30,
    )
    assert (found, count, size, why) == ([b"a" * 300], 1, 300, reason)


def test_a_large_compressed_message_is_handed_on_unfinished() -> None:
    found: list[str | bytes] = []
    large = compressed(squeezed(bytes(1 << 20)))
    pos, count, size, why = walk_deflated(
        memoryview(SMALL + large + SMALL),
        0,
        found.append,
        9,
        Inflater(bits=15, takeover=True),
        size_room=1 << 30,
        enough=1 << 30,
    )
    assert (pos, count, size) == (len(SMALL + large), 1, 300)
    assert isinstance(why, Unfinished)
    assert why.made == bytes(256 * 1024)
    assert why.rest.endswith(b"\x00\x00\xff\xff")
    assert not why.is_text


# Fragments, pings and pongs

PART = frame(CONTINUATION, b"part", fin=False)
PARTS = frame(CONTINUATION, bytes(126), fin=False)


@pytest.mark.parametrize(
    ("data", "room", "steps", "taken"),
    [
        (PART + PARTS, 130, 2, 2),
        (PART + PARTS, 129, 2, 1),
        (PART + PARTS, 130, 1, 1),
        (PART + frame(PING), 130, 2, 1),
        (PART + frame(CONTINUATION, rsv=4), 130, 2, 1),
        (PART + frame(CONTINUATION, bytes(65536)), 1 << 20, 2, 1),
        (PART + b"\x00\x7e\x00\x7d", 1 << 20, 2, 1),
        (PART + PARTS[:3], 130, 2, 1),
    ],
)
def test_fragments_are_taken_up_to_the_first_other_frame(
    data: bytes, room: int, steps: int, taken: int
) -> None:
    parts: list[memoryview | bytes] = []
    ended = walk_fragments(memoryview(data), 0, parts, room, steps)
    expected = [b"part", bytes(126)][:taken]
    size, stop = sum(map(len, expected)), len(PART) + (taken - 1) * len(PARTS)
    assert parts == expected
    assert ended == (stop, room - size, steps - taken, False)


def test_nothing_is_taken_behind_the_last_fragment() -> None:
    parts: list[memoryview | bytes] = []
    last = frame(CONTINUATION, b"last")
    data = memoryview(PART + last + PART)
    stop = len(PART + last)
    assert walk_fragments(data, 0, parts, 99, 9) == (stop, 91, 7, True)
    assert parts == [b"part", b"last"]


def test_a_fragment_may_be_incomplete() -> None:
    parts: list[memoryview | bytes] = []
    ended = walk_fragments(memoryview(PART[:-1]), 0, parts, 99, 9)
    assert ended == (len(PART), 95, 8, False)
    assert parts == [b"par"]


@pytest.mark.parametrize(
    "other",
    [
        frame(PING, b"?")[:-1],
        frame(PING)[:1],
        frame(CLOSE),
        HI,
        b"\x89\x7e\x00\x7e" + bytes(126),
        b"\x89\x80" + bytes(4),
        b"\x09\x00",
    ],
)
def test_pings_and_pongs_are_taken_up_to_the_first_other_frame(other: bytes) -> None:
    pings, pongs = list[bytes](), list[bytes]()
    data = frame(PING, b"1") + frame(PONG, b"2") + frame(PING)
    view = memoryview(data + other + frame(PING, b"late"))[: len(data + other)]
    assert walk_pings(view, 0, pings, pongs, 9) == (len(data), 6)
    assert (pings, pongs) == ([b"1", b""], [b"2"])
