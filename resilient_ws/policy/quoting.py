"""What of a server's answer may be quoted in an error.

Rules: a quotation is short and printable. It repeats no secret of the request, which a
server may send back, so every function here takes the secrets of the request.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote


if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilient_ws.policy.url import Endpoint


#: The most characters of text that are quoted, and the most bytes of anything else.
_MAX_CHARACTERS: Final = 60
_MAX_BYTES: Final = 16
#: A text repeats a secret if it shares this many consecutive characters with it.
_SHARED: Final = 6
#: A word of the request with fewer characters is not secret.
_SHORTEST_WORD: Final = 3

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


def secrets_of(
    endpoint: Endpoint, headers: Iterable[tuple[str, str]]
) -> tuple[str, ...]:
    """Return all parts of a request that may be secret."""
    values = [value for name, value in headers if name.lower() not in _NO_SECRETS]
    parts = [endpoint.target, endpoint.authorization or "", *values]
    return (*parts, *map(unquote, parts), *map(_decoded, parts))


def _decoded(value: str) -> str:
    """Return the user and the password in a ``Basic`` header, else nothing."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest).decode("latin-1")
    except ValueError:
        return ""


def quotation(first: bytes, secrets: Iterable[str]) -> str | None:
    """Return the first bytes of an answer as text, ``None`` if they may be secret.

    Args:
        first: The first bytes.
        secrets: The secret parts of the request, from ``secrets_of``.
    """
    line = re.split(rb"[\r\n]", first.lstrip(b"\r\n"), maxsplit=1)[0]
    text = line[:_MAX_CHARACTERS].decode("latin-1")
    if _PRINTABLE.fullmatch(text):
        return None if repeats(text, secrets) else repr(text)
    start = first[:_MAX_BYTES]
    if not start or repeats(start.decode("latin-1"), secrets):
        return None
    return f"in hex {start.hex(' ')}"


def repeats(text: str, secrets: Iterable[str]) -> bool:
    """Return whether a short text from a server repeats a part of the request.

    Args:
        text: The text.
        secrets: The secret parts of the request, from ``secrets_of``.
    """
    text = text.lower()
    pool = "\n".join(secrets).lower()
    if any(text[at : at + _SHARED] in pool for at in range(len(text) - _SHARED + 1)):
        return True
    words = re.split(r"[^0-9a-z]+", pool)
    return any(word in text for word in words if len(word) >= _SHORTEST_WORD)
