"""What programs are told of events."""

from __future__ import annotations

import json

from resilient_ws import (
    Close,
    ConnectionDropped,
    ConnectionLost,
    ConnectionOpened,
    GaveUp,
    HandshakeRejected,
    SessionClosed,
)
from resilient_ws.cli.event_json import event_json


def test_an_event_is_json() -> None:
    close = Close(code=4000, reason="so", initiator="peer", clean=True)
    lost = ConnectionLost("It went.", how="close", close=close, errno=104)
    event = ConnectionDropped(
        epoch=3, because=lost, close=close, uptime=1.5, clean=True, unconfirmed=2
    )
    told = json.loads(event_json(event, time=7.0))
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
    told = event_json(event, time=0.0)
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
    told = event_json(event, time=0.0)
    assert json.loads(told)["headers"] == {"set-cookie": "***", "server": "nginx"}
