"""What both sides agree on: the hash of a book, for the judge."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Mapping


def hash_of(levels: Mapping[str, int]) -> int:
    """A number that two books share only if they are equal, or nearly so."""
    return zlib.crc32(repr(sorted(levels.items())).encode())
