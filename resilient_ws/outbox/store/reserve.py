"""Disk space kept in reserve for when the disk is full.

Rules: SQLite writes every change to its log first, so deleting a message takes room as
well. A file beside the store reserves that room. It is removed when the disk is full,
and no message is accepted until the file is there again.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import StoreError
from resilient_ws.outbox.store import files


if TYPE_CHECKING:
    from pathlib import Path


#: Bytes: enough for the log's index, for pages in the log that the file has no room for
#: yet (``database.LOG_PAGES``), and for one more commit.
SIZE: Final = 1024 * 1024


class Reserve:
    """The reserve file beside one store."""

    def __init__(self, path: Path) -> None:
        self._path = files.beside(path, files.RESERVE)

    def check(self) -> None:
        """Raise ``StoreError`` if the file is something other than a reserve."""
        found = files.regular(self._path)
        if found is None:
            return
        if found.st_size <= SIZE:
            descriptor = os.open(self._path, os.O_RDONLY | files.STRAIGHT)
            with open(descriptor, "rb") as file:  # noqa: PTH123 - opened with care
                if not file.read(SIZE).strip(b"\0"):
                    return
        raise StoreError(
            f"{self._path} is not the reserve file of a store; it was left as it is. "
            "Move it away, or choose another path for the store."
        )

    def hold(self) -> None:
        """Create the file, unless it exists already.

        Raises:
            OSError: The disk has no room for it.
        """
        found = files.regular(self._path)
        if found is not None and found.st_size == SIZE:
            return
        flags = os.O_RDWR | os.O_CREAT | files.STRAIGHT
        descriptor = os.open(self._path, flags, 0o600)
        try:
            _fill(descriptor)
        except OSError:
            self.release()
            raise
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Remove the file, to free its room."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def _fill(descriptor: int) -> None:
    """Allocate the blocks of a file, not just its size."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, SIZE)
        except OSError as failure:
            if failure.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
        else:
            return
    with open(descriptor, "wb", closefd=False) as file:
        file.write(bytes(SIZE))
