"""Which protocol a server speaks, by its first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from resilient_ws.policy.foreign_protocols import is_http, protocol_of


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


@given(st.binary(max_size=128))
def test_any_bytes_may_come(first: bytes) -> None:
    found = protocol_of(first)
    assert found is None or found.name
