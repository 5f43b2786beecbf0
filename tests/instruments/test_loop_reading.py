from __future__ import annotations

import asyncio
import threading

import pytest

from resilient_ws.instruments import loop_reading
from resilient_ws.instruments.loop_reading import read_on


async def test_it_reads_in_the_thread_of_the_loop() -> None:
    loop, here = asyncio.get_running_loop(), threading.get_ident()
    assert read_on(loop, threading.get_ident) == here
    assert await asyncio.to_thread(read_on, loop, threading.get_ident) == here


async def test_what_the_reading_raises_is_raised() -> None:
    def fail() -> None:
        raise TimeoutError("of the reading itself")

    with pytest.raises(TimeoutError, match="itself"):
        await asyncio.to_thread(read_on, asyncio.get_running_loop(), fail)


async def test_a_blocked_loop_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_reading, "ANSWER_WITHIN", 0.02)
    loop, answers, read = asyncio.get_running_loop(), list[object](), list[int]()
    reader = threading.Thread(
        target=lambda: answers.append(read_on(loop, lambda: read.append(1)))
    )
    reader.start()
    reader.join()  # which blocks the loop
    assert answers == [None]
    # And it does not read later, when nobody wants to know.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert read == []


def test_a_loop_that_has_ended_does_not_answer() -> None:
    loop = asyncio.new_event_loop()
    assert read_on(loop, lambda: 1) is None
    loop.close()
    assert read_on(loop, lambda: 1) is None
