"""A file is used by one session at a time.

Rules: the lock is on a file beside the store, because a lock on the store itself would
be lost with any descriptor that this process closes on it. It belongs to an open file,
not to a process, so two sessions of one process exclude each other as well; it ends
with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from resilient_ws.errors import StoreError


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


class FileLock:
    """Held from ``acquire`` to ``release``."""

    def __init__(self, path: Path) -> None:
        self._store = path
        self._path = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise ``StoreError`` at once."""
        while self._descriptor is None:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                _lock(descriptor)
                if self._is_current(descriptor):
                    self._descriptor = descriptor
            except (BlockingIOError, PermissionError) as held:
                raise StoreError(
                    f"{self._store} is in use by another session, of this process or "
                    "another; a store serves one session at a time."
                ) from held
            finally:
                if self._descriptor is None:
                    os.close(descriptor)

    def release(self) -> None:
        """Give the lock back, and leave no file behind."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # While it is held, so that nobody's lock is on a file that is gone; where
            # an open file cannot be removed it stays, and does no harm.
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        """Whether the locked file is still the one at the path."""
        try:
            there = os.stat(self._path)  # noqa: PTH116 - beside the descriptor's
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(descriptor))
