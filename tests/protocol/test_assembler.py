"""Frames become one message, in whatever parts they arrive."""

from __future__ import annotations

import tracemalloc

import pytest

from tests.protocol import server_frame as frame
from tests.protocol.owner import Owner


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


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
    assert run.receiver.pings == [b"1"]
    assert run.receiver.pongs == [b"2"]
    assert run.receiver.received_size == 10


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
    assert run.receiver.received_size == len(payload)
    assert run.receiver.pings == [b"after"]


@pytest.mark.parametrize("chunk", [1000, 70_000, 200_000])
def test_a_large_first_fragment_is_joined_with_the_others(chunk: int) -> None:
    first, second = bytes(range(256)) * 300, b"\xff" * 70_000
    stream = frame(BINARY, first, fin=False) + frame(CONTINUATION, second)
    run = Owner()
    for pos in range(0, len(stream), chunk):
        run.receive(stream[pos : pos + chunk])
    assert run.messages == [first + second]


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
