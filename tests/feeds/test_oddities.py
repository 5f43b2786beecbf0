from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from resilient_ws.feeds import MessageOdd
from resilient_ws.feeds.oddities import Oddities
from resilient_ws.feeds.throttled_log import SAY_AGAIN_AFTER, ThrottledLog
from tests.record import now


if TYPE_CHECKING:
    import pytest


async def test_each_is_counted_and_reported_and_told_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[MessageOdd] = []
    oddities = Oddities(ThrottledLog(lambda: "channel", now), told.append)
    with caplog.at_level(logging.WARNING, "resilient_ws"):
        for _ in range(100):
            oddities.count("malformed", "ValueError")
        oddities.count("unknown", "an item for nobody")
        await asyncio.sleep(SAY_AGAIN_AFTER)
        oddities.count("malformed", "RecursionError")
    assert oddities.counts == {"malformed": 101, "unexpected": 0, "unknown": 1}
    assert len(told) == 102
    assert told[-1] == MessageOdd(kind="malformed", what="RecursionError")
    lines = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(": ")[2] for line in lines] == [
        "ValueError (1 so far)",
        "an item for nobody (1 so far)",
        "RecursionError (101 so far)",
    ]
    assert all(line.startswith("channel: the server sent") for line in lines)


async def test_a_report_that_fails_is_logged_and_breaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def report(_: MessageOdd) -> None:
        raise ZeroDivisionError

    oddities = Oddities(ThrottledLog(lambda: "channel", now), report)
    with caplog.at_level(logging.ERROR, "resilient_ws"):
        oddities.count("unexpected", "an answer")
    assert oddities.counts["unexpected"] == 1
    assert "report callable" in caplog.text
