"""Bytes come in, messages come out, as many as there is room for."""

from __future__ import annotations

import os
from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st
from websockets.frames import Frame, Opcode

from resilient_ws.protocol.close import CloseFrame
from resilient_ws.protocol.engine import Engine
from tests.protocol import close_frame, each_byte, server_frame as frame, unmask
from tests.protocol.broken_rules import VIOLATIONS
from tests.protocol.owner import Owner


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


# Messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_message_of_every_length_form_arrives(size: int) -> None:
    data = os.urandom(size)
    run = Owner(frame(BINARY, data) + frame(TEXT, b"a" * size))
    assert run.messages == [data, "a" * size]
    assert run.receiver.received_size == 2 * size


def test_bytes_that_are_no_message_yet_deliver_nothing() -> None:
    data = frame(TEXT, "grün".encode())
    run = Owner()
    for byte in each_byte(data[:-1]):
        assert run.receive(byte) == 0
        assert not run.is_stalled()
    assert run.receive(data[-1:]) == 1
    assert run.messages == ["grün"]


@pytest.mark.parametrize("limit", [2**63, 2**64, 2**200])
def test_a_limit_may_be_beyond_every_number_of_the_machine(limit: int) -> None:
    assert Owner(frame(TEXT, b"a" * 100), limit=limit).messages == ["a" * 100]


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
    assert run.receiver.pings == []
    assert run.receive(b"", room=1) == 1
    assert run.messages == ["1", b"22"]
    assert run.receiver.pings == [b"p"]
    assert run.is_stalled()
    assert run.receive(b"", room=1) == 1
    assert run.is_stalled()
    assert run.receiver.close_received is None
    assert run.receive(b"", room=1) == 0
    assert not run.is_stalled()
    assert run.receiver.close_received == CloseFrame(code=1000)


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


def test_a_partial_frame_after_the_last_room_goes_on_later() -> None:
    run = Owner()
    second = frame(TEXT, b"second")
    assert run.receive(frame(TEXT, b"1") + second[:3], room=1) == 1
    assert run.is_stalled()
    assert run.receive(b"") == 0
    assert not run.is_stalled()
    assert run.receive(second[3:]) == 1
    assert run.messages == ["1", "second"]


def test_a_chunk_taken_message_by_message_gives_them_all() -> None:
    queue: deque[str | bytes] = deque()
    engine = Engine()
    engine.receiver.receive(memoryview(frame(TEXT, b"x" * 60) * 2000), queue.append, 1)
    while engine.receiver.stalled:
        engine.receiver.receive(memoryview(b""), queue.append, 1)
    assert list(queue) == ["x" * 60] * 2000


def test_nothing_is_parsed_after_a_received_close() -> None:
    run = Owner(close_frame(1000) + frame(TEXT, b"late") + frame(3))
    assert run.receive(frame(TEXT, b"later")) == 0
    assert run.messages == []
    assert run.receiver.violation is None
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
    while slow.receiver.stalled:
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
