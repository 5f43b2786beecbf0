"""The tasks of a channel end with it, and none fails unseen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws.feeds.tasks import Tasks
from tests.record import turns


if TYPE_CHECKING:
    import pytest


async def test_they_end_together() -> None:
    tasks = Tasks("the channel")
    ended: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(number)

    for number in range(3):
        _ = tasks.spawn(work(number))
    await turns()
    assert len(tasks) == 3
    await tasks.end()
    await turns()
    assert sorted(ended) == [0, 1, 2]
    assert len(tasks) == 0


async def test_one_that_fails_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = Tasks("the channel")

    async def work() -> None:
        raise ValueError("out of paper")

    _ = tasks.spawn(work())
    await turns()
    (record,) = caplog.records
    assert record.getMessage() == "A task of 'the channel' failed"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "out of paper"
    assert len(tasks) == 0
