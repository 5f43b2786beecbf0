"""Which request headers a user may set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from resilient_ws.policy._validate import require


_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: CR and LF would start a header of their own; the rest has no business there either.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")

_OF_THE_HANDSHAKE: Final = "it belongs to the handshake: leave it out"
_NO_BODY: Final = "a handshake has no body: leave it out"

#: Headers that are not the user's to set, and what to do instead.
_REFUSED: Final[Mapping[str, str]] = {
    "connection": _OF_THE_HANDSHAKE,
    "upgrade": _OF_THE_HANDSHAKE,
    "origin": "use the argument origin=",
    "sec-websocket-protocol": "use the argument subprotocols=",
    "sec-websocket-extensions": "use the argument compression=",
    "content-length": _NO_BODY,
    "transfer-encoding": _NO_BODY,
}


def check_headers(
    headers: Mapping[str, str], *, name: str = "headers"
) -> list[tuple[str, str]]:
    """Check what a user wants to send with the handshake, and list it.

    Values are never repeated in a message: they may be credentials.

    Args:
        headers: Names and values; a multi-mapping keeps its repetitions.
        name: What to call it in a message.

    Raises:
        TypeError: It is no mapping of ``str`` to ``str``.
        ValueError: A header that HTTP forbids, or that is not the user's to set.
    """
    require(headers, Mapping, name, "a mapping of str to str")
    return [_checked(key, value, name) for key, value in headers.items()]


def _checked(key: str, value: str, name: str) -> tuple[str, str]:
    require(key, str, f"Every name in {name}", "a str")
    if not _TOKEN.fullmatch(key):
        raise ValueError(
            f"{name} must have HTTP tokens for names (letters, digits, hyphens), "
            f"not {key!r}."
        )
    lower = key.lower()
    default = _OF_THE_HANDSHAKE if lower.startswith("sec-websocket-") else None
    remedy = _REFUSED.get(lower, default)
    if remedy is not None:
        raise ValueError(f"{name} must not set {key!r}; {remedy}.")
    require(value, str, f"{name}[{key!r}]", "a str")
    if _CONTROL.search(value):
        raise ValueError(
            f"{name}[{key!r}] must not contain CR, LF or another control character."
        )
    return key, value
