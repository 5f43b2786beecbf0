from __future__ import annotations

import pytest

from resilient_ws import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionLost,
    ConnectionOpened,
    ConnectionReplaced,
    ConnectionStable,
    Event,
    LoopLagged,
    PongReceived,
)
from resilient_ws.instruments.durations import TELLING, durations_of
from resilient_ws.instruments.metrics import TOLD


RESET = ConnectionLost("gone", how="reset")

TABLE: list[tuple[Event, list[tuple[str, float, tuple[str, ...]]]]] = [
    (PongReceived(latency=0.02, count=3), [("ping.duration", 0.02, ())]),
    (
        AttemptFailed(attempt=1, endpoint="ws://a/", because=RESET, elapsed=2),
        [("attempt.duration", 2, ("reset",))],
    ),
    (
        ConnectionOpened(epoch=1, endpoint="ws://a/", extensions={}, elapsed=0.5),
        [("attempt.duration", 0.5, ("",))],
    ),
    (
        ConnectionOpened(
            epoch=2, endpoint="ws://a/", extensions={}, elapsed=0.5, resumed_after=9
        ),
        [("attempt.duration", 0.5, ("",)), ("outage.duration", 9, ())],
    ),
    (
        ConnectionDropped(
            epoch=1, because=RESET, close=None, uptime=60, clean=False, unconfirmed=0
        ),
        [("connection.duration", 60, ("reset",))],
    ),
    (
        ConnectionReplaced(epoch=1, reason="old", close=None, uptime=60),
        [("connection.duration", 60, ("",))],
    ),
    (LoopLagged(by=3, count=2), [("loop.lag", 3, ())]),
    (ConnectionStable(epoch=1), []),
]


@pytest.mark.parametrize(("event", "told"), TABLE)
def test_an_event_tells_durations(
    event: Event, told: list[tuple[str, float, tuple[str, ...]]]
) -> None:
    found = durations_of(event)
    assert [(m.name.removeprefix("resilient_ws."), v, own) for m, v, own in found] == (
        told
    )
    assert all(len(own) == len(metric.attributes) for metric, _, own in found)


def test_every_histogram_has_an_event_and_every_event_is_asked_for() -> None:
    filled = {metric for event, _ in TABLE for metric, _, _ in durations_of(event)}
    assert filled == set(TOLD)
    assert {type(event) for event, told in TABLE if told} == set(TELLING)
