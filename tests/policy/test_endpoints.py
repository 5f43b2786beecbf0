"""Failing over between several URLs."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from resilient_ws.policy.endpoints import Round
from resilient_ws.policy.retry_delay import NO_EXTRA, RetryDelay


def test_each_failure_moves_on_and_the_wait_is_taken_once_per_round() -> None:
    members = Round("abc")
    steps = [(members.move_on(now=0), members.current) for _ in range(6)]
    assert steps == [(None, "b"), (None, "c"), (NO_EXTRA, "a")] * 2


def test_one_member_is_a_round_of_its_own() -> None:
    members = Round(["only"])
    asked = RetryDelay(5, "retry_after")
    assert members.move_on(asked, now=0) == asked
    assert members.move_on(now=0) == NO_EXTRA
    assert members.current == "only"


def test_extra_delays_wait_for_the_end_of_the_round_and_the_longest_counts() -> None:
    members = Round("abc")
    assert members.move_on(RetryDelay(30, "retry_after"), now=0) is None
    assert members.move_on(RetryDelay(5, "floor"), now=0) is None
    assert members.move_on(now=0) == RetryDelay(30, "retry_after")
    assert members.current == "a"


def test_a_dropped_member_leaves_and_nobody_left_is_the_end() -> None:
    members = Round("abc")
    assert (members.drop(now=0), members.current) == (None, "b")
    assert (members.move_on(now=0), members.current) == (None, "c")
    assert (members.drop(now=0), members.current) == (NO_EXTRA, "b")
    assert len(members) == 1
    assert members.drop(now=0) is None
    assert len(members) == 0


def test_who_rests_is_passed_over_and_holds_nobody_up() -> None:
    members = Round("abc")
    assert (members.rest(RetryDelay(60, "floor"), now=0), members.current) == (
        None,
        "b",
    )
    assert (members.move_on(now=1), members.current) == (None, "c")
    asked = RetryDelay(5, "floor")
    assert (members.move_on(asked, now=2), members.current) == (asked, "b")
    assert (members.move_on(now=59), members.current) == (None, "c")
    assert (members.move_on(now=60), members.current) == (NO_EXTRA, "a")


def test_where_all_rest_the_first_to_be_ready_is_waited_for() -> None:
    members = Round("ab")
    assert (members.rest(RetryDelay(60, "floor"), now=0), members.current) == (
        None,
        "b",
    )
    wait = members.rest(RetryDelay(100, "retry_after"), now=1)
    assert (wait, members.current) == (RetryDelay(59, "floor"), "a")
    wait = members.drop(now=65)
    assert (wait, members.current) == (RetryDelay(36, "retry_after"), "b")
    assert (members.move_on(now=101), members.current) == (NO_EXTRA, "b")


def step(members: Round[int], what: str, now: float) -> RetryDelay | None:
    """Leave the current member, in one of the three ways."""
    if what == "drop":
        return members.drop(now=now)
    delay = RetryDelay(60, "floor")
    return (members.rest if what == "rest" else members.move_on)(delay, now=now)


STEP = st.tuples(st.sampled_from(["move on", "drop", "rest"]), st.floats(0, 100))


@given(st.integers(1, 4), st.lists(STEP, max_size=40))
def test_nobody_is_dialled_before_its_rest_is_over(
    size: int, steps: list[tuple[str, float]]
) -> None:
    members = Round(range(size))
    now = 0.0
    until: dict[int, float] = {}
    for what, gap in steps:
        now += gap
        until[members.current] = now + 60 if what == "rest" else 0.0
        wait = step(members, what, now)
        if not members:
            return
        now += 0.0 if wait is None else wait.seconds
        assert now >= until.get(members.current, 0.0) - 1e-6


def test_the_current_member_is_the_one_of_the_last_step() -> None:
    members = Round("ab")
    assert members.current == "a"
    members.move_on(now=0)
    assert members.current == "b"


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="url must name at least one endpoint"):
        Round([])


@given(st.integers(1, 6), st.lists(st.booleans(), max_size=40))
def test_nobody_is_dialled_after_a_fatal_verdict(
    size: int, verdicts: list[bool]
) -> None:
    members = Round(range(size))
    gone: set[int] = set()
    for fatal in verdicts:
        if fatal:
            gone.add(members.current)
        step(members, "drop" if fatal else "move on", 0.0)
        if not members:
            assert len(gone) == size
            return
        assert members.current not in gone
