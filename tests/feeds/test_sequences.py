"""Ten seconds of ``python -m tests.feeds.sequences``, against a server that is killed."""

from __future__ import annotations

import pytest

from tests.feeds.sequences.run import Run


@pytest.mark.wire
async def test_no_book_is_wrong_and_none_disturbs_another() -> None:
    report = await Run(seed=14, seconds=10, keys=1000, rate=500).run()
    assert report.violations == []
    # It was put to the test: every kind of harm was done, and books were lost.
    assert set(report.hurt) == {"lost", "repeated", "swapped", "restarted"}
    assert set(report.faults) == {"kill", "black hole", "reset"}
    assert report.applied > 0
    assert report.resyncs > 0
    assert report.repeats > 0
