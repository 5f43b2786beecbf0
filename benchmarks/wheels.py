"""What the compiled part adds: to the size of a wheel, and to the lines there are.

``make packages`` builds the wheels into ``dist``, one with the compiled part and one
without.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs


if TYPE_CHECKING:
    from pathlib import Path

_COMMENT: Final = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


@attrs.frozen(kw_only=True)
class Weights:
    """The sizes of both wheels.

    Attributes:
        compiled: The bytes of the wheel with the compiled part.
        pure: The bytes of the wheel without it.
    """

    compiled: int
    pure: int


def weighed(compiled: Path, pure: Path) -> Weights:
    """Weigh a wheel with the compiled part, and one without."""
    return Weights(compiled=compiled.stat().st_size, pure=pure.stat().st_size)


def newest(folder: Path) -> Weights | None:
    """Weigh the newest of both in a folder; ``None`` if one is missing."""
    found = [
        max(folder.glob(pattern), key=lambda wheel: wheel.stat().st_mtime, default=None)
        for pattern in ("resilient_ws-*-abi3-*.whl", "resilient_ws-*-none-any.whl")
    ]
    compiled, pure = found
    return None if compiled is None or pure is None else weighed(compiled, pure)


def lines_of_c(source: Path) -> tuple[int, int]:
    """Return the lines of a source in C, and how many are neither blank nor comment."""
    text = source.read_text()
    code = [line for line in _COMMENT.sub("", text).splitlines() if line.strip()]
    return len(text.splitlines()), len(code)
