"""A file is used by one session at a time.

Rules: the lock is on a file beside the store, because a lock on the store itself would
be lost with any descriptor that this process closes on it. It belongs to an open file,
not to a process, so two sessions of one process exclude each other as well; it ends
with the process, however that ends. Only an empty file is taken for one, and only the
file that was locked is removed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import StoreError
from resilient_ws.outbox import files


if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


#: Others may make and remove it between two looks, but not for ever.
_ATTEMPTS: Final = 100


class FileLock:
    """Held from ``acquire`` to ``release``."""

    def __init__(self, path: Path) -> None:
        self._store = path
        self._path = files.beside(path, files.LOCK)
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock at once; that it is held already, changes nothing.

        Raises:
            StoreError: Another session has it, or what lies there is no lock.
            OSError: It cannot be made.
        """
        for _ in range(_ATTEMPTS):
            if self._descriptor is not None:
                return
            # What vanishes or appears between the look and the opening is looked at
            # again.
            with contextlib.suppress(FileExistsError):
                self._try()
        if self._descriptor is None:
            raise self._held()

    def _try(self) -> None:
        descriptor = self._open()
        try:
            _lock(descriptor)
            if self._is_current(descriptor):
                self._descriptor = descriptor
        except (BlockingIOError, PermissionError) as held:
            raise self._held() from held
        finally:
            if self._descriptor is None:
                os.close(descriptor)

    def _open(self) -> int:
        found = files.regular(self._path)
        if found is None:
            flags = os.O_CREAT | os.O_EXCL
        elif found.st_size:
            raise StoreError(
                f"{self._path} is not empty, so it is not the lock of a store; it was "
                "left as it is. Move it away, or choose another path for the store."
            )
        else:
            flags = 0
        return os.open(self._path, os.O_RDWR | files.STRAIGHT | flags, 0o600)

    def _held(self) -> StoreError:
        return StoreError(
            f"{self._store} is in use by another session, of this process or "
            "another; a store serves one session at a time."
        )

    def keep(self) -> None:
        """Take the lock again if its file was removed, as cleaners of folders do.

        Raises:
            StoreError: Another session has it by now.
            OSError: It cannot be made.
        """
        if self._descriptor is not None and not self._is_current(self._descriptor):
            os.close(self._descriptor)
            self._descriptor = None
        self.acquire()

    def release(self) -> None:
        """Give the lock back, and leave no file behind."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # While it is held, so that nobody's lock is on a file that is gone; where
            # an open file cannot be removed it stays, and does no harm.
            with contextlib.suppress(OSError):
                if self._is_current(descriptor):
                    self._path.unlink()
            os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        """Whether the locked file is still the one at the path."""
        ours = os.fstat(descriptor)
        return files.identity(self._path) == (ours.st_dev, ours.st_ino)
