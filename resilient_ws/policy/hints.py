"""Remedies, in a sentence each, for what time alone does not heal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal


if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilient_ws.errors import Stage

_CREDENTIALS: Final = (
    "The server did not accept the credentials: give url or headers as a callable "
    "that returns fresh ones, and check what they may do."
)
_STATUS_HINTS: Final[Mapping[int, str]] = {
    200: "That is a web page, not a WebSocket endpoint: check the path.",
    400: "The server found the request malformed: check the URL and your headers.",
    401: _CREDENTIALS,
    403: _CREDENTIALS,
    404: "Nothing is served at this path: check the URL.",
    405: "This path does not take a GET, so it is no WebSocket: check the URL.",
    410: "This path is gone for good: ask the service for its new URL.",
    426: "The server wants another protocol: check the URL, and that TLS is used.",
}
_PROXY_HINTS: Final[Mapping[int, str]] = {
    407: "The proxy wants credentials: put user:password@ into the proxy URL."
}
_CLOSE_HINTS: Final[Mapping[int, str]] = {
    1002: "One side broke RFC 6455: check that the URL leads to a WebSocket server.",
    1003: "The server does not take this kind of data: send str for text and bytes "
    "for binary messages.",
    1007: "A message was not what it said to be, such as a text that is not UTF-8: "
    "send binary data as bytes.",
    1008: _CREDENTIALS,
    1009: "A message was too big: make your messages smaller, or, if the server's are "
    "the big ones, raise your max_message_size.",
    1010: "The server lacks an extension that it was expected to have: change "
    "compression.",
    3000: _CREDENTIALS,
    3003: _CREDENTIALS,
    4401: _CREDENTIALS,
    4403: _CREDENTIALS,
}
CERTIFICATE_HINT: Final = (
    "The server's certificate is not trusted: check the host name, its expiry and "
    "this machine's clock, or give ssl a context that trusts its issuer."
)


def status_hint(status: int, by: Literal["server", "proxy"]) -> str | None:
    """What to do about an HTTP status that came in place of a 101."""
    return (_PROXY_HINTS if by == "proxy" else _STATUS_HINTS).get(status)


def stage_hint(stage: Stage, where: str) -> str | None:
    """What to do about a dial that failed at a stage, on the way to a URL."""
    if stage == "certificate":
        return CERTIFICATE_HINT
    if stage == "tls":
        return "Check the port, and whether the server speaks TLS: ws:// is without."
    if stage == "handshake" and where.startswith("ws:"):
        return "Check the port, and whether the server speaks TLS: wss:// is with."
    return None


def close_hint(code: int) -> str | None:
    """What to do about a close code."""
    return _CLOSE_HINTS.get(code)
