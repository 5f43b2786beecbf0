"""Recognises a server of another protocol by its first bytes, and says what to do."""

from __future__ import annotations

import re
from typing import Final

import attrs


#: How many of the first bytes of an answer are kept: enough to recognise a protocol.
FIRST_BYTES: Final = 128

_OTHER_PORT: Final = "Check the host and the port of the URL."


@attrs.frozen
class ForeignProtocol:
    """Another protocol, recognised by its first bytes.

    Attributes:
        first: Matches the first bytes.
        name: What the bytes are, to follow "answered the handshake with".
        hint: What to do about it.
    """

    first: re.Pattern[bytes]
    name: str
    hint: str = _OTHER_PORT


def _row(first: bytes, name: str, hint: str = _OTHER_PORT) -> ForeignProtocol:
    return ForeignProtocol(re.compile(first, re.DOTALL | re.IGNORECASE), name, hint)


_WITH_TLS: Final = "The server uses TLS on this port: use wss://."
_BARE_HTML: Final = (
    "Check the port and the path: a WebSocket server answers with HTTP/1.1."
)
#: The first match counts, so the more specific ones come first.
PROTOCOLS: Final = (
    _row(rb"SSH-", "the greeting of an SSH server"),
    _row(rb"\x15\x03[\x00-\x04]", "a TLS alert", _WITH_TLS),
    _row(rb"\x16\x03[\x00-\x04]", "a TLS handshake", _WITH_TLS),
    _row(
        rb"\x00[\x00-\x3f].[\x04\x07]\x00\x00\x00\x00\x00",
        "an HTTP/2 frame",
        "A WebSocket handshake needs HTTP/1.1: enable it on this port, or connect to a "
        "port that speaks it.",
    ),
    _row(rb"(220|421|554)[ -][^\n]*SMTP", "the greeting of a mail server (SMTP)"),
    _row(rb"(220|421)[ -][^\n]*FTP", "the greeting of an FTP server"),
    _row(rb"(220|421|554)[ -]", "the greeting of a mail or an FTP server"),
    _row(rb"\* (OK|BYE|PREAUTH)\b", "the greeting of a mail server (IMAP)"),
    _row(rb"\+OK [^\n]*(POP3|ready|<)", "the greeting of a mail server (POP3)"),
    _row(rb"(-(ERR|NOAUTH|DENIED|MISCONF|LOADING)|\+OK|\+PONG)", "a reply from Redis"),
    _row(rb"ERROR\r\n", "a reply from memcached"),
    _row(rb"INFO \{", "the greeting of a NATS server", "Dial its WebSocket port."),
    _row(rb"AMQP", "a reply from an AMQP broker", "Dial its WebSocket port."),
    _row(rb"\x20\x02\x00", "a reply from an MQTT broker", "Dial its WebSocket port."),
    _row(rb".{3}\x00(\x0a[5-91]|\xff)", "the greeting of a MySQL server"),
    _row(rb"RFB 00", "the greeting of a VNC server"),
    _row(rb"(RTSP|SIP|ICY|ICE)[/ ]", "a reply from a media server"),
    _row(
        rb"(\x05[\x00-\x02\xff]$|\x00[\x5a-\x5d])",
        "a reply from a SOCKS proxy",
        "Pass it as the proxy instead, as socks5://host:port.",
    ),
    _row(
        rb"\s*<(!doctype|html|\?xml|head|body)",
        "a page without HTTP headers",
        _BARE_HTML,
    ),
    _row(rb"GET [^\n]*", "our own request", "Check the port: its service only echoes."),
)
_HTTP: Final = re.compile(rb"HTTP/[0-9]", re.IGNORECASE)


def protocol_of(first: bytes) -> ForeignProtocol | None:
    """Return the protocol that starts with these bytes, ``None`` if unknown."""
    return next((row for row in PROTOCOLS if row.first.match(first)), None)


def is_http(first: bytes) -> bool:
    """Return whether an HTTP answer may begin with these bytes."""
    if len(first) < len(b"HTTP/1"):
        return bool(first) and b"HTTP/1".startswith(first.upper())
    return bool(_HTTP.match(first))
