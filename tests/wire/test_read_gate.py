"""A transport is read while there is room, and while nothing read waits for a turn."""

from __future__ import annotations

import asyncio

from resilient_ws.transport.read_gate import ReadGate


class Reads(asyncio.Transport):
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")


def gate() -> tuple[ReadGate, Reads]:
    gate, transport = ReadGate(asyncio.get_running_loop()), Reads()
    gate.begin(transport)
    return gate, transport


async def test_it_is_told_only_what_changes() -> None:
    reading, transport = gate()
    reading.pause()
    paused = [reading.paused]
    reading.resume()
    reading.resume()
    paused.append(reading.paused)
    assert paused == [True, False]
    assert transport.told == ["pause", "resume"]


async def test_work_is_done_once_in_the_next_turn_with_reading_stopped() -> None:
    reading, transport = gate()
    done: list[list[str]] = []
    for _ in range(3):
        reading.in_next_turn(lambda: done.append(transport.told.copy()))
    behind = [reading.catching_up]
    await asyncio.sleep(0)
    behind.append(reading.catching_up)
    assert behind == [True, False]
    assert done == [["pause"]]
    assert transport.told == ["pause", "resume"]


async def test_work_may_need_another_turn() -> None:
    reading, transport = gate()

    def work() -> None:
        reading.in_next_turn(lambda: None)

    reading.in_next_turn(work)
    await asyncio.sleep(0)
    assert transport.told == ["pause"]
    await asyncio.sleep(0)
    assert transport.told == ["pause", "resume"]


async def test_a_pause_for_room_outlasts_the_turn() -> None:
    reading, transport = gate()
    reading.in_next_turn(lambda: None)
    reading.pause()
    await asyncio.sleep(0)
    assert transport.told == ["pause"]
    reading.resume()
    assert transport.told == ["pause", "resume"]


async def test_of_a_turn_s_full_buffers_the_second_waits() -> None:
    reading, transport = gate()
    done: list[int] = []
    reading.after_full_buffer(lambda: done.append(1))
    assert not transport.told
    reading.after_full_buffer(lambda: done.append(2))
    assert transport.told == ["pause"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert done == [2]
    reading.after_full_buffer(lambda: done.append(3))
    assert transport.told == ["pause", "resume"]


async def test_a_transport_that_is_over_is_left_alone() -> None:
    reading, transport = gate()
    transport.closing = True
    reading.pause()
    transport.closing = False
    reading.end()
    reading.resume()
    reading.in_next_turn(lambda: None)
    await asyncio.sleep(0)
    assert transport.told == []
