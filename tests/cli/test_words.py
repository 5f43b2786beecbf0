"""What is written of messages and events."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from resilient_ws import (
    AttemptFailed,
    Close,
    ConnectionDropped,
    ConnectionLost,
    ConnectionOpened,
    Event,
    GaveUp,
    HandlerFailed,
    HandshakeRejected,
    InboxOverflowed,
    LoopLagged,
    PongReceived,
    ServerTerminated,
    SessionClosed,
    State,
    StateChanged,
)
from resilient_ws.cli.listen import Binary, one_line, shown
from resilient_ws.cli.words import as_json, in_words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("two\nlines", "two\\nlines"),
        ("\r\n", "\\r\\n"),
        ('{\n  "a": 1.10\n}', '{   "a": 1.10 }'),
        ('"a\\nb"', '"a\\nb"'),
        ("[" * 100_000 + "\n", "[" * 100_000 + "\\n"),
    ],
)
def test_a_message_is_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_binary_is_text() -> None:
    assert Binary.BASE64.encode(b"\x00\xff") == "AP8="
    assert Binary.HEX.encode(b"\x00\xff") == "00ff"


def test_a_server_cannot_steer_the_terminal() -> None:
    assert shown("a\x1b[2Jb\x9bc\u202e\td é") == "a\\x1b[2Jb\\x9bc\\u202e\td é"
    event = ServerTerminated(code=4000, reason="\x1b[2J\n", meaning="private use")
    line = in_words(event)
    assert line is not None
    assert line.isprintable()


def test_an_event_is_json() -> None:
    close = Close(code=4000, reason="so", initiator="peer", clean=True)
    lost = ConnectionLost("It went.", how="close", close=close, errno=104)
    event = ConnectionDropped(
        epoch=3, because=lost, close=close, uptime=1.5, clean=True, unconfirmed=2
    )
    told = json.loads(as_json(event, time=7.0))
    assert told["event"] == "ConnectionDropped"
    assert told["time"] == 7.0
    assert (told["epoch"], told["uptime"], told["unconfirmed"]) == (3, 1.5, 2)
    because = told["because"]
    assert (because["type"], because["message"]) == ("ConnectionLost", "It went.")
    assert (because["how"], because["errno"]) == ("close", 104)
    assert because["close"]["reason"] == told["close"]["reason"] == "so"


def test_what_a_refusal_repeats_is_not_told() -> None:
    refused = HandshakeRejected(
        "No.",
        status=401,
        headers={"retry-after": "7", "x-debug": "planted", "Server": "s"},
        body=b'{"your token": "planted"}',
    )
    gave_up = GaveUp("Gave up.", attempts=1, elapsed=0.0, history=(refused,))
    event = SessionClosed(failure=gave_up)
    told = as_json(event, time=0.0)
    assert "planted" not in told
    assert "cGxhbnRlZ" not in told  # its base64
    (first,) = json.loads(told)["failure"]["history"]
    assert (first["type"], first["status"], first["by"]) == (
        "HandshakeRejected",
        401,
        "server",
    )
    assert first["headers"] == {"retry-after": "7", "x-debug": "***", "Server": "s"}
    assert first["body_size"] == 25


def test_what_a_server_answers_with_is_not_told() -> None:
    event = ConnectionOpened(
        epoch=1,
        endpoint="ws://h/",
        extensions={},
        headers={"set-cookie": "planted", "server": "nginx"},
    )
    told = as_json(event, time=0.0)
    assert json.loads(told)["headers"] == {"set-cookie": "***", "server": "nginx"}


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
        line = in_words(event)
        assert line is not None
        assert line.isprintable()
        assert as_json(event, time=0.0).isprintable()


def test_a_stranger_s_exception_keeps_its_text_to_itself() -> None:
    event = HandlerFailed(handler="f", event="Event", because=KeyError("secret"))
    assert "secret" not in as_json(event, time=0.0)
    assert in_words(event) == "f failed: KeyError"


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
    assert in_words(event) == line
