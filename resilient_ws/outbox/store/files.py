"""The files of a store: the checks before a session uses them, the lock, the reserve.

Rules: only a regular file is ever opened; a device, a FIFO or a link beside the store
is refused after ``lstat``, unopened. Only this process's user (and root) may be able to
write to the files that a session uses. A file that has a name the store needs, but does
not belong to a store, is left as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from typing import Final, TypeAlias

from resilient_ws.errors import StoreError


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


#: Endings of the files beside the store: SQLite's write-ahead log and the index to it,
#: the journal that SQLite keeps in another mode, and our lock and reserve.
LOG: Final = "-wal"
INDEX: Final = "-shm"
JOURNAL: Final = "-journal"
LOCK: Final = ".lock"
RESERVE: Final = "-reserve"

#: Device and inode: the same file whatever its name.
Identity: TypeAlias = tuple[int, int]

_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_POSIX: Final = os.name == "posix"
#: Flags to open a file without following a link or waiting for the end of a FIFO.
SAFE_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

#: Other sessions may create and remove the lock file meanwhile, but not this often.
_LOCK_ATTEMPTS: Final = 100
#: Bytes of the reserve: enough for the log's index, for pages in the log that the file
#: has no room for yet (``database.LOG_PAGES``), and for one more commit.
RESERVE_SIZE: Final = 1024 * 1024


def beside(path: Path, ending: str) -> Path:
    """Return the path of a file that belongs beside a store."""
    return path.with_name(path.name + ending)


def located(path: Path) -> Path:
    """Return a path with its links resolved.

    Raises:
        StoreError: The path is a link that another user made.
    """
    link = _seen(path)
    if link is not None and stat.S_ISLNK(link.st_mode) and not _trusted(link):
        raise StoreError(
            f"{path} is a link owned by another user (uid {link.st_uid}), who could "
            "point it anywhere; remove it, or choose another path."
        )
    return Path(os.path.realpath(path))


def regular(path: Path) -> os.stat_result | None:
    """Return the status of a regular file, unopened; ``None`` if there is none.

    Raises:
        StoreError: The path is something other than a regular file.
    """
    found = _seen(path)
    if found is None or stat.S_ISREG(found.st_mode):
        return found
    raise StoreError(
        f"{path} cannot be used: it is {_kind(found.st_mode)}, not a regular file; it "
        "was left as it is. Choose another path."
    )


def identity(path: Path) -> Identity | None:
    """Return the identity of the file at a path, ``None`` if there is none."""
    found = _seen(path)
    return None if found is None else (found.st_dev, found.st_ino)


def check_readable(path: Path) -> None:
    """Raise ``StoreError`` unless a store can be read without changing any file."""
    regular(path)
    for ending in (LOG, INDEX):
        regular(beside(path, ending))
    journal = beside(path, JOURNAL)
    if _seen(journal) is not None:
        raise StoreError(
            f"{journal} exists: another program was stopped while it changed "
            f"{path.name}, and SQLite would undo that change first. Both were left as "
            "they are. Repair the store with sqlite3, or move both files away."
        )


def check_usable(path: Path) -> None:
    """Raise ``StoreError`` unless a session may create or change a store at a path.

    Raises:
        OSError: The folder is missing or cannot be examined.
    """
    folder = path.parent.stat()
    if _POSIX and folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        raise StoreError(
            f"{path} cannot be used: any user can replace files in its folder; run "
            f"chmod o-w {path.parent}, or choose another folder."
        )
    check_readable(path)
    found = regular(path)
    if found is not None and found.st_size:
        _check_ours(path, found)
    for ending in (LOG, INDEX, LOCK, RESERVE):
        companion = beside(path, ending)
        if (there := regular(companion)) is not None:
            _check_ours(companion, there)
            if ending == LOG and there.st_size and not (found and found.st_size):
                raise StoreError(
                    f"{path} is missing or empty, but its log {companion.name} holds "
                    "messages; both were left as they are. Put the file back, or move "
                    "the log away to start with an empty store."
                )


def _check_ours(path: Path, found: os.stat_result) -> None:
    """Raise ``StoreError`` if another user owns a file or can change it."""
    if not _POSIX:
        return
    if not _trusted(found):
        raise StoreError(
            f"{path} cannot be used: it belongs to another user (uid {found.st_uid}); "
            f"if you trust its contents, chown it to uid {os.geteuid()}."
        )
    if found.st_mode & _OTHERS:
        raise StoreError(
            f"{path} cannot be used: other users can write to it (mode "
            f"{stat.S_IMODE(found.st_mode):o}); if you trust its contents, run chmod "
            "go-w on it."
        )
    if found.st_nlink > 1:
        raise StoreError(
            f"{path} cannot be used: it has {found.st_nlink} names (hard links), and "
            "the lock protects only one of them; remove the others, or use a copy."
        )


def _seen(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _trusted(found: os.stat_result) -> bool:
    return not _POSIX or found.st_uid in (0, os.geteuid())


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


class FileLock:
    """The lock that lets one session at a time use a store.

    It is a lock on a file beside the store, because closing any descriptor of the store
    in this process would release a lock on the store itself. It belongs to an open
    file, not to a process, so two sessions of one process exclude each other as well,
    and it ends with the process, however that ends. Only an empty file is accepted as
    a lock file, and only the file that was locked is removed.
    """

    def __init__(self, path: Path) -> None:
        self._store = path
        self._path = beside(path, LOCK)
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting; do nothing if it is already held.

        Raises:
            StoreError: Another session holds it, or its file is not a lock file.
            OSError: The lock file cannot be created.
        """
        for _ in range(_LOCK_ATTEMPTS):
            if self._descriptor is not None:
                return
            self._try()
        if self._descriptor is None:
            raise self._in_use()

    def _try(self) -> None:
        descriptor = self._open()
        if descriptor is None:
            return
        try:
            _lock(descriptor)
            if self._is_current(descriptor):
                self._descriptor = descriptor
        except (BlockingIOError, PermissionError) as taken:
            raise self._in_use() from taken
        finally:
            if self._descriptor is None:
                os.close(descriptor)

    def _open(self) -> int | None:
        """Open the file; return ``None`` if another session was quicker."""
        found = regular(self._path)
        if found is not None and found.st_size:
            raise StoreError(
                f"{self._path} is not empty, so it is not the lock of a store; it was "
                "left as it is. Move it away, or choose another path for the store."
            )
        flags = 0
        overtaken: type[OSError] = FileNotFoundError
        if found is None:
            flags, overtaken = os.O_CREAT | os.O_EXCL, FileExistsError
        # Another session may create or remove the file after the look at it.
        with contextlib.suppress(overtaken):
            return os.open(self._path, os.O_RDWR | SAFE_FLAGS | flags, 0o600)
        return None

    def _in_use(self) -> StoreError:
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
        return identity(self._path) == (ours.st_dev, ours.st_ino)


class Reserve:
    """Disk space kept beside a store for when the disk is full.

    SQLite writes every change to its log first, so deleting a message takes room as
    well. A file reserves that room. It is removed when the disk is full, and no message
    is accepted until it is there again.
    """

    def __init__(self, path: Path) -> None:
        self._path = beside(path, RESERVE)

    def check(self) -> None:
        """Raise ``StoreError`` if the file is something other than a reserve."""
        found = regular(self._path)
        if found is None:
            return
        if found.st_size <= RESERVE_SIZE:
            descriptor = os.open(self._path, os.O_RDONLY | SAFE_FLAGS)
            with open(descriptor, "rb") as file:  # noqa: PTH123 - opened with care
                if not file.read(RESERVE_SIZE).strip(b"\0"):
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
        found = regular(self._path)
        if found is not None and found.st_size == RESERVE_SIZE:
            return
        flags = os.O_RDWR | os.O_CREAT | SAFE_FLAGS
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
            os.posix_fallocate(descriptor, 0, RESERVE_SIZE)
        except OSError as failure:
            if failure.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
        else:
            return
    with open(descriptor, "wb", closefd=False) as file:
        file.write(bytes(RESERVE_SIZE))
