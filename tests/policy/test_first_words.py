"""What is told of a server that speaks another protocol, and what never is."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, strategies as st

from resilient_ws.policy.first_words import is_http, protocol_of, shown, words_of
from resilient_ws.policy.url import parse_endpoint


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SSH"),
        (b"\x15\x03\x01\x00\x02\x02\x0a", "TLS alert"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "TLS alert"),
        (b"\x16\x03\x03\x00\x7a\x02", "TLS handshake"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80", "HTTP/2"),
        (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", "HTTP/2"),
        (
            b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
            "HTTP/2",
        ),
        (b"220 mail.example.com ESMTP Postfix\r\n", "SMTP"),
        (b"554 5.5.1 no SMTP for you\r\n", "SMTP"),
        (b"220 (vsFTPd 3.0.3)\r\n", "FTP"),
        (b"220-Welcome\r\n", "mail or an FTP"),
        (b"421 Too many connections\r\n", "mail or an FTP"),
        (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", "IMAP"),
        (b"+OK POP3 server ready <1@h>\r\n", "POP3"),
        (b"-ERR wrong number of arguments for 'get' command\r\n", "Redis"),
        (b"-DENIED Redis is running in protected mode\r\n", "Redis"),
        (b"-NOAUTH Authentication required.\r\n", "Redis"),
        (b"ERROR\r\nERROR\r\n", "memcached"),
        (b'INFO {"server_id":"N","max_payload":1048576}\r\n', "NATS"),
        (b"AMQP\x00\x00\x09\x01", "AMQP"),
        (b"\x20\x02\x00\x01", "MQTT"),
        (b"J\x00\x00\x00\x0a8.0.36\x00", "MySQL"),
        (b"E\x00\x00\x00\xffj\x04Host is not allowed", "MySQL"),
        (b"RFB 003.008\n", "VNC"),
        (b"RTSP/1.0 400 Bad Request\r\n", "media"),
        (b"ICY 200 OK\r\n", "media"),
        (b"\x05\xff", "SOCKS"),
        (b"\x00\x5b\x00\x00\x00\x00\x00\x00", "SOCKS"),
        (b"<!DOCTYPE html><html>", "page without HTTP"),
        (b"\r\n<html><body>Hello", "page without HTTP"),
        (b"GET /feed?token=x HTTP/1.1\r\nHost: h\r\n", "our own request"),
    ],
)
def test_another_protocol_is_known_by_its_first_bytes(first: bytes, name: str) -> None:
    found = protocol_of(first)
    assert found is not None
    assert name in found.name
    assert found.hint.endswith(".")


@pytest.mark.parametrize(
    "first", [b"", b"HTTP/1.1 101 ", b"hello", b"\x00", b"\xff" * 40, b"{}", b"22"]
)
def test_what_is_not_known_is_not_guessed(first: bytes) -> None:
    assert protocol_of(first) is None


@pytest.mark.parametrize(
    ("first", "is_one"),
    [
        (b"HTTP/1.1 101 Switching", True),
        (b"HTTP/1.0", True),
        (b"http/1.1 200", True),
        (b"HTT", True),
        (b"H", True),
        (b"", False),
        (b"HTTX", False),
        (b"HTTP-1.1", False),
        (b"SSH-2.0", False),
    ],
)
def test_the_beginning_of_http(first: bytes, *, is_one: bool) -> None:
    assert is_http(first) is is_one


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
    assert shown(first, ()) == text


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
def test_nothing_of_our_own_request_is_shown(first: bytes) -> None:
    assert shown(first, words_of(ENDPOINT, HEADERS)) is None


def test_other_words_are_shown() -> None:
    words = words_of(ENDPOINT, HEADERS)
    assert shown(b"400 upgrade to websocket please", words) is not None
    assert shown(b"SSH-2.0-OpenSSH_9.2", words) is not None


@given(st.binary(max_size=128), st.lists(st.text(max_size=20), max_size=4))
def test_any_bytes_give_short_printable_text(first: bytes, request: list[str]) -> None:
    text = shown(first, request)
    if text is not None:
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= 128
    protocol_of(first)


@given(
    st.binary(max_size=64), st.text("abcdefABCDEF0123456789", min_size=6, max_size=40)
)
def test_a_secret_that_is_sent_back_is_never_shown(before: bytes, secret: str) -> None:
    endpoint = parse_endpoint("ws://h/")
    headers = [("Authorization", "Basic " + base64.b64encode(secret.encode()).decode())]
    text = shown(before + secret.encode(), words_of(endpoint, headers))
    assert text is None or secret.lower() not in text.lower()
