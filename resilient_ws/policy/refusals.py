"""Bound the headers that are kept of a refusal.

Rule: the headers that time the next attempt are kept first, then as many others as fit.
A session remembers its last errors, so each must stay small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


#: The most headers kept, the most characters of each, and the most of all together.
MAX_HEADERS: Final = 64
MAX_HEADER: Final = 1024
MAX_SIZE: Final = 8 * 1024

#: The headers that time the next attempt.
_FIRST: Final = ("retry-after", "date")
#: Headers that are, or may hold, secrets.
_LEFT_OUT: Final = frozenset({"location", "set-cookie"})


def kept_headers(
    headers: Iterable[tuple[str, str]], *, left_out: Collection[str] = _LEFT_OUT
) -> dict[str, str]:
    """Return the headers of an answer that are kept, by their names in lower case.

    Args:
        headers: Names and values as received. The last of several values counts.
        left_out: Names of headers that are not kept.
    """
    found = {name.lower(): value for name, value in headers}
    order = [*(name for name in _FIRST if name in found), *found]
    kept: dict[str, str] = {}
    size = 0
    for name in dict.fromkeys(order):
        if name in left_out or len(name) > MAX_HEADER:
            continue
        value = found[name][: MAX_HEADER - len(name)]
        size += len(name) + len(value)
        if size > MAX_SIZE or len(kept) == MAX_HEADERS:
            break
        kept[name] = value
    return kept
