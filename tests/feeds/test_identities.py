from __future__ import annotations

from resilient_ws.feeds.identities import Identities


def test_the_newest_are_known_and_no_more_than_the_window() -> None:
    known: Identities[str] = Identities(str.lower, window=3)
    assert [known.add(item) for item in "abAcd"] == [True, True, False, True, True]
    assert [known.has(item) for item in "ABCD"] == [False, True, True, True]
    for number in range(1000):
        known.add(str(number))
    assert len(known._known) == len(known._order) == 3
