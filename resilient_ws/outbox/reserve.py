"""Room on the disk that is kept for the day when there is none.

Rules: to let go of a message takes room as well, for SQLite writes what changes to its
log first. So a file beside the store holds room for that; it is given up when the disk
is full, and no message is accepted until it is there again.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import StoreError
from resilient_ws.outbox import files


if TYPE_CHECKING:
    from pathlib import Path


#: Bytes: for the log's index, for what the log may hold that the file itself has no
#: room for yet (``database.LOG_PAGES``), and for one commit more.
SIZE: Final = 1024 * 1024


class Reserve:
    """The room beside one store."""

    def __init__(self, path: Path) -> None:
        self._path = files.beside(path, files.RESERVE)

    def check(self) -> None:
        """Raise ``StoreError`` if something else lies under its name."""
        found = files.regular(self._path)
        if found is None:
            return
        if found.st_size <= SIZE:
            descriptor = os.open(self._path, os.O_RDONLY | files.STRAIGHT)
            with open(descriptor, "rb") as file:  # noqa: PTH123 - opened with care
                if not file.read(SIZE).strip(b"\0"):
                    return
        raise StoreError(
            f"{self._path} is not what a store keeps there; it was left as it is. Move "
            "it away, or choose another path for the store."
        )

    def hold(self) -> None:
        """Take the room, unless it is taken.

        Raises:
            OSError: There is none.
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
        """Give the room up."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def _fill(descriptor: int) -> None:
    """Have the file system give a file its room, not the promise of it."""
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
