from __future__ import annotations

import re
from typing import Final

import attrs
import pytest
from opentelemetry.semconv.attributes import error_attributes, server_attributes

from benchmarks.instruments.page import PAGE, written
from resilient_ws import State, Statistics
from resilient_ws.feeds import ChannelStatistics
from resilient_ws.instruments import METRICS, Kind, Metric
from resilient_ws.instruments.metric import ERROR_TYPE, WHERE, Snapshot
from resilient_ws.instruments.metrics import READ


#: Fields that no metric shows, and why.
NOT_SHOWN: Final = {
    "opened_at": "a time, from which the age of a connection could be had",
    "last_message_at": "silence.age is made of it",
}


def numbers(kind: type[Statistics | ChannelStatistics]) -> dict[str, int]:
    """Return a different number for each field."""
    names = [field.name for field in attrs.fields(kind)]
    start = 101 if kind is Statistics else 201
    return {name: place for place, name in enumerate(names, start=start)}


SESSION: Final = numbers(Statistics)
FEED: Final = numbers(ChannelStatistics)
SNAPSHOT: Final = Snapshot(
    state=State.OPEN,
    error_type="",
    session=Statistics(**SESSION),
    feed=ChannelStatistics(**FEED),
)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_and_units_follow_the_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"resilient_ws(\.[a-z]+(_[a-z]+)*)+", metric.name)
    assert re.fullmatch(r"s|By|\{[a-z]+\}", metric.unit)
    # "Counters SHOULD NOT append _total"; and no unit in a name that has one.
    assert not re.search("total|seconds|bytes", metric.name)
    assert metric.summary.endswith(".")
    for attribute in metric.attributes:
        ours = attribute.startswith("resilient_ws.")
        assert ours or attribute in {ERROR_TYPE, "network.io.direction"}


def test_registered_attributes_are_called_as_they_are_registered() -> None:
    assert ERROR_TYPE == error_attributes.ERROR_TYPE
    assert WHERE[1:] == (
        server_attributes.SERVER_ADDRESS,
        server_attributes.SERVER_PORT,
    )


def test_no_two_metrics_have_a_name() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert len({metric.prometheus_name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", READ, ids=lambda metric: metric.name)
def test_a_metric_reads_what_its_source_says(metric: Metric) -> None:
    owner, *fields = re.findall(r"\w+", metric.source)
    values = list(metric.values(SNAPSHOT))
    if owner == "Session":
        assert values == [(1, ("open", ""))]
        return
    known = SESSION if owner == "Statistics" else FEED
    assert [value for value, _ in values] == [known[field] for field in fields]
    for _, own in values:
        assert len(own) == len(metric.attributes)


def test_all_that_is_counted_is_shown() -> None:
    shown = {value for metric in READ for value, _ in metric.values(SNAPSHOT)} - {1}
    left = {name for name, number in SESSION.items() if number not in shown}
    assert left == set(NOT_SHOWN)
    feeds = {
        value
        for metric in READ
        if metric.name.startswith("resilient_ws.feed.")
        for value, _ in metric.values(SNAPSHOT)
    }
    assert feeds == set(FEED.values())


def test_a_session_without_a_channel_has_no_metrics_of_feeds() -> None:
    bare = attrs.evolve(SNAPSHOT, feed=None)
    for metric in READ:
        is_of_feed = metric.name.startswith("resilient_ws.feed.")
        assert bool(list(metric.values(bare))) is not is_of_feed


def test_a_histogram_has_bounds_and_nothing_else_has() -> None:
    for metric in METRICS:
        assert bool(metric.buckets) is (metric.kind is Kind.HISTOGRAM)
        assert list(metric.buckets) == sorted(set(metric.buckets))


def test_the_tables_of_the_page_are_made_of_ours() -> None:
    text = PAGE.read_text()
    assert written(text, None) == text, "make bench-instruments ARGS=--table"
