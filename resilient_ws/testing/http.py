"""The opening handshake (RFC 9112; RFC 6455, section 4): parse, judge and answer it.

This module shares no code with the library's own handshake, so that a mistake in one
cannot hide in the other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self

import attrs

from resilient_ws.testing.frames import Misconduct


if TYPE_CHECKING:
    from collections.abc import Mapping

END_OF_HEAD: Final = b"\r\n\r\n"

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_SIZE: Final = 16
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
#: Headers that must not be repeated: two values would contradict each other.
_ONCE: Final = ("host", "sec-websocket-key", "sec-websocket-version")


@attrs.frozen
class Request:
    """The head of an HTTP request."""

    method: str
    path: str
    version: str
    #: Values by name in lower case. Repeated headers are joined with commas.
    headers: dict[str, str]

    @classmethod
    def parse(cls, head: bytes) -> Self:
        """Parse the head of a request.

        Raises:
            Misconduct: It is not HTTP.
        """
        first, *lines = head.decode("latin-1").split("\r\n")
        try:
            method, path, version = first.split(" ")
        except ValueError:
            raise Misconduct(
                f"began with {first!r}, which is not a request line"
            ) from None
        headers: dict[str, str] = {}
        for line in lines:
            field = _FIELD.fullmatch(line)
            if field is None:
                raise Misconduct(f"sent {line!r}, which is not a header field")
            name, value = field[1].lower(), field[2]
            if name in headers and name in _ONCE:
                raise Misconduct(f"sent the header {field[1]} twice")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return cls(method, path, version, headers)

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers, in its order of preference."""
        return self.tokens("sec-websocket-protocol")

    def tokens(self, name: str) -> list[str]:
        """Return the items of a header that is a list."""
        parts = (part.strip() for part in self.headers.get(name, "").split(","))
        return [part for part in parts if part]

    def check(self) -> None:
        """Judge the request by RFC 6455, section 4.1.

        Raises:
            Misconduct: It is not an opening handshake.
        """
        if self.method != "GET" or not re.fullmatch(r"HTTP/1\.[1-9]", self.version):
            raise Misconduct(
                f"asked with {self.method} and {self.version};"
                " it must be GET and HTTP/1.1"
            )
        if not self.path.startswith("/") or "#" in self.path:
            raise Misconduct(f"asked for {self.path!r}, which is not a path")
        if not self.headers.get("host"):
            raise Misconduct("sent no Host header")
        for name, token in (("Upgrade", "websocket"), ("Connection", "upgrade")):
            if token not in map(str.lower, self.tokens(name.lower())):
                raise Misconduct(f"sent no {name} header that says {token!r}")
        if self.headers.get("sec-websocket-version") != "13":
            raise Misconduct("sent no Sec-WebSocket-Version of 13")
        if {"content-length", "transfer-encoding"} & self.headers.keys():
            raise Misconduct("announced a body with its handshake")
        if len(set(self.subprotocols)) < len(self.subprotocols):
            raise Misconduct("offered a subprotocol twice")
        self._check_key()

    def _check_key(self) -> None:
        key = self.headers.get("sec-websocket-key", "")
        try:
            size = len(base64.b64decode(key, validate=True))
        except binascii.Error:
            size = 0
        if size != _KEY_SIZE:
            raise Misconduct(f"sent {key!r}, which is not a Sec-WebSocket-Key")

    def accept_token(self) -> str:
        """Return the value that ``Sec-WebSocket-Accept`` must have."""
        key = self.headers.get("sec-websocket-key", "").encode("latin-1")
        return base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()  # noqa: S324 - as the RFC says


def response(status: int, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a response with these headers and no others."""
    lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def rejection(
    status: int,
    retry_after: int | str | None,
    headers: Mapping[str, str] | None,
    body: bytes,
) -> bytes:
    """Return a response that refuses a handshake and announces the end."""
    fields = {"Content-Length": str(len(body)), "Connection": "close"}
    if retry_after is not None:
        fields["Retry-After"] = str(retry_after)
    return response(status, {**fields, **(headers or {})}, body)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
