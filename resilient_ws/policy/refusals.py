"""What is kept of the headers of a refusal, of which there may be any number.

Rule: what decides about the next attempt is kept before all else, then as much as fits;
errors are remembered, and a history of them must stay small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


#: How many headers are kept, how many characters of each, and how many of all.
MAX_HEADERS: Final = 64
MAX_HEADER: Final = 1024
MAX_SIZE: Final = 8 * 1024

#: What the next attempt is timed by.
_FIRST: Final = ("retry-after", "date")
#: Secrets, or what may hold some.
_LEFT_OUT: Final = frozenset({"location", "set-cookie"})


def kept_headers(
    headers: Iterable[tuple[str, str]], *, left_out: Collection[str] = _LEFT_OUT
) -> dict[str, str]:
    """Return what is kept of an answer's headers, names in lower case.

    Args:
        headers: Names and values as they came; of repetitions the last counts.
        left_out: Names that are not kept.
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
