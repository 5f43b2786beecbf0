"""Topic filters, by the examples and the rules of the standard."""

from __future__ import annotations

import zlib

import pytest

from resilient_ws.feeds.protocols.mqtt_topics import Filters, matches


@pytest.mark.parametrize(
    ("pattern", "topic", "takes"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "a/b", True),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("a/b", "a", False),
        ("a", "a/b", False),
        ("$share/group/a/+", "a/b", True),
        ("$share/group/a/+", "b/b", False),
    ],
)
def test_topic_filters_take_what_the_standard_says(
    pattern: str, topic: str, *, takes: bool
) -> None:
    assert matches(pattern, topic) is takes


def test_a_message_is_for_all_filters_that_take_it_or_those_that_the_broker_names() -> (
    None
):
    filters = Filters()
    numbers = {name: filters.add(name) for name in ("a/#", "a/+", "b")}
    assert filters.of("a/b") == ["a/#", "a/+"]
    assert filters.of("a/b", [numbers["a/+"]]) == ["a/+"]
    assert filters.of("a/b", [1]) == ["a/#", "a/+"]
    assert filters.of("c") == ["c"]
    filters.add("c")
    assert filters.of("c") == ["c"]


def test_a_filter_has_the_same_number_in_each_life_of_a_program() -> None:
    number = Filters().add("a/#")
    assert number == Filters().add("a/#") == zlib.crc32(b"a/#") % 0xFFFFFFF + 1


def test_the_topics_that_are_kept_are_bounded() -> None:
    filters = Filters()
    filters.add("a/+")
    for number in range(3000):
        assert filters.of(f"a/{number}") == ["a/+"]
    assert len(filters._known) <= 1024
