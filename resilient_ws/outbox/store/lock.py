"""The lock that lets one session at a time use a store.

Rules: the lock is on a file beside the store, because closing any descriptor of the
store in this process would release a lock on the store itself. The lock belongs to an
open file, not to a process, so two sessions of one process exclude each other as well.
It ends with the process, however that ends. Only an empty file is accepted as a lock
file, and only the file that was locked is removed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import StoreError
from resilient_ws.outbox.store import files


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


#: Other sessions may create and remove the file meanwhile, but not this many times.
_ATTEMPTS: Final = 100


class FileLock:
    """A lock, held from ``acquire`` to ``release``."""

    def __init__(self, path: Path) -> None:
        self._store = path
        self._path = files.beside(path, files.LOCK)
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting; do nothing if it is already held.

        Raises:
            StoreError: Another session holds it, or its file is not a lock file.
            OSError: The lock file cannot be created.
        """
        for _ in range(_ATTEMPTS):
            if self._descriptor is not None:
                return
            self._try()
        if self._descriptor is None:
            raise self._held()

    def _try(self) -> None:
        descriptor = self._open()
        if descriptor is None:
            return
        try:
            _lock(descriptor)
            if self._is_current(descriptor):
                self._descriptor = descriptor
        except (BlockingIOError, PermissionError) as held:
            raise self._held() from held
        finally:
            if self._descriptor is None:
                os.close(descriptor)

    def _open(self) -> int | None:
        """Open the file; return ``None`` if another session was quicker."""
        found = files.regular(self._path)
        if found is not None and found.st_size:
            raise StoreError(
                f"{self._path} is not empty, so it is not the lock of a store; it was "
                "left as it is. Move it away, or choose another path for the store."
            )
        flags = 0
        outrun: type[OSError] = FileNotFoundError
        if found is None:
            flags, outrun = os.O_CREAT | os.O_EXCL, FileExistsError
        # Another session may create or remove the file after the look at it.
        with contextlib.suppress(outrun):
            return os.open(self._path, os.O_RDWR | files.STRAIGHT | flags, 0o600)
        return None

    def _held(self) -> StoreError:
        return StoreError(
            f"{self._store} is in use by another session, in this process or "
            "another; a store serves one session at a time."
        )

    def keep(self) -> None:
        """Take the lock again if its file was removed, say by a cleaner of temp files.

        Raises:
            StoreError: Another session has taken it meanwhile.
            OSError: The lock file cannot be created.
        """
        if self._descriptor is not None and not self._is_current(self._descriptor):
            os.close(self._descriptor)
            self._descriptor = None
        self.acquire()

    def release(self) -> None:
        """Release the lock, and remove its file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Remove the file while the lock is held, so that nobody locks a removed
            # file. Where an open file cannot be removed it stays, and does no harm.
            with contextlib.suppress(OSError):
                if self._is_current(descriptor):
                    self._path.unlink()
            os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        """Whether the locked file is still the one at the path."""
        ours = os.fstat(descriptor)
        return files.identity(self._path) == (ours.st_dev, ours.st_ino)
