"""Failing over between several URLs."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from resilient_ws.policy import Round, Turn


def test_each_failure_moves_on_and_the_wait_is_taken_once_per_round() -> None:
    members = Round("abc")
    turns = []
    for _ in range(6):
        turn = members.failed()
        assert turn is not None
        turns.append((turn.member, turn.wraps))
    assert turns == [("b", False), ("c", False), ("a", True)] * 2


def test_one_member_is_a_round_of_its_own() -> None:
    members = Round(["only"])
    turn = members.failed(floor=5, source="retry_after")
    assert turn == Turn(member="only", wraps=True, floor=5, source="retry_after")
    assert members.failed() == Turn(member="only", wraps=True)


def test_floors_wait_for_the_end_of_the_round_and_the_longest_counts() -> None:
    members = Round("abc")
    assert members.failed(floor=30, source="retry_after") == Turn(
        member="b", wraps=False
    )
    assert members.failed(floor=5) == Turn(member="c", wraps=False)
    assert members.failed() == Turn(
        member="a", wraps=True, floor=30, source="retry_after"
    )


def test_a_fatal_member_leaves_and_nobody_left_is_the_end() -> None:
    members = Round("abc")
    assert members.failed(fatal=True) == Turn(member="b", wraps=False)
    assert members.failed() == Turn(member="c", wraps=False)
    assert members.failed(fatal=True) == Turn(member="b", wraps=True)
    assert members.size == 1
    assert members.failed(fatal=True) is None


def test_who_rests_is_passed_over_and_holds_nobody_up() -> None:
    members = Round("abc")
    assert members.failed(floor=60, rests=True, now=0) == Turn(member="b", wraps=False)
    assert members.failed(now=1) == Turn(member="c", wraps=False)
    assert members.failed(floor=5, now=2) == Turn(
        member="b", wraps=True, floor=5, source="floor"
    )
    assert members.failed(now=59) == Turn(member="c", wraps=False)
    assert members.failed(now=60) == Turn(member="a", wraps=True)


def test_where_all_rest_the_first_to_be_ready_is_waited_for() -> None:
    members = Round("ab")
    assert members.failed(floor=60, rests=True, now=0) == Turn(member="b", wraps=False)
    assert members.failed(floor=100, source="retry_after", rests=True, now=1) == Turn(
        member="a", wraps=True, floor=59, source="floor"
    )
    assert members.failed(fatal=True, now=65) == Turn(
        member="b", wraps=True, floor=36, source="retry_after"
    )
    assert members.failed(now=101) == Turn(member="b", wraps=True)


STEP = st.tuples(st.sampled_from(["retry", "fatal", "rests"]), st.floats(0, 100))


@given(st.integers(1, 4), st.lists(STEP, max_size=40))
def test_nobody_is_dialled_before_its_rest_is_over(
    size: int, steps: list[tuple[str, float]]
) -> None:
    members = Round(range(size))
    now = 0.0
    until: dict[int, float] = {}
    for what, gap in steps:
        now += gap
        until[members.current] = now + 60 if what == "rests" else 0.0
        turn = members.failed(
            fatal=what == "fatal", floor=60, rests=what == "rests", now=now
        )
        if turn is None:
            return
        now += turn.floor
        assert now >= until.get(turn.member, 0.0) - 1e-6


def test_the_current_member_is_the_one_of_the_last_turn() -> None:
    members = Round("ab")
    assert members.current == "a"
    members.failed()
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
        turn = members.failed(fatal=fatal)
        if turn is None:
            assert len(gone) == size
            return
        assert turn.member == members.current
        assert turn.member not in gone
