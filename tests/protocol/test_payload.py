"""A payload in parts becomes what was sent, and weighs little more."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from resilient_ws.protocol.payload import TextRoom
from tests.protocol import server_frame as frame
from tests.protocol.owner import Owner


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80


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


@pytest.mark.parametrize("chunk", [1460, 70_000, 262_144, 3_000_000])
@pytest.mark.parametrize("size", [65_537, 262_130, 1_048_576, 1_048_577, 9_000_001])
def test_a_large_binary_message_is_what_was_sent(size: int, chunk: int) -> None:
    payload = random.Random(size).randbytes(size)
    stream = frame(TEXT, b"before") + frame(BINARY, payload) + frame(TEXT, b"behind")
    run = Owner(limit=size)
    for pos in range(0, len(stream), chunk):
        run.receive(stream[pos : pos + chunk])
    assert run.messages == ["before", payload, "behind"]


#: Texts of one byte a character, and of two to four from some place on.
TEXTS = {
    "ascii": lambda size: "x" * size,
    "at the start": lambda size: "é" + "x" * (size - 2),
    "in the middle": lambda size: "x" * (size // 2) + "€" + "y" * (size // 2),
    "at the end": lambda size: "x" * (size - 4) + "\U0001f600",
    "everywhere": lambda size: "€" * (size // 3),
}


@pytest.mark.parametrize("chunk", [1460, 70_000, 262_144, 3_000_000])
@pytest.mark.parametrize("size", [65_537, 262_130, 1_048_570, 1_048_579, 3_000_000])
@pytest.mark.parametrize("kind", TEXTS)
def test_a_large_text_is_what_was_sent(kind: str, size: int, chunk: int) -> None:
    text = TEXTS[kind](size)
    stream = frame(TEXT, b"before") + frame(TEXT, text.encode()) * 2 + frame(TEXT, b"!")
    run = Owner(limit=None)
    for pos in range(0, len(stream), chunk):
        run.receive(stream[pos : pos + chunk])
    assert run.messages == ["before", text, text, "!"]
    assert run.receiver.received_size == 2 * len(text.encode()) + 7


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3x", b"\xed\xa0", b"\xf4\x90"])
@pytest.mark.parametrize("before", [0, 100, 100_000])
def test_a_large_text_is_refused_as_soon_as_it_cannot_be_utf8(
    bad: bytes, before: int
) -> None:
    head = frame(TEXT, bytes(200_000))[:10]
    run = Owner(head + b"x" * 1000)
    for pos in range(0, before, 1000):
        run.receive(b"x" * min(1000, before - pos))
    assert run.broke() is None
    run.receive(bad)
    assert run.broke() == 1007


@pytest.mark.parametrize("end", [b"\xff", b"\xe2\x82", b"\xed\xa0\x80"])
def test_a_large_text_is_refused_for_its_last_bytes(end: bytes) -> None:
    whole = frame(TEXT, b"x" * 100_000 + end)
    run = Owner(whole[:70_000], whole[70_000:])
    assert run.broke() == 1007
    assert not run.messages


def test_one_of_two_connections_uses_the_room_that_they_share() -> None:
    room, ends = TextRoom(), [b"a" * 90_000, "é".encode() * 45_000]
    runs = [Owner(), Owner()]
    for _ in range(3):
        for run in runs:
            run.receiver.share(room)
        streams = [frame(TEXT, end) for end in ends]
        for pos in range(0, len(streams[0]), 7000):
            for run, stream in zip(runs, streams, strict=True):
                run.receive(stream[pos : pos + 7000])
                first = run is runs[0] and pos + 7000 < len(stream)
                assert (run.receiver.place() is not None) == first
    assert runs[0].messages == [ends[0].decode()] * 3
    assert runs[1].messages == [ends[1].decode()] * 3


def test_a_room_is_free_again_when_the_message_in_it_is_given_up() -> None:
    room = TextRoom()
    whole = frame(TEXT, b"a" * 90_000)
    lost = Owner()
    lost.receiver.share(room)
    lost.receive(whole[:1000])
    assert room.payload(70_000) is None
    del lost
    assert room.payload(70_000) is not None


def test_what_is_given_up_is_gone_and_the_room_is_free() -> None:
    room, whole = TextRoom(), frame(TEXT, b"a" * 90_000)
    run = Owner()
    run.receiver.share(room)
    run.receive(whole[:1000])
    run.receive(whole[1000:], room=0)
    assert run.is_stalled()
    run.receiver.give_up()
    assert room.payload(70_000) is not None
    assert run.receiver.place() is None
    assert not run.is_stalled()
    run.receive(b"")
    assert not run.messages
    assert run.broke() is None


def test_bytes_read_into_their_place_are_not_copied_and_not_lost() -> None:
    text = "x" * 100_000 + "é" * 50_000 + "y" * 200_000
    whole = frame(TEXT, text.encode())
    run = Owner(whole[:1000])
    pos = 1000
    while pos < len(whole):
        place = run.receiver.place()
        assert place is not None
        assert len(place) == len(whole) - pos
        count = min(60_000, len(place))
        place[:count] = whole[pos : pos + count]
        run.receiver.receive(place[:count], run.messages.append, 1)
        pos += count
    assert run.messages == [text]
    assert run.receiver.place() is None


def test_bytes_that_wait_for_room_keep_their_order() -> None:
    text = "".join(map(str, range(40_000)))
    whole = frame(TEXT, text.encode())
    run = Owner(whole[:1000])
    # Without room for a message, what comes is held.
    run.receive(whole[1000:80_000], room=0)
    assert run.receiver.place() is None
    run.receive(whole[80_000:])
    run.finish()
    assert run.messages == [text]


@pytest.mark.parametrize(
    ("sent", "most", "announced", "opcode"),
    [
        (60_000, 200_000, 1 << 40, BINARY),
        (100_000, 1_300_000, 1 << 40, BINARY),
        (500_000, 1_300_000, 1 << 40, BINARY),
        (9 << 20, 25 << 20, 1 << 40, BINARY),
        (60_000, 200_000, 1 << 40, TEXT),
        (60_000, 1_300_000, 1 << 20, TEXT),
        (1_000_000, 1_300_000, 1 << 20, TEXT),
    ],
)
def test_what_is_only_announced_takes_little_memory(
    sent: int, most: int, announced: int, opcode: int
) -> None:
    run = Owner(limit=None)
    whole = frame(opcode, bytes(sent))
    stream = bytes([FIN | opcode, 127]) + announced.to_bytes(8) + whole[-sent:]
    tracemalloc.start()
    try:
        for pos in range(0, len(stream), 1460):
            run.receive(stream[pos : pos + 1460])
        assert sent < tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
    assert not run.messages
    assert run.broke() is None


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
