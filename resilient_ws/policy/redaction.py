"""Hide what may be secret in a request target.

Rules: only the names in a query are shown, because every value may be a secret. A path
is shown, because people tell endpoints apart by it, except segments that look like a
key. A key is *long* and *unreadable*: at least 16 characters in pieces that are neither
words nor numbers (Infura, Alchemy, QuickNode, Slack, Telegram, listen keys, tokens in
three parts). UUIDs count as keys, because providers use them as such. Some harmless
segments are hidden too, which costs less than a key in a log. A short password, or one
of plain words, looks like a name and is shown.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote


HIDDEN: Final = "***"
#: A segment with this many unreadable characters is a key.
LONG: Final = 16

#: Readable pieces: ``orders``, ``v2``, ``user1234``; ``100ms``, ``20240131``;
#: ``BTCUSDT``, ``T00000000``; ``getOpenOrders``, ``btcUSDT``.
_READABLE: Final = re.compile(
    r"[a-z]{1,24}\d{0,10}"
    r"|\d{1,20}[A-Za-z]{0,3}"
    r"|[A-Z]{1,12}\d{0,10}"
    r"|(?:[a-z]{1,24}|[A-Z]{1,4}[a-z]{3,24})(?:[A-Z]{1,4}[a-z]{3,24}){0,6}"
    r"(?:[A-Z]{1,6})?\d{0,4}"
)
_PIECES: Final = re.compile(r"[^\W_]+")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def looks_like_key(segment: str) -> bool:
    """Return whether a segment of a path is long and unreadable."""
    plain = unquote(segment, errors="replace")
    if _UUID.search(plain):
        return True
    pieces = _PIECES.findall(plain)
    return sum(len(one) for one in pieces if not _READABLE.fullmatch(one)) >= LONG


def shown_target(target: str) -> str:
    """Return a request target with everything hidden that may be secret."""
    path, mark, query = target.partition("?")
    shown = "/".join(map(_shown_segment, path.split("/")))
    items = "&".join(map(_shown_item, query.split("&"))) if query else ""
    return f"{shown}{mark}{items}"


def _shown_segment(segment: str) -> str:
    if looks_like_key(segment):
        return HIDDEN
    # Path parameters (RFC 3986, section 3.3) have names too, as in ;jsessionid=1.
    return ";".join(
        _shown_item(item) if "=" in item else item for item in segment.split(";")
    )


def _shown_item(item: str) -> str:
    name, equals, value = item.partition("=")
    # An item without a value may be a token, and one that ends in = may be Base64.
    if not equals or (value and not value.strip("=")):
        return HIDDEN
    return f"{HIDDEN if looks_like_key(name) else name}={HIDDEN}"
