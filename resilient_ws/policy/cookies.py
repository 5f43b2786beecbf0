"""The cookies sent with a request.

Rules: the user's own cookies are sent as given, and replace those that a server has set
under the same names. The other cookies of servers follow, as the servers set them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def own_cookies(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the user's own cookies by name (RFC 6265, section 4.2.1)."""
    own: dict[str, str] = {}
    for header, value in headers:
        if header.lower() == "cookie":
            pairs = (item.partition("=") for item in value.split(";"))
            own.update((name.strip(), text.strip()) for name, _, text in pairs)
    return own


def with_cookies(
    headers: Sequence[tuple[str, str]], kept: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return the headers of a request, with all cookies in one ``Cookie`` header.

    Args:
        headers: The user's headers.
        kept: Name and value of each cookie that servers have set for this request.
    """
    own = [value for name, value in headers if name.lower() == "cookie" and value]
    taken = own_cookies(headers)
    items = [*own, *(f"{name}={value}" for name, value in kept if name not in taken)]
    others = [pair for pair in headers if pair[0].lower() != "cookie"]
    return [*others, ("Cookie", "; ".join(items))] if items else others
