"""What is kept of a refusal's headers is bounded, and is what is needed."""

from __future__ import annotations

from hypothesis import given, strategies as st

from resilient_ws.policy.refusals import (
    MAX_HEADER,
    MAX_HEADERS,
    MAX_SIZE,
    kept_headers,
)


def test_names_are_lower_case_and_secrets_left_out() -> None:
    found = [("Server", "x"), ("Set-Cookie", "id=1"), ("LOCATION", "/?t=1")]
    assert kept_headers(found) == {"server": "x"}


def test_the_last_of_a_name_counts() -> None:
    assert kept_headers([("A", "1"), ("a", "2")]) == {"a": "2"}


def test_what_times_the_next_attempt_is_kept_before_all_else() -> None:
    found = [(f"x-{number}", "y" * 2000) for number in range(2000)]
    kept = kept_headers([*found, ("Retry-After", "7"), ("Date", "today")])
    assert kept["retry-after"] == "7"
    assert kept["date"] == "today"
    assert len(kept["x-0"]) < MAX_HEADER


def test_a_name_that_is_too_long_is_left_out() -> None:
    assert kept_headers([("n" * 2000, "v"), ("a", "b")]) == {"a": "b"}


@given(
    st.lists(
        st.tuples(
            st.text("abcXYZ-", min_size=1, max_size=5).map(lambda n: n * 300),
            st.integers(0, 5000).map(lambda n: "v" * n),
        ),
        max_size=100,
    )
)
def test_it_is_bounded_whatever_comes(headers: list[tuple[str, str]]) -> None:
    kept = kept_headers(headers)
    assert len(kept) <= MAX_HEADERS
    assert sum(len(name) + len(value) for name, value in kept.items()) <= MAX_SIZE
    assert all(len(name) + len(value) <= MAX_HEADER for name, value in kept.items())
