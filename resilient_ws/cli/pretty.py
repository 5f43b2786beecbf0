"""Indents JSON for people, and leaves every number and string as it was sent."""

from __future__ import annotations

import json
import re
from typing import Final


_INDENT: Final = "  "
#: A string, a mark of its own, or a number or word.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]++')
_OPENING: Final = frozenset("{[")
_CLOSING: Final = frozenset("}]")


def pretty(text: str) -> str | None:
    """Return a JSON object or array on several lines, ``None`` if it is neither.

    The tokens stay as they are: reading numbers would change some of them.
    """
    if text.lstrip()[:1] not in _OPENING:
        return None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    made: list[str] = []
    depth = 0
    before = ""
    for token in _TOKEN.findall(text):
        if token in _CLOSING:
            depth -= 1
        is_empty = before in _OPENING and token in _CLOSING
        if before in _OPENING or token in _CLOSING or before == ",":
            made.append("" if is_empty else "\n" + _INDENT * depth)
        elif before == ":":
            made.append(" ")
        made.append(token)
        if token in _OPENING:
            depth += 1
        before = token
    return "".join(made)
