"""What the sender says that it was told: one file for each of its lives.

A line is one ``write`` to a file opened with ``O_APPEND``. Once that returns, the kernel
has it and a SIGKILL takes nothing back, so no fsync is needed: power never fails here.
A line is torn only if the kill comes in the middle of that write; then it is the last.

Two gaps remain between a fact and its line, and the verdict has to allow for both:

- ``trying`` is written before ``send`` is called, ``accepted`` after it returned. A kill
  in between leaves a message of which the sender does not know: it may arrive, and may
  not, and nothing was promised. Every number with a line ``accepted`` was promised.
- With ``confirm="write"`` a loss is a fact a moment before its line. A kill in between
  leaves a message that is missing and not counted, as one in flight at the kill.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, TypeAlias


if TYPE_CHECKING:
    import pathlib

Entry: TypeAlias = dict[str, Any]


class Journal:
    """Writes lines that survive the process."""

    def __init__(self, path: pathlib.Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, event: str, **fields: object) -> None:
        """Append a line, stamped with the clock that processes share."""
        entry = {"event": event, "at": time.monotonic(), **fields}
        line = json.dumps(entry).encode() + b"\n"
        assert os.write(self._file, line) == len(line)


def read(path: pathlib.Path) -> list[Entry]:
    """The lines of one life, without one that the kill tore."""
    whole, _, _ = path.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]
