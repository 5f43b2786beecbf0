"""A payload in parts becomes what was sent, and weighs little more."""

from __future__ import annotations

import random
import tracemalloc

import pytest

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
