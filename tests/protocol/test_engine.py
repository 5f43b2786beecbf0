"""One connection: what comes in, what goes out, how it ends."""

from __future__ import annotations

import os
import random
import tracemalloc
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from websockets.frames import Frame, Opcode

from resilient_ws.protocol.close import Close, CloseFrame
from resilient_ws.protocol.engine import Engine, Violation
from resilient_ws.protocol.frames import KeyPool
from tests.protocol import server_frame as frame, unmask
from tests.protocol.owner import Owner


if TYPE_CHECKING:
    from collections.abc import Iterable

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def each_byte(data: bytes) -> Iterable[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


# Messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_message_of_every_length_form_arrives(size: int) -> None:
    data = os.urandom(size)
    run = Owner(frame(BINARY, data) + frame(TEXT, b"a" * size))
    assert run.messages == [data, "a" * size]
    assert run.engine.received_size == 2 * size


def test_bytes_that_are_no_message_yet_deliver_nothing() -> None:
    data = frame(TEXT, "grün".encode())
    run = Owner()
    for byte in each_byte(data[:-1]):
        assert run.receive(byte) == 0
        assert not run.is_stalled()
    assert run.receive(data[-1:]) == 1
    assert run.messages == ["grün"]


def test_fragments_become_one_message_around_control_frames() -> None:
    run = Owner(
        frame(TEXT, b"gr\xc3", fin=False)
        + frame(PING, b"1")
        + frame(CONTINUATION, b"\xbc", fin=False)
        + frame(CONTINUATION, b"", fin=False)
        + frame(PONG, b"2")
        + frame(CONTINUATION, b"n")
        + frame(BINARY, b"", fin=False)
        + frame(CONTINUATION, b"\xff")
        + frame(TEXT, b"next")
    )
    assert run.messages == ["grün", b"\xff", "next"]
    assert run.engine.pings == [b"1"]
    assert run.engine.pongs == [b"2"]
    assert run.engine.received_size == 10


def test_a_frame_from_websockets_is_understood() -> None:
    data = Frame(Opcode.TEXT, "é".encode() * 300).serialize(mask=False)
    assert Owner(data).messages == ["é" * 300]


# Room


def test_receiving_stops_when_there_is_no_more_room() -> None:
    run = Owner()
    data = frame(TEXT, b"1") + frame(BINARY, b"2", fin=False) + frame(PING, b"p")
    data += frame(CONTINUATION, b"2") + frame(TEXT, b"3") + close_frame(1000)
    assert run.receive(data, room=1) == 1
    assert run.is_stalled()
    assert run.engine.pings == []
    assert run.receive(b"", room=1) == 1
    assert run.messages == ["1", b"22"]
    assert run.engine.pings == [b"p"]
    assert run.is_stalled()
    assert run.receive(b"", room=1) == 1
    assert run.is_stalled()
    assert run.engine.close_received is None
    assert run.receive(b"", room=1) == 0
    assert not run.is_stalled()
    assert run.engine.close_received == CloseFrame(code=1000)


def test_exactly_enough_room_does_not_stall() -> None:
    run = Owner()
    assert run.receive(frame(TEXT, b"1") + frame(TEXT, b"2"), room=2) == 2
    assert not run.is_stalled()


@pytest.mark.parametrize("room", [0, -1])
def test_bytes_without_any_room_are_only_held(room: int) -> None:
    run = Owner()
    assert run.receive(b"", room=room) == 0
    assert not run.is_stalled()
    data = frame(TEXT, b"1") + frame(TEXT, b"2")
    for byte in each_byte(data):
        assert run.receive(byte, room=room) == 0
        assert run.is_stalled()
    assert run.receive(frame(TEXT, b"3"), room=2) == 2
    assert run.is_stalled()
    assert run.receive(frame(TEXT, b"4"), room=room) == 0
    assert run.receive(b"") == 2
    assert run.messages == ["1", "2", "3", "4"]


def test_what_was_delivered_does_not_stay_in_memory_behind_a_slow_owner() -> None:
    run = Owner()
    chunk = frame(BINARY, bytes(1000)) * 2
    tracemalloc.start()
    try:
        run.receive(chunk * 3, room=1)
        for _ in range(2000):
            run.receive(chunk, room=2)
            run.messages.clear()
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_a_partial_frame_after_the_last_room_goes_on_later() -> None:
    run = Owner()
    second = frame(TEXT, b"second")
    assert run.receive(frame(TEXT, b"1") + second[:3], room=1) == 1
    assert run.is_stalled()
    assert run.receive(b"") == 0
    assert not run.is_stalled()
    assert run.receive(second[3:]) == 1
    assert run.messages == ["1", "second"]


# Violations

OPEN_TEXT = frame(TEXT, b"a", fin=False)

VIOLATIONS = {
    "masked": (b"\x81\x81\x00\x00\x00\x00a", 1002),
    "masked, empty": (b"\x81\x80\x00\x00\x00\x00", 1002),
    "masked, long": (b"\x82\xfe\x00\x7e" + bytes(130), 1002),
    "masked ping": (b"\x89\x80\x00\x00\x00\x00", 1002),
    "RSV1": (frame(TEXT, b"a", rsv=4), 1002),
    "RSV2": (frame(BINARY, b"a", rsv=2), 1002),
    "RSV3": (frame(TEXT, b"", rsv=1), 1002),
    "RSV1 on a ping": (frame(PING, rsv=4), 1002),
    "RSV1 on a continuation": (OPEN_TEXT + frame(CONTINUATION, rsv=4), 1002),
    **{f"opcode {n}": (frame(n, b"a"), 1002) for n in [*range(3, 8), *range(11, 16)]},
    "reserved opcode in a message": (OPEN_TEXT + frame(3, b"a"), 1002),
    "continuation of nothing": (frame(CONTINUATION, b"a"), 1002),
    "open continuation of nothing": (frame(CONTINUATION, b"a", fin=False), 1002),
    "continuation after the end": (
        OPEN_TEXT + frame(CONTINUATION) + frame(CONTINUATION),
        1002,
    ),
    "text inside a message": (OPEN_TEXT + frame(TEXT, b"b"), 1002),
    "binary inside a message": (OPEN_TEXT + frame(BINARY, b"b", fin=False), 1002),
    "fragmented ping": (frame(PING, b"", fin=False), 1002),
    "fragmented pong": (frame(PONG, b"a", fin=False), 1002),
    "fragmented close": (frame(CLOSE, b"", fin=False), 1002),
    "ping of 126": (frame(PING, bytes(126)), 1002),
    "close of 126": (frame(CLOSE, b"\x03\xe8" + bytes(124)), 1002),
    "16 bits for 125": (b"\x82\x7e\x00\x7d" + bytes(125), 1002),
    "16 bits for 0": (b"\x81\x7e\x00\x00", 1002),
    "64 bits for 65535": (b"\x82\x7f" + (65535).to_bytes(8, "big"), 1002),
    "16 bits for a ping": (b"\x89\x7e\x00\x01a", 1002),
    "top bit of the length": (b"\x82\x7f\x80" + bytes(7), 1002),
    "bad UTF-8": (frame(TEXT, b"\xff"), 1007),
    "overlong UTF-8": (frame(TEXT, b"\xc0\xaf"), 1007),
    "surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "above U+10FFFF": (frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    "text ends in a character": (frame(TEXT, b"\xe2\x82"), 1007),
    "fragments end in a character": (OPEN_TEXT + frame(CONTINUATION, b"\xe2"), 1007),
    "bad UTF-8 in a fragment": (
        OPEN_TEXT + frame(CONTINUATION, b"\xff", fin=False),
        1007,
    ),
    "bad UTF-8 in a fragment, before a ping": (
        OPEN_TEXT + frame(CONTINUATION, b"\xff", fin=False) * 2 + frame(PING, b"late"),
        1007,
    ),
    "bad UTF-8 in a fragment, before a wrong one": (
        OPEN_TEXT + frame(CONTINUATION, b"\xff", fin=False) + frame(3),
        1007,
    ),
    "too big in sum of many": (
        frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"ab", fin=False) * 51,
        1009,
    ),
    "bad UTF-8 in a close reason": (close_frame(1000, b"\xff"), 1007),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    **{
        f"close {code}": (close_frame(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
    },
    "too big, 7 bits": (frame(BINARY, bytes(101)), 1009),
    "too big, 16 bits": (frame(BINARY, bytes(126)), 1009),
    "too big, at the header": (b"\x82\x7f" + (1 << 62).to_bytes(8, "big"), 1009),
    "too big in sum": (
        frame(TEXT, b"a" * 60, fin=False) + frame(CONTINUATION, b"a" * 41),
        1009,
    ),
}


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_broken_rule_is_a_violation_however_it_arrives(
    data: bytes, code: int
) -> None:
    before = frame(BINARY, b"before") + frame(PING, b"p")
    whole = Owner(before + data + frame(TEXT, b"after"), limit=100)
    violation = whole.engine.violation
    assert violation is not None
    assert violation.code == code
    assert len(violation.text.encode()) <= 123
    assert whole.messages[:1] == [b"before"]
    assert "after" not in whole.messages
    assert not whole.engine.stalled
    bytewise = Owner(*each_byte(before + data), limit=100)
    assert bytewise.seen() == whole.seen()
    # What it says fits the close frame that answers it.
    assert whole.engine.close(code, violation.text)
    assert whole.engine.close_received is None


@pytest.mark.parametrize(
    ("size", "fits"), [(99, True), (100, True), (101, False), (200, False)]
)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_limit_is_the_largest_size_that_fits(
    opcode: int, size: int, fits: bool
) -> None:
    whole = Owner(frame(opcode, b"a" * size), limit=100)
    halves = Owner(
        frame(opcode, b"a" * 50, fin=False) + frame(CONTINUATION, b"a" * (size - 50)),
        limit=100,
    )
    for run in (whole, halves):
        assert (run.engine.violation is None) is fits
        assert len(run.messages) == fits


def test_a_long_text_that_is_not_utf_8_is_a_violation() -> None:
    run = Owner(frame(TEXT, b"a" * 200) + frame(TEXT, b"a" * 200 + b"\xff"))
    assert run.messages == ["a" * 200]
    assert run.engine.violation is not None
    assert run.engine.violation.code == 1007
    assert run.engine.received_size == 200


def test_without_a_limit_every_size_fits() -> None:
    assert Owner(frame(BINARY, bytes(5 << 20)), limit=None).messages == [bytes(5 << 20)]


def test_the_default_limit_is_four_mebibytes() -> None:
    engine = Engine()
    engine.receive(b"\x82\x7f" + (4 * 1024 * 1024).to_bytes(8, "big"), print, 1)
    assert engine.violation is None
    engine = Engine()
    engine.receive(b"\x82\x7f" + (4 * 1024 * 1024 + 1).to_bytes(8, "big"), print, 1)
    assert engine.violation == Violation(
        code=1009,
        text="a message of at least 4194305 bytes, above our limit 4194304",
    )


def test_control_frames_are_not_under_the_message_limit() -> None:
    run = Owner(frame(PING, bytes(125)) + frame(TEXT, b""), limit=0)
    assert run.engine.pings == [bytes(125)]
    assert run.messages == [""]


@pytest.mark.parametrize(
    "start",
    [
        b"\xff",
        b"\xc0",
        b"\xf5",
        b"\xe0\x80",
        b"\xed\xa0",
        b"\xf0\x80",
        b"\xf4\x90",
        b"ok\xc3a",
    ],
)
def test_bad_utf_8_is_refused_before_its_frame_is_complete(start: bytes) -> None:
    for chunks in (
        [frame(TEXT, start + b"x" * 9)[:-9]],
        each_byte(b"\x81\x7d" + start),
    ):
        violation = Owner(*chunks).engine.violation
        assert violation is not None
        assert violation.code == 1007


def test_nothing_is_parsed_after_a_violation() -> None:
    run = Owner(frame(3))
    violation = run.engine.violation
    assert run.receive(frame(TEXT, b"late") + frame(PING) + close_frame(1000)) == 0
    assert run.receive(b"") == 0
    assert run.engine.violation is violation
    assert run.seen() == ([], [], [], violation, None, 0, False)


def test_a_violation_drops_what_was_held() -> None:
    run = Owner()
    run.receive(frame(3) + frame(TEXT, b"late"), room=0)
    assert run.receive(b"", room=5) == 0
    assert run.engine.violation is not None
    assert not run.is_stalled()


# Every split


def frames() -> st.SearchStrategy[bytes]:
    """Return mostly legal frames, with some that are not."""
    payload = st.binary(max_size=20) | st.text(max_size=140).map(str.encode)
    opcode = st.sampled_from([0, 0, 1, 1, 1, 2, 2, 9, 10])
    legal = st.builds(frame, opcode, payload, fin=st.sampled_from([True, True, False]))
    return (
        legal
        | st.sampled_from([item[0] for item in VIOLATIONS.values()])
        | (st.just(close_frame(1001, b"bye")))
    )


@given(
    data=st.lists(frames(), max_size=12).map(b"".join),
    cuts=st.lists(st.integers(0, 1000), max_size=8),
    room=st.integers(1, 3),
)
def test_every_split_and_every_room_gives_the_same(
    data: bytes, cuts: list[int], room: int
) -> None:
    whole = Owner(data, limit=500)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(places)]
    assert Owner(*chunks, limit=500).seen() == whole.seen()
    assert Owner(*each_byte(data), limit=500).seen() == whole.seen()
    slow = Owner(limit=500)
    for chunk in chunks:
        slow.receive(chunk, room=room - 2)
    while slow.engine.stalled:
        slow.receive(b"", room=room)
    assert slow.seen() == whole.seen()


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    whole = Owner(data)
    assert Owner(*each_byte(data)).seen() == whole.seen()


@given(st.lists(st.text() | st.binary(max_size=300)))
def test_messages_arrive_as_they_were_sent(messages: list[str | bytes]) -> None:
    sent = Engine().messages(messages)
    pos, received = 0, Owner()
    while pos < len(sent):
        first, payload, size = unmask(sent[pos:])
        received.receive(frame(first & 0x0F, payload))
        pos += size
    assert received.messages == messages


# Cost


@pytest.mark.parametrize("chunk", [1460, 70_000, 262_144, 3_000_000])
@pytest.mark.parametrize("size", [65_537, 262_130, 1_048_576, 1_048_577, 9_000_001])
def test_a_large_binary_message_is_what_was_sent(size: int, chunk: int) -> None:
    payload = random.Random(size).randbytes(size)
    stream = frame(TEXT, b"before") + frame(BINARY, payload) + frame(TEXT, b"behind")
    run = Owner(limit=size)
    for pos in range(0, len(stream), chunk):
        run.receive(stream[pos : pos + chunk])
    assert run.messages == ["before", payload, "behind"]


@pytest.mark.parametrize("chunk", [1000, 70_000, 200_000])
def test_a_large_first_fragment_is_joined_with_the_others(chunk: int) -> None:
    first, second = bytes(range(256)) * 300, b"\xff" * 70_000
    stream = frame(BINARY, first, fin=False) + frame(CONTINUATION, second)
    run = Owner()
    for pos in range(0, len(stream), chunk):
        run.receive(stream[pos : pos + chunk])
    assert run.messages == [first + second]


@pytest.mark.parametrize(
    ("sent", "most"),
    [
        (60_000, 200_000),
        (100_000, 1_300_000),
        (500_000, 1_300_000),
        (9 << 20, 25 << 20),
    ],
)
def test_what_is_only_announced_takes_little_memory(sent: int, most: int) -> None:
    run = Owner(limit=None)
    whole = frame(BINARY, bytes(sent))
    stream = bytes([FIN | BINARY, 127]) + (1 << 40).to_bytes(8) + whole[-sent:]
    tracemalloc.start()
    try:
        for pos in range(0, len(stream), 1460):
            run.receive(stream[pos : pos + 1460])
        assert sent < tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
    assert not run.messages
    assert run.broke() is None


def test_a_flood_of_empty_fragments_takes_no_memory() -> None:
    run = Owner(frame(TEXT, b"a", fin=False))
    chunk = frame(CONTINUATION, b"", fin=False) * 1000
    run.receive(chunk)
    tracemalloc.start()
    try:
        for _ in range(20):
            run.receive(chunk)
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()
    for _ in range(80):
        run.receive(chunk)
    run.receive(frame(CONTINUATION, b"z"))
    assert run.messages == ["az"]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("chunk", [5, 5000])
def test_a_message_of_tiny_fragments_weighs_little_more_than_its_bytes(
    opcode: int, chunk: int
) -> None:
    count, item = 100_000, frame(CONTINUATION, "€".encode(), fin=False)
    stream = item * count
    chunks = [stream[pos : pos + chunk] for pos in range(0, len(stream), chunk)]
    run = Owner(frame(opcode, "é".encode(), fin=False))
    tracemalloc.start()
    try:
        for part in chunks:
            run.receive(part)
        # A string for each would take 8 MB.
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
        run.receive(frame(CONTINUATION, b""))
        assert tracemalloc.get_traced_memory()[1] < 2_500_000
    finally:
        tracemalloc.stop()
    text = "é" + "€" * count
    assert run.messages == [text if opcode == TEXT else text.encode()]


@pytest.mark.parametrize("size", [1, 125, 126, 1000, 65535, 65536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("chunk", [1, 7, 1460, 1 << 20])
def test_fragments_of_every_length_form_become_one_message(
    opcode: int, size: int, chunk: int
) -> None:
    # A size that no character fits: fragments and chunks end within one.
    text = "aé€😀" * (3 * size // 10 + 1)
    payload = text.encode()
    last = len(payload) // size * size
    starts = range(0, len(payload), size)
    data = b"".join(
        frame(
            CONTINUATION if start else opcode,
            payload[start : start + size],
            fin=start == last,
        )
        for start in starts
    )
    if last == len(payload):
        data += frame(CONTINUATION)
    data += frame(PING, b"after")
    run = Owner(*(data[pos : pos + chunk] for pos in range(0, len(data), chunk)))
    run.finish()
    assert run.messages == [text if opcode == TEXT else payload]
    assert run.engine.received_size == len(payload)
    assert run.engine.pings == [b"after"]


@pytest.mark.parametrize("chunk", [1, 1000, 65536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_large_message_is_collected_from_chunks_of_any_size(
    opcode: int, chunk: int
) -> None:
    payload = bytes(range(32, 96)) * 1024
    data = frame(opcode, payload)
    run = Owner(limit=None)
    for pos in range(0, len(data), chunk):
        run.receive(data[pos : pos + chunk])
    assert run.messages == [payload.decode() if opcode == TEXT else payload]


def test_a_chunk_taken_message_by_message_gives_them_all() -> None:
    queue: deque[str | bytes] = deque()
    engine = Engine()
    engine.receive(frame(TEXT, b"x" * 60) * 2000, queue.append, 1)
    while engine.stalled:
        engine.receive(b"", queue.append, 1)
    assert list(queue) == ["x" * 60] * 2000


# Sending


@pytest.mark.parametrize(
    ("data", "first", "payload"),
    [
        ("grün", 0x81, "grün".encode()),
        (b"\xff", 0x82, b"\xff"),
        (bytearray(b"ab"), 0x82, b"ab"),
        (memoryview(b"abcd")[::-1], 0x82, b"dcba"),
    ],
)
def test_text_and_bytes_go_as_what_they_are(
    data: str | bytes | bytearray | memoryview, first: int, payload: bytes
) -> None:
    assert unmask(Engine().message(data))[:2] == (first, payload)


def test_pings_and_pongs_carry_at_most_125_bytes() -> None:
    engine = Engine()
    assert unmask(engine.ping()) == (0x89, b"", 6)
    assert unmask(engine.ping(bytes(125)))[:2] == (0x89, bytes(125))
    assert unmask(engine.pong(b"p"))[:2] == (0x8A, b"p")
    for make in (engine.ping, engine.pong):
        with pytest.raises(ValueError, match="payload is 126 bytes"):
            make(bytes(126))


def test_masking_keys_come_from_the_given_source() -> None:
    engine = Engine(keys=KeyPool(lambda count: b"\x01\x02\x03\x04" * (count // 4)))
    assert engine.message(b"\x00\x00") == b"\x82\x82\x01\x02\x03\x04\x01\x02"


# Closing


def test_without_a_close_frame_there_is_no_record() -> None:
    assert Owner(frame(TEXT, b"a")).engine.record() is None


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"", 1005, ""),
        (b"\x03\xe9", 1001, ""),
        (b"\x0f\xa1" + b"r" * 123, 4001, "r" * 123),
    ],
)
def test_a_close_from_the_peer_is_echoed(body: bytes, code: int, reason: str) -> None:
    engine = Owner(frame(CLOSE, body)).engine
    received = CloseFrame(code=code, reason=reason)
    assert engine.close_received == received
    assert engine.record() == Close(
        code=code, reason=reason, initiator="peer", clean=False, received=received
    )
    assert unmask(engine.close_reply())[:2] == (0x88, body)
    assert engine.close_reply() == b""
    assert engine.record() == Close(
        code=code,
        reason=reason,
        initiator="peer",
        clean=True,
        sent=received,
        received=received,
    )


def test_nothing_is_parsed_after_a_received_close() -> None:
    run = Owner(close_frame(1000) + frame(TEXT, b"late") + frame(3))
    assert run.receive(frame(TEXT, b"later")) == 0
    assert run.messages == []
    assert run.engine.violation is None
    assert not run.is_stalled()


def test_nothing_leaves_after_a_sent_close() -> None:
    engine = Engine()
    assert unmask(engine.close(1000, "bye"))[:2] == (0x88, b"\x03\xe8bye")
    assert engine.close(1001) == b""
    assert engine.close_sent == CloseFrame(code=1000, reason="bye")
    late = [
        engine.message("a"),
        engine.messages(["a", b"b"]),
        engine.ping(),
        engine.pong(),
    ]
    assert late == [b""] * 4


def test_messages_still_arrive_between_our_close_and_the_answer() -> None:
    run = Owner()
    run.engine.close(1000)
    run.receive(frame(TEXT, b"on its way") + close_frame(4000, b"theirs"))
    assert run.messages == ["on its way"]
    assert run.engine.close_reply() == b""
    assert run.engine.record() == Close(
        code=1000,
        reason="",
        initiator="us",
        clean=True,
        sent=CloseFrame(code=1000),
        received=CloseFrame(code=4000, reason="theirs"),
    )


def test_a_close_without_a_code_is_an_empty_frame() -> None:
    engine = Engine()
    assert unmask(engine.close(None)) == (0x88, b"", 6)
    record = engine.record()
    assert record is not None
    assert (record.code, record.initiator, record.clean) == (1005, "us", False)


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (1006, "", "^code 1006"),
        (1000, "x" * 124, "^reason is 124"),
        (None, "why", "^reason needs a code"),
    ],
)
def test_a_close_that_may_not_be_sent_is_refused_and_changes_nothing(
    code: int | None, reason: str, text: str
) -> None:
    engine = Engine()
    with pytest.raises(ValueError, match=text):
        engine.close(code, reason)
    assert engine.close_sent is None
    assert engine.message("still open")


def test_there_is_nothing_to_reply_to_before_a_close() -> None:
    assert Engine().close_reply() == b""
