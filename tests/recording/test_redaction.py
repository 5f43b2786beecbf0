"""What is hidden in a recording, and what is not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from resilient_ws.recording.redaction import Redaction


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcDEF123-_x"

HIDDEN = [
    '{"op":"login","token":"PLANTED"}',
    '{"op": "auth", "apiKey" : "PLANTED", "n": 1}',
    '{"params":{"api_key":"PLANTED","secretKey":"PLANTED"}}',
    '{"password":"PLA\\"NTED PLANTED"}',
    '{"sign":"PLANTED","ts":1}',
    '{"passcode":12345678901}',
    '["login","' + JWT + '"]',
    '{"h":"Authorization: Bearer PLANTED_PLANTED"}',
    "CONNECT\nlogin:me\npasscode: PLANTED\n\n",
    "token=PLANTED&x=1",
]
KEPT = [
    '{"type":"trade","price":"64000.5","qty":"0.1"}',
    '{"text":"we sign the contract on friday"}',
    '{"e":"aggTrade","s":"BTCUSDT","p":"0.001"}',
    "ping",
    "",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_secrets_are_hidden(text: str) -> None:
    hidden = str(Redaction().of(text))
    for secret in ("PLANTED", JWT, "12345678901"):
        assert secret not in hidden
    assert "***" in hidden


@pytest.mark.parametrize("text", HIDDEN[:8])
def test_json_stays_json_of_the_same_shape(text: str) -> None:
    before, after = json.loads(text), json.loads(str(Redaction().of(text)))
    assert type(before) is type(after)
    assert list(before) == list(after) or isinstance(before, list)


@pytest.mark.parametrize("text", KEPT)
def test_the_rest_is_kept(text: str) -> None:
    assert Redaction().of(text) == text


def test_named_secrets_are_hidden_everywhere() -> None:
    redaction = Redaction(["hunter2", "hunter2000"])
    assert redaction.of("a hunter2000 b") == "a *** b"
    assert redaction.of(b"\x00hunter2\x01") == b"\x00***\x01"
    assert "hunter" not in repr(redaction)


def test_short_secrets_and_a_single_text_are_refused() -> None:
    with pytest.raises(ValueError, match="4 characters or more"):
        Redaction(["abc"])
    with pytest.raises(TypeError, match="must be several"):
        Redaction("hunter2")


@given(st.text(alphabet='"token:= \\{}[]eyJ.*a1', max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    assert isinstance(Redaction().of(text), str)


@pytest.mark.parametrize(
    "piece", ["token", '"token', '"token"', "eyJ", '"token": "\\', "a=", "Bearer "]
)
def test_long_hostile_texts_are_done_with(piece: str) -> None:
    # A pattern that took quadratic time would take minutes here.
    assert Redaction().of(piece * 200_000)
