"""Two holes with nothing between them are one."""

from __future__ import annotations

from hypothesis import given, strategies as st

from resilient_ws import ConnectionLost, Interruption


HOLE = st.builds(
    Interruption,
    cause=st.none() | st.builds(ConnectionLost, st.just("Lost."), how=st.just("close")),
    since=st.integers(0, 9),
    until=st.integers(0, 9),
    epoch=st.integers(1, 9),
    drops=st.integers(0, 3),
    discarded=st.integers(0, 3),
)


def test_a_merged_hole_lasts_from_first_to_last_and_counts_both() -> None:
    because = ConnectionLost("Lost.", how="close")
    earlier = Interruption(cause=because, since=1, until=4, epoch=2, drops=1)
    later = Interruption(cause=None, since=3, until=5, epoch=3, drops=2, discarded=6)
    assert earlier.merged(later) == Interruption(
        cause=because, since=1, until=5, epoch=3, drops=3, discarded=6
    )


def test_the_later_cause_is_the_one_that_is_named() -> None:
    first, second = (ConnectionLost(text, how="close") for text in ("A.", "B."))
    earlier = Interruption(cause=first, since=1, until=2, epoch=2, drops=1)
    later = Interruption(cause=second, since=2, until=3, epoch=3, drops=1)
    assert earlier.merged(later).cause is second


def test_a_hole_that_began_earlier_may_stand_later() -> None:
    # A full inbox discards messages behind a hole that was not read yet.
    discarded = Interruption(cause=None, since=7, until=7, epoch=1, discarded=1)
    drop = Interruption(cause=None, since=3, until=4, epoch=2, drops=1)
    hole = discarded.merged(drop)
    assert (hole.since, hole.until, hole.epoch) == (3, 7, 2)


@given(first=HOLE, second=HOLE, third=HOLE)
def test_it_does_not_matter_which_two_are_merged_first(
    first: Interruption, second: Interruption, third: Interruption
) -> None:
    assert first.merged(second).merged(third) == first.merged(second.merged(third))
