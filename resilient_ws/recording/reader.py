"""Reads a recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from resilient_ws.recording.entries import VERSION, entry_of
from resilient_ws.recording.files import lines_of


if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from resilient_ws.recording.entries import Entry


def read(path: str | os.PathLike[str]) -> Iterator[Entry]:
    """Yield the entries of a recording, in order, as they are read.

    A back-test iterates over it in place of a session. The last line is left out if the
    recorder was killed while it wrote it.

    Args:
        path: The file. If its name ends with ``.zst``, zstandard is needed.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a recording, or is damaged; the message names the line.
    """
    path = Path(path)
    for number, line in lines_of(path):
        if number == 1:
            _check_first(path, line)
            continue
        try:
            yield entry_of(line)
        except ValueError as wrong:
            raise ValueError(f"{path}: line {number} is damaged: {wrong}") from None


def _check_first(path: Path, line: str) -> None:
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        first = None
    fields = cast("dict[str, object]", first) if isinstance(first, dict) else {}
    version = fields.get("recording")
    if version is None:
        raise ValueError(f"{path} is not a recording of a session")
    if version != VERSION:
        raise ValueError(f"{path} was written by a newer version: update resilient-ws")
