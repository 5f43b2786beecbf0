"""What people are told of events."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, strategies as st

from resilient_ws import (
    AttemptFailed,
    Close,
    ConnectionDropped,
    ConnectionLost,
    ConnectionTimedOut,
    Event,
    HandlerFailed,
    InboxOverflowed,
    LoopLagged,
    PongReceived,
    RetryScheduled,
    ServerTerminated,
    State,
    StateChanged,
)
from resilient_ws.cli.event_json import event_json
from resilient_ws.cli.event_text import event_text
from resilient_ws.errors import TimeoutKind
from resilient_ws.events import RetrySource


@given(reason=st.text(max_size=40))
def test_whatever_a_server_says_is_one_line_that_can_be_seen(reason: str) -> None:
    close = Close(code=4000, reason=reason, initiator="peer", clean=True)
    lost = ConnectionLost(f"It said {reason}", how="close", close=close)
    for event in (
        ServerTerminated(code=4000, reason=reason, meaning="private use"),
        ConnectionDropped(
            epoch=1, because=lost, close=close, uptime=1.0, clean=True, unconfirmed=0
        ),
        AttemptFailed(attempt=1, endpoint="ws://h/", because=lost, elapsed=0.0),
    ):
        line = event_text(event)
        assert line is not None
        assert line.isprintable()
        assert event_json(event, time=0.0).isprintable()


def test_a_stranger_s_exception_keeps_its_text_to_itself() -> None:
    event = HandlerFailed(handler="f", event="Event", because=KeyError("secret"))
    assert "secret" not in event_json(event, time=0.0)
    assert event_text(event) == "f failed: KeyError"


def test_a_server_cannot_steer_the_terminal() -> None:
    event = ServerTerminated(code=4000, reason="\x1b[2J\n", meaning="private use")
    line = event_text(event)
    assert line is not None
    assert line.isprintable()


def test_every_reason_to_wait_is_told() -> None:
    told = {
        event_text(RetryScheduled(delay=1.0, attempt=2, because=None, source=source))
        for source in get_args(RetrySource)
    }
    assert len(told) == len(get_args(RetrySource))
    assert all(line and line.startswith("attempt 2 in 1.0 s") for line in told)


def test_every_timeout_is_told() -> None:
    told = {
        event_text(ConnectionTimedOut(kind=kind, after=1.0))
        for kind in get_args(TimeoutKind)
    }
    assert len(told) == len(get_args(TimeoutKind))
    assert "timed out: the --on-open messages were not sent within 1.0 s" in told


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (PongReceived(latency=0.1), None),
        (StateChanged(previous=State.IDLE, current=State.CONNECTING), None),
        (LoopLagged(by=0.25), "this process was held up for 0.2 s"),
        (
            InboxOverflowed(overflow="drop_oldest", discarded=1),
            "1 message discarded (drop_oldest)",
        ),
    ],
)
def test_a_person_is_told_what_matters(event: Event, line: str | None) -> None:
    assert event_text(event) == line
