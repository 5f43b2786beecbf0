"""Resolve references by RFC 3986, section 5.2.2, and change nothing else in them.

The standard library's ``urljoin`` drops an empty query and empty parameters, which
breaks a signed URL.
"""

from __future__ import annotations

import re
from typing import Final


#: RFC 3986, appendix B.
_PARTS: Final = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(?:#.*)?"
)


def resolved(base: str, reference: str) -> str:
    """Return the URL that a reference leads to from an absolute URL with an authority.

    As in the RFC, dot segments are removed from the reference's own path, but not from
    an inherited one. The fragment is removed, too.
    """
    scheme, authority, path, query = _split(reference)
    if scheme is not None:
        front = f"{scheme}:" if authority is None else f"{scheme}://{authority}"
        return front + _without_dots(path) + (query or "")
    base_scheme, base_authority, base_path, base_query = _split(base)
    if authority is not None:
        return f"{base_scheme}://{authority}{_without_dots(path)}{query or ''}"
    if not path:
        path = base_path
        query = base_query if query is None else query
    else:
        if not path.startswith("/"):
            path = f"{base_path.rpartition('/')[0]}/{path}"
        path = _without_dots(path)
    return f"{base_scheme}://{base_authority}{path}{query or ''}"


def _split(url: str) -> tuple[str | None, str | None, str, str | None]:
    match = _PARTS.match(url)
    assert match is not None  # noqa: S101 - every part is optional, so it always matches
    return match[1], match[2], match[3], match[4]


def _without_dots(path: str) -> str:
    """Return a path without its dot segments (RFC 3986, section 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == ".." and len(kept) > 1:
            kept.pop()
        elif segment not in (".", ".."):
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)
