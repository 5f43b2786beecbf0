"""A chunk of a hundred thousand tiny frames is taken in steps, and means the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resilient_ws.protocol.engine import Engine
from resilient_ws.protocol.steps import MAX_MESSAGES, MAX_STEPS
from tests.protocol import server_frame as frame
from tests.protocol.owner import give


if TYPE_CHECKING:
    from resilient_ws.protocol.receiver import Receiver

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
ROOM = 1 << 30
MANY = 3 * MAX_STEPS

#: What a flood is made of, between the two halves of a message.
FLOODS = {
    "pings": frame(PING),
    "pings with a payload": frame(PING, b"p" * 125),
    "pongs": frame(PONG),
    "empty fragments": frame(CONTINUATION, b"", fin=False),
    "fragments of one byte": frame(CONTINUATION, b"x", fin=False),
}


def take(receiver: Receiver, data: bytes, messages: list[str | bytes]) -> int:
    """Give the engine a chunk; return how many calls it took for all of it."""
    calls, rest = 1, data
    give(receiver, rest, messages)
    while receiver.stalled:
        assert receiver.out_of_steps
        calls += 1
        give(receiver, b"", messages)
    assert not receiver.out_of_steps
    return calls


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_is_taken_in_several_calls_and_nothing_of_it_is_lost(
    flood: str,
) -> None:
    receiver, messages = Engine().receiver, list[str | bytes]()
    item = FLOODS[flood]
    data = frame(TEXT, b"<", fin=False) + item * MANY + frame(CONTINUATION, b">")
    assert take(receiver, data + frame(TEXT, b"next"), messages) == 4
    inner = "x" * MANY if flood == "fragments of one byte" else ""
    assert messages == [f"<{inner}>", "next"]
    payload = item[2:]
    assert receiver.pings == [payload] * (MANY if item[0] & 0x0F == PING else 0)
    assert receiver.pongs == [payload] * (MANY if item[0] & 0x0F == PONG else 0)


@pytest.mark.parametrize("flood", FLOODS)
def test_one_call_takes_so_many_steps_and_says_that_it_stopped(flood: str) -> None:
    receiver, messages = Engine().receiver, list[str | bytes]()
    start = frame(BINARY, b"", fin=False)
    give(receiver, start, messages)
    data = FLOODS[flood] * MAX_STEPS
    give(receiver, data, messages)
    assert (receiver.stalled, receiver.out_of_steps) == (False, False)
    give(receiver, data + FLOODS[flood], messages)
    assert (receiver.stalled, receiver.out_of_steps) == (True, True)
    give(receiver, b"", messages, 0)
    assert (receiver.stalled, receiver.out_of_steps) == (True, False)
    give(receiver, b"", messages)
    assert (receiver.stalled, receiver.out_of_steps) == (False, False)


def test_a_read_of_small_messages_is_no_flood() -> None:
    # 256 KiB of 64 bytes each.
    receiver, messages = Engine().receiver, list[str | bytes]()
    give(receiver, frame(TEXT, b"m" * 64) * 3971, messages)
    assert messages == ["m" * 64] * 3971
    assert not receiver.stalled


def test_a_flood_of_whole_messages_is_taken_in_several_calls() -> None:
    receiver, messages = Engine().receiver, list[str | bytes]()
    assert take(receiver, frame(TEXT, b"m") * (3 * MAX_MESSAGES), messages) == 3
    assert messages == ["m"] * (3 * MAX_MESSAGES)


def test_going_on_for_room_has_the_steps_that_were_left() -> None:
    receiver, messages = Engine().receiver, list[str | bytes]()
    room = MAX_MESSAGES // 4
    give(receiver, frame(TEXT) * (2 * MAX_MESSAGES), messages, room)
    for _ in range(3):
        assert (receiver.stalled, receiver.out_of_steps) == (True, False)
        give(receiver, b"", messages, room)
    assert give(receiver, b"", messages, room) == 0
    assert (receiver.stalled, receiver.out_of_steps) == (True, True)
    assert len(messages) == MAX_MESSAGES
    assert give(receiver, b"", messages) == MAX_MESSAGES


def test_pings_between_messages_count_as_steps() -> None:
    receiver, messages = Engine().receiver, list[str | bytes]()
    assert take(receiver, (frame(TEXT, b"m") + frame(PING)) * MANY, messages) == 3
    assert messages == ["m"] * MANY
    assert len(receiver.pings) == MANY


@pytest.mark.parametrize(
    "wrong",
    [
        frame(CONTINUATION),
        b"\x89\x80" + bytes(4),
        b"\x8a\x7e\x00\x7e" + bytes(126),
        b"\x09\x00",
        b"\xc9\x00",
    ],
    ids=["nothing to continue", "masked", "too long", "fragmented", "reserved bit"],
)
def test_a_broken_rule_within_a_flood_is_seen_after_what_came_before(
    wrong: bytes,
) -> None:
    receiver, messages = Engine().receiver, list[str | bytes]()
    data = frame(PING) * MANY + frame(TEXT, b"last") + wrong + frame(TEXT, b"no")
    take(receiver, data, messages)
    assert messages == ["last"]
    assert len(receiver.pings) == MANY
    assert receiver.violation is not None
    assert receiver.violation.code == 1002


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_small_chunks_of_a_flood_come_to_the_same(size: int) -> None:
    receiver, messages = Engine().receiver, list[str | bytes]()
    part = b"".join(FLOODS[name] for name in FLOODS)
    data = frame(TEXT, b"<", fin=False) + part * 20 + frame(CONTINUATION, b">")
    for start in range(0, len(data), size):
        give(receiver, data[start : start + size], messages)
    assert messages == [f"<{'x' * 20}>"]
    assert receiver.pings == [b"", b"p" * 125] * 20
    assert receiver.pongs == [b""] * 20
