from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from resilient_ws.feeds.evm.log_filter import LogFilter


A, B = "0x" + "aa" * 20, "0x" + "bb" * 20
S, T, U = ("0x" + digit * 64 for digit in "123")


def test_what_the_node_gets() -> None:
    assert LogFilter().criteria() == {}
    assert LogFilter(address=A.upper().replace("0X", "0x")).criteria() == {
        "address": [A]
    }
    wanted = LogFilter(address=[A, B, A], topics=[S, None, [T, U]])
    assert wanted.criteria() == {"address": [A, B], "topics": [[S], None, [T, U]]}
    # A free position at the end means other things to other nodes.
    assert LogFilter(topics=[S, None, []]).criteria() == {"topics": [[S]]}
    assert LogFilter(topics=[None]) == LogFilter(topics=[]) == LogFilter()


@pytest.mark.parametrize(
    ("argument", "value", "error", "match"),
    [
        ("address", "0x12", ValueError, r"LogFilter\.address must be an address of 20"),
        ("address", A[2:], ValueError, "with 0x"),
        ("address", [A, S], ValueError, r"LogFilter\.address"),
        ("address", 12, TypeError, "a list of them, or None"),
        ("address", [12], TypeError, "not of type int"),
        ("address", b"1" * 20, TypeError, "as hex"),
        ("topics", S, TypeError, r"write topics=\[topic\]"),
        ("topics", [A], ValueError, r"LogFilter\.topics\[0\] must be a topic of 32"),
        ("topics", [S, [T, "0x"]], ValueError, r"LogFilter\.topics\[1\]"),
        ("topics", [S] * 5, ValueError, r"at most 4 positions, not 5"),
        ("topics", [{S: T}], TypeError, r"LogFilter\.topics\[0\]"),
        ("topics", {S}, TypeError, "a list with what is wanted at each position"),
        (
            "address",
            [f"0x{n:040x}" for n in range(1_001)],
            ValueError,
            "nodes take no more",
        ),
    ],
)
def test_a_wrong_filter_is_named_with_the_remedy(
    argument: str, value: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        LogFilter(**{argument: value})


TOPIC = st.sampled_from([S, T, U])
POSITION = st.none() | TOPIC | st.lists(TOPIC)


@given(
    st.none() | st.sampled_from([A, B]) | st.lists(st.sampled_from([A, B])),
    st.lists(POSITION, max_size=4),
    st.sampled_from([A, B]),
    st.lists(TOPIC, max_size=4),
)
def test_a_log_matches_as_the_specification_says(
    address: Any, wanted: list[Any], emitter: str, topics: list[str]
) -> None:
    matches = LogFilter(address=address, topics=wanted).matches(emitter, topics)
    addresses = [address] if isinstance(address, str) else address or [A, B]
    expected = emitter in addresses
    for at, each in enumerate(wanted):
        if each:
            fits = [each] if isinstance(each, str) else each
            expected = expected and at < len(topics) and topics[at] in fits
    assert matches == expected
