"""What of a server's answer is quoted, and what never is."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, strategies as st

from resilient_ws.policy.quoting import quotation, secrets_of
from resilient_ws.policy.url import parse_endpoint


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\nmore", "'SSH-2.0-OpenSSH_9.2'"),
        (b"\r\n220 mail\r\n", "'220 mail'"),
        (b"x" * 100, "'" + "x" * 60 + "'"),
        (b"it's\r\n", '"it\'s"'),
        (b"\x15\x03\x01\x00\x02", "in hex 15 03 01 00 02"),
        (b"\x00" * 40, "in hex " + " ".join(["00"] * 16)),
        (b"\x1b[2Jcleared\r\n", "in hex 1b 5b 32 4a 63 6c 65 61 72 65 64 0d 0a"),
        ("caf\xe9\u202e".encode(), "in hex 63 61 66 c3 a9 e2 80 ae"),
        (b"", None),
        (b"\r\n\r\n", "in hex 0d 0a 0d 0a"),
    ],
)
def test_what_is_shown_is_short_and_printable(first: bytes, text: str | None) -> None:
    assert quotation(first, ()) == text


ENDPOINT = parse_endpoint("ws://user:pa%40ss@h/live/feed?token=s3cr%2Bet&pin=4711")
HEADERS = [
    ("X-Api-Key", "Key-0815"),
    ("Authorization", "Bearer eyJhbGci.abc"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Protocol", "chat, token.planted"),
    ("Upgrade", "websocket"),
]


@pytest.mark.parametrize(
    "first",
    [
        b"you said GET /live/feed?token=s3cr%2Bet",
        b"unknown command: s3cr+et",
        b"-ERR unknown 'KEY-0815'",
        b"pin 4711?",
        b"\x00\x104711\x00",
        b"no user pa@ss here",
        b"bad token dXNlcjpwYUBzcw==",
        b"no such thing: token.planted",
        b"Bearer eyJhbGci refused",
    ],
)
def test_nothing_of_our_own_request_is_quotation(first: bytes) -> None:
    assert quotation(first, secrets_of(ENDPOINT, HEADERS)) is None


def test_other_words_are_quotation() -> None:
    secrets = secrets_of(ENDPOINT, HEADERS)
    assert quotation(b"400 upgrade to websocket please", secrets) is not None
    assert quotation(b"SSH-2.0-OpenSSH_9.2", secrets) is not None


@given(st.binary(max_size=128), st.lists(st.text(max_size=20), max_size=4))
def test_any_bytes_give_short_printable_text(first: bytes, secrets: list[str]) -> None:
    text = quotation(first, secrets)
    if text is not None:
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= 128


@given(
    st.binary(max_size=64), st.text("abcdefABCDEF0123456789", min_size=6, max_size=40)
)
def test_a_secret_that_is_sent_back_is_never_quotation(
    before: bytes, secret: str
) -> None:
    endpoint = parse_endpoint("ws://h/")
    headers = [("Authorization", "Basic " + base64.b64encode(secret.encode()).decode())]
    text = quotation(before + secret.encode(), secrets_of(endpoint, headers))
    assert text is None or secret.lower() not in text.lower()
