"""Recognise a server of another protocol by its first bytes, and say what to do.

Rules: the text shown is short and printable. It repeats nothing of the request, which
holds secrets that a server may send back; so every function that shows something takes
the words of the request.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import attrs


if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilient_ws.policy.url import Endpoint


#: How many of the first bytes are kept, and how many of them are shown.
KEPT: Final = 128
_SHOWN: Final = 60
_SHOWN_AS_HEX: Final = 16
#: Text is not shown if it shares this many consecutive characters with the request.
_WINDOW: Final = 6
#: A word of the request that is shorter than this is not secret.
_SHORTEST: Final = 3

#: Headers of every handshake, without secrets. Other protocols may use their words.
_NO_SECRETS: Final = frozenset(
    {
        "connection",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-version",
        "upgrade",
    }
)

_PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")
_OTHER_PORT: Final = "Check the host and the port of the URL."


@attrs.frozen
class Protocol:
    """Another protocol, recognised by its first bytes.

    Attributes:
        name: What the bytes are, to follow "answered the handshake with".
        hint: What to do about it.
    """

    first: re.Pattern[bytes]
    name: str
    hint: str = _OTHER_PORT


def _row(first: bytes, name: str, hint: str = _OTHER_PORT) -> Protocol:
    return Protocol(re.compile(first, re.DOTALL | re.IGNORECASE), name, hint)


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


def protocol_of(first: bytes) -> Protocol | None:
    """Return the protocol that starts with these bytes, ``None`` if unknown."""
    return next((row for row in PROTOCOLS if row.first.match(first)), None)


def is_http(first: bytes) -> bool:
    """Return whether an HTTP answer may begin with these bytes."""
    if len(first) < len(b"HTTP/1"):
        return bool(first) and b"HTTP/1".startswith(first.upper())
    return bool(_HTTP.match(first))


def shown(first: bytes, request: Iterable[str]) -> str | None:
    """Return the first bytes as text to show, ``None`` if they may hold a secret.

    Args:
        first: The first bytes of the answer.
        request: The secret parts of the request, from ``words_of``.
    """
    line = re.split(rb"[\r\n]", first.lstrip(b"\r\n"), maxsplit=1)[0][:_SHOWN]
    text = line.decode("latin-1")
    if _PRINTABLE.fullmatch(text):
        return None if repeats(text, request) else repr(text)
    start = first[:_SHOWN_AS_HEX]
    if not start or repeats(start.decode("latin-1"), request):
        return None
    return f"in hex {start.hex(' ')}"


def words_of(endpoint: Endpoint, headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return all parts of a request that may be secret."""
    values = [value for name, value in headers if name.lower() not in _NO_SECRETS]
    words = [endpoint.target, endpoint.authorization or "", *values]
    return (*words, *map(unquote, words), *map(_decoded, words))


def _decoded(value: str) -> str:
    """Return the user and the password in a ``Basic`` header."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest).decode("latin-1")
    except ValueError:
        return ""


def repeats(text: str, request: Iterable[str]) -> bool:
    """Return whether a short text repeats a part of the request.

    Args:
        text: Text from a server.
        request: The secret parts of the request, from ``words_of``.
    """
    text = text.lower()
    pool = "\n".join(request).lower()
    if any(text[at : at + _WINDOW] in pool for at in range(len(text) - _WINDOW + 1)):
        return True
    words = re.split(r"[^0-9a-z]+", pool)
    return any(word in text for word in words if len(word) >= _SHORTEST)
