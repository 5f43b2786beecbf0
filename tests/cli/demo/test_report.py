"""The verdict of the demo finds a loss where there is one."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from resilient_ws import DeliveryState
from resilient_ws.cli.demo.report import (
    Evidence,
    InterruptionSeen,
    Received,
    Report,
    Sent,
    judge,
)
from resilient_ws.cli.demo.run import exit_code


WRITTEN = DeliveryState.WRITTEN

#: Epoch 1 carries 2 and 3 down and 1 to 3 up, then drops; epoch 2 the rest.
GOOD = Evidence(
    sent=[
        Sent(number=1),
        Sent(number=2, epochs=frozenset({1})),
        Sent(number=3, epochs=frozenset({1})),
        Sent(number=4, epochs=frozenset({1})),
        Sent(number=5),
        Sent(number=6, epochs=frozenset({2})),
    ],
    stream=[2, 3, InterruptionSeen(epoch=2), 6],
    accepted=dict.fromkeys(range(1, 6), WRITTEN),
    received=[
        Received(number=1, epoch=1),
        Received(number=2, epoch=1),
        Received(number=4, epoch=2),
        Received(number=5, epoch=2),
    ],
    unconfirmed={1: 2},
)


def judged(**changes: Any) -> Report:
    return judge(attrs.evolve(GOOD, **changes))


def test_what_is_reported_is_not_lost_in_silence() -> None:
    report = judge(GOOD)
    down, up = report.down, report.up
    assert (down.sent, down.received, down.missed, down.lost) == (5, 3, 1, 1)
    assert (up.accepted, up.delivered, up.in_flight) == (5, 4, 1)
    assert report.lost_in_silence == 0
    assert exit_code(report) == 0


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        # Down: no hole at all, a hole elsewhere, the last one missing.
        ({"stream": [2, 3, 6]}, 2),
        ({"stream": [2, InterruptionSeen(epoch=2), 3, 6]}, 2),
        ({"stream": [2, 3, InterruptionSeen(epoch=2)]}, 1),
        ({"stream": [3, InterruptionSeen(epoch=2), 6]}, 1),
        ({"stream": []}, 5),
        # Up: the drop did not count it; it was lost in the middle of a connection.
        ({"unconfirmed": {1: 0}}, 1),
        ({"unconfirmed": {}}, 1),
        ({"unconfirmed": {2: 5}}, 1),
        (
            {"received": [Received(number=n, epoch=1) for n in (1, 3, 4, 5)]},
            1,
        ),
        ({"received": [Received(number=n, epoch=2) for n in (1, 2, 4)]}, 2),
        # Still queued at the end, and nobody was told.
        ({"accepted": {**GOOD.accepted, 6: DeliveryState.QUEUED}}, 1),
    ],
)
def test_a_loss_that_nobody_was_told_of_is_found(
    changes: dict[str, Any], lost: int
) -> None:
    report = judged(**changes)
    assert report.lost_in_silence == lost
    assert exit_code(report) == 1


def test_a_number_sent_after_the_hole_is_not_excused_by_it() -> None:
    sent = [*GOOD.sent[:4], Sent(number=5, epochs=frozenset({2})), GOOD.sent[5]]
    assert judged(sent=sent).down.silent == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": [2, 3, 3, InterruptionSeen(epoch=2), 6]},
        {"received": [*GOOD.received, Received(number=5, epoch=2)]},
    ],
)
def test_what_came_twice_is_found(changes: dict[str, Any]) -> None:
    report = judged(**changes)
    assert report.lost_in_silence == 0
    assert exit_code(report) == 1


def test_what_a_delivery_owned_up_to_is_not_silent() -> None:
    accepted = {**GOOD.accepted, 6: DeliveryState.DROPPED}
    report = judged(accepted=accepted)
    assert report.up.refused == 1
    assert report.lost_in_silence == 0
