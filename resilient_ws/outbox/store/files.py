"""Checks of a store's files before a session uses them.

Rules: only a regular file is ever opened; a device, a FIFO or a link beside the store
is refused after ``lstat``, unopened. Only this process's user (and root) may be able to
write to the files that a session uses. A file that has a name the store needs, but does
not belong to a store, is left as it was.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, TypeAlias

from resilient_ws.errors import StoreError


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
STRAIGHT: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


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
