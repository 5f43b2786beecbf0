"""Which of our pings came back. (``test_liveness.py`` has when pings are due.)"""

from __future__ import annotations

import pytest

from resilient_ws.policy.pings import Pings


def test_a_pong_tells_the_latency_and_confirms_every_older_ping() -> None:
    pings = Pings()
    first, second, third = (pings.next(t) for t in (1.0, 2.0, 3.0))
    assert len({first, second, third}) == 3
    assert {len(first), len(second), len(third)} == {8}
    assert pings.newest == 3
    assert pings.pong(second, 2.5) == 0.5
    assert pings.confirmed == 2
    assert pings.pong(first, 2.6) is None
    assert pings.pong(second, 2.6) is None
    assert pings.pong(third, 4.0) == 1.0
    assert pings.confirmed == 3


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"\0" * 8, b"\xff" * 8, b"\0" * 8 + b"\1"]
)
def test_a_pong_that_is_not_ours_confirms_nothing(payload: bytes) -> None:
    pings = Pings()
    pings.next(1.0)
    assert pings.pong(payload, 2.0) is None
    assert pings.confirmed == 0


def test_a_mute_server_costs_bounded_memory() -> None:
    pings = Pings(max_pending=3)
    payloads = [pings.next(float(t)) for t in range(10)]
    assert pings.pong(payloads[6], 20) is None
    assert pings.pong(payloads[8], 20) == 12
    assert pings.confirmed == 9


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
