"""Bytes that wait stay in order, and leave when they are parsed."""

from __future__ import annotations

import tracemalloc

from resilient_ws.protocol.unparsed import Unparsed
from tests.protocol import server_frame as frame
from tests.protocol.owner import Owner


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


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


def test_bytes_are_given_back_in_order_until_others_take_their_place() -> None:
    unparsed = Unparsed()
    assert not unparsed.chunks
    unparsed.append(b"ab")
    unparsed.append(b"cd")
    view, start = unparsed.joined()
    assert view[start:].tobytes() == b"abcd"
    unparsed.replace(view, 1, in_place=False)
    unparsed.append(b"ef")
    view, start = unparsed.joined()
    assert view[start:].tobytes() == b"bcdef"
    unparsed.replace(view, len(view), in_place=True)
    assert not unparsed.chunks


def test_a_chunk_that_is_parsed_bit_by_bit_is_not_copied() -> None:
    unparsed, chunk = Unparsed(), bytes(range(100))
    for pos in (10, 20, 99):
        unparsed.replace(memoryview(chunk), pos, in_place=True)
        view, start = unparsed.joined()
        assert view.obj is chunk
        assert start == pos


def test_a_buffer_of_others_is_copied() -> None:
    unparsed, buffer = Unparsed(), bytearray(b"abcd")
    unparsed.replace(memoryview(buffer), 2, in_place=True)
    buffer[:] = b"next"
    view, start = unparsed.joined()
    assert view[start:].tobytes() == b"cd"
