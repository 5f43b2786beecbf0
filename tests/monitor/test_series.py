from __future__ import annotations

import math

import pytest

from resilient_ws.monitor.series import LENGTH, SPANS, Sample, Series, merged


def sample(at: float = 1.0, **fields: float) -> Sample:
    nothing = dict.fromkeys(Sample._fields, 0.0)
    return Sample(**{**nothing, "at": at, "seconds": 1.0, **fields})


def test_a_rate_is_merged_to_its_mean_and_a_depth_to_its_worst() -> None:
    one = merged(
        [
            sample(1, seconds=1.0, received=10, inbox=5, latency=0.1, gaps=1),
            sample(4, seconds=3.0, received=2, inbox=1, latency=math.nan, gaps=2),
        ]
    )
    assert (one.at, one.seconds) == (4, 4)
    assert one.received == 4
    assert one.inbox == 5
    assert one.latency == 0.1
    assert one.gaps == 3


def test_what_was_not_running_does_not_count_as_open_or_down() -> None:
    one = merged([sample(1, down=math.nan), sample(2, down=1.0)])
    assert one.down == 1.0
    assert math.isnan(merged([sample(down=math.nan)]).down)
    assert math.isnan(merged([sample(latency=math.nan)]).latency)


def test_a_longer_span_is_made_of_the_one_before() -> None:
    series = Series()
    for at in range(15 * 48):
        series.add(sample(at, sent=at, outbox=at))

    (day,) = series.samples("24h")
    assert day.sent == pytest.approx((15 * 48 - 1) / 2)
    assert day.outbox == 15 * 48 - 1
    assert len(series.samples("30m")) == 48
    assert [one.at for one in series.samples("2m")] == list(range(600, 720))


def test_nothing_grows_beyond_its_length() -> None:
    series = Series()
    for at in range(15 * 48 * (LENGTH + 2)):
        series.add(sample(at))
    for span in SPANS:
        assert len(series.samples(span)) == len(series.strip(span)) == LENGTH


def test_the_strip_tells_each_sample_by_a_letter() -> None:
    series = Series()
    for down in (0.0, 0.2, 0.5, 1.0, math.nan):
        series.add(sample(down=down))
    assert series.strip("2m") == "opddx"
