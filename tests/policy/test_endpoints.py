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
