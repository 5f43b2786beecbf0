"""What a pong confirms. (``test_liveness.py`` has when pings are due.)"""

from __future__ import annotations

from resilient_ws.policy.pings import Pings


def test_a_pong_confirms_what_was_written_before_its_ping() -> None:
    pings = Pings(b"ours")
    assert pings.passed == 0
    first = pings.next(1.0, written=3)
    second = pings.next(2.0, written=5)
    pings.next(3.0, written=9)
    assert pings.pong(b"theirs" + second, 4.0) is None
    assert pings.passed == 0
    assert pings.pong(second, 4.0) == 2.0
    assert (pings.passed, pings.confirmed) == (5, 2)
    # An older ping was answered with it.
    assert pings.pong(first, 5.0) is None
    assert (pings.passed, pings.confirmed) == (5, 2)


def test_a_pong_to_a_ping_that_was_forgotten_confirms_nothing() -> None:
    pings = Pings(max_pending=2)
    forgotten, *_ = [pings.next(0.0, written=n) for n in (1, 2, 3)]
    assert pings.pong(forgotten, 1.0) is None
    assert pings.passed == 0
