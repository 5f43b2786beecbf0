"""What of a request target may be shown.

Rules: of the query names only, for every value may be a secret. Of the path everything
but what looks like a key, because people tell endpoints apart by it. A key is *long*
and *unreadable*: 16 characters or more in pieces that are neither words nor numbers
(Infura, Alchemy, QuickNode, Slack, Telegram, listen keys, tokens in three parts). UUIDs
count as keys, for providers use them so. A path that looks like one is hidden in vain
now and then; that costs less than a key in a log. What is short, or all words, cannot
be told from a name: a password in a path is shown.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote


HIDDEN: Final = "***"
#: From so many unreadable characters on, a segment is a key.
LONG: Final = 16

#: What people read: ``orders``, ``v2``, ``user1234``; ``100ms``, ``20240131``;
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
    """Whether a segment of a path is long and unreadable."""
    plain = unquote(segment, errors="replace")
    if _UUID.search(plain):
        return True
    pieces = _PIECES.findall(plain)
    return sum(len(one) for one in pieces if not _READABLE.fullmatch(one)) >= LONG


def shown_target(target: str) -> str:
    """A request target without what may be a secret."""
    path, mark, query = target.partition("?")
    shown = "/".join(map(_shown_segment, path.split("/")))
    items = "&".join(map(_shown_item, query.split("&"))) if query else ""
    return f"{shown}{mark}{items}"


def _shown_segment(segment: str) -> str:
    if looks_like_key(segment):
        return HIDDEN
    # Parameters (RFC 3986, section 3.3) have names as well, as in ;jsessionid=1.
    return ";".join(
        _shown_item(item) if "=" in item else item for item in segment.split(";")
    )


def _shown_item(item: str) -> str:
    name, equals, value = item.partition("=")
    # A bare item may be a token as well as a name, and what ends in = is Base64.
    if not equals or (value and not value.strip("=")):
        return HIDDEN
    return f"{HIDDEN if looks_like_key(name) else name}={HIDDEN}"
