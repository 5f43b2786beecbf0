"""The file of a durable store, as its one worker thread uses it.

Rules: several requests are one transaction, and so one flush of the disk. If it fails,
each request is tried alone, so that a bad one does not fail the others; a request that
failed has changed nothing. A message is accepted only into the file that the next
session will find. Messages can be deleted even when the disk is full or the file has
been moved away.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import attrs

from resilient_ws.errors import StoreError
from resilient_ws.outbox.store import files, rows, schema
from resilient_ws.outbox.store.files import FileLock, Reserve
from resilient_ws.outbox.store.rows import Row, Values


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws.protocol.message import Message


T = TypeVar("T")

#: Pages of the write-ahead log after which SQLite copies it into the file.
LOG_PAGES: Final = 200
#: A message takes room twice, in the log and then in the file.
_COPIES: Final = 2
#: Bytes that the tables take besides.
_TABLE_BYTES: Final = 64 * 1024


@attrs.frozen
class Put:
    """Store messages, each under its number."""

    values: Sequence[Values]


@attrs.frozen
class Claim:
    """Return the payloads of messages; mark each as written, or delete it."""

    sequences: Sequence[int]
    kept: Sequence[bool]


@attrs.frozen
class Forget:
    """Delete messages from the store."""

    sequences: Sequence[int]


@attrs.frozen
class Accuse:
    """Store how many connections ended while a message was alone in flight."""

    sequence: int
    count: int


Request: TypeAlias = Put | Claim | Forget | Accuse
#: A claim returns one payload per message, ``None`` if it is damaged or missing.
Answer: TypeAlias = "list[Message | None] | None"


class Database:
    """An open store. Every call is made from the same thread."""

    def __init__(self, path: Path, *, synchronous: str, max_file_size: int) -> None:
        self._path = path
        self._synchronous = synchronous
        self._max_file_size = max_file_size
        self._lock: FileLock | None = None
        self._reserve: Reserve | None = None
        self._connection: sqlite3.Connection | None = None
        # The identities of the file and its log when they were opened.
        self._opened: tuple[files.Identity | None, ...] = ()
        # Whether the reserve was released, so that messages can be deleted.
        self._short_of_room = False

    # Beginning and end.

    def open(self) -> tuple[list[Row], int]:
        """Open or create the file; return its messages and its last number.

        Raises:
            StoreError: The file is in use, or is not a sound store.
        """
        try:
            self._path = path = files.located(self._path)
            files.check_usable(path)
            self._lock = FileLock(path)
            self._lock.acquire()
            self._reserve = Reserve(path)
            self._reserve.check()
            return self._with_room(self._begin)
        except BaseException as failure:
            self.close()
            if isinstance(failure, Exception):
                raise self._error(failure) from _cause(failure)
            raise

    def _begin(self) -> tuple[list[Row], int]:
        path = self._path
        if self._connection is not None:
            self._connection.close()  # from the first attempt
        found = files.regular(path)
        if found is None or found.st_size == 0:
            schema.create(path)
        file = files.identity(path)
        schema.check(path)
        self._connection = connection = schema.connect(path, mode="rw")
        self._configure(connection)
        loaded = rows.load(connection), rows.last_sequence(connection)
        self._opened = (file, files.identity(files.beside(path, files.LOG)))
        if files.identity(path) != file:
            raise self._moved_error()
        return loaded

    def _configure(self, connection: sqlite3.Connection) -> None:
        execute = connection.execute
        execute("PRAGMA journal_mode = WAL")
        execute(f"PRAGMA synchronous = {self._synchronous}")
        execute("PRAGMA fullfsync = ON")  # has an effect on macOS only
        (page_size,) = execute("PRAGMA page_size").fetchone()
        execute(f"PRAGMA journal_size_limit = {LOG_PAGES * page_size}")
        self._set_limits(connection)
        # Find out now, not with the first message, whether the file is writable.
        execute("BEGIN IMMEDIATE")
        execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
        execute("COMMIT")

    def _set_limits(self, connection: sqlite3.Connection) -> None:
        """Limit the size of the file, and of its log while room is short.

        Some builds of SQLite overwrite deleted rows with zeros. For a large message
        that takes as much of the log as storing it did, so it is off while room is
        short.
        """
        execute = connection.execute
        (page_size,) = execute("PRAGMA page_size").fetchone()
        pages = max(self._max_file_size // page_size, 1)
        # Counting a transmission may take another page.
        execute(f"PRAGMA max_page_count = {pages * (1 + self._short_of_room)}")
        log_pages = 1 if self._short_of_room else LOG_PAGES
        execute(f"PRAGMA wal_autocheckpoint = {log_pages}")
        if self._short_of_room:
            execute("PRAGMA secure_delete = OFF")

    def close(self) -> StoreError | None:
        """Close the file; return an error if a later session will miss its messages."""
        connection, self._connection = self._connection, None
        lock, self._lock = self._lock, None
        lost = None
        try:
            if connection is not None:
                lost = self._loss(connection)
                connection.close()
                # SQLite has removed the log, so there may be room again.
                if self._short_of_room and self._reserve is not None:
                    with contextlib.suppress(OSError, StoreError):
                        self._reserve.hold()
        finally:
            if lock is not None:
                lock.release()
        return lost

    def _loss(self, connection: sqlite3.Connection) -> StoreError | None:
        if not self._opened or files.identity(self._path) == self._opened[0]:
            return None
        (count,) = connection.execute("SELECT count(*) FROM messages").fetchone()
        return self._moved_error() if count else None

    # Working.

    def carry_out(self, requests: Sequence[Request]) -> list[Answer | StoreError]:
        """Carry out requests in order; return an answer or an error for each."""
        try:
            if any(isinstance(request, Put) for request in requests):
                self._check_room(requests)
                return self._transact(requests)
            return self._with_room(lambda: self._transact(requests))
        except Exception as failure:  # noqa: BLE001 - others wait for their answers
            if len(requests) == 1:
                return [self._error(failure)]
        return [answer for one in requests for answer in self.carry_out([one])]

    def _check_room(self, requests: Sequence[Request]) -> None:
        """Raise unless new messages can be sent later, even after a restart."""
        path, connection = self._path, self._connection
        if self._lock is None or self._reserve is None or connection is None:
            raise sqlite3.ProgrammingError("the store is closed")
        log = files.beside(path, files.LOG)
        if (files.identity(path), files.identity(log)) != self._opened:
            raise self._moved_error()
        self._lock.keep()
        self._reserve.hold()
        if self._short_of_room:
            self._short_of_room = False
            self._set_limits(connection)
        puts = [request for request in requests if isinstance(request, Put)]
        payloads = [len(values[-1]) for put in puts for values in put.values]
        disk = shutil.disk_usage(path.parent)
        needed = _COPIES * sum(payloads) + _TABLE_BYTES
        # A file system that does not know its size reports 0.
        if disk.total and disk.free < needed:
            raise self._full_error()

    def _with_room(self, work: Callable[[], T]) -> T:
        """Do work that adds no message; on a full disk, free the reserve and retry."""
        try:
            return work()
        except (OSError, sqlite3.Error, StoreError) as failure:
            if self._short_of_room or not _may_mean_full(failure):
                raise
        self._short_of_room = True
        if self._reserve is not None and not self._at_its_limit():
            self._reserve.release()
        if self._connection is not None and self._opened:
            self._set_limits(self._connection)
            self._connection.execute("PRAGMA wal_checkpoint")
        return work()

    def _transact(self, requests: Sequence[Request]) -> list[Answer | StoreError]:
        connection = self._connection
        if connection is None:
            raise sqlite3.ProgrammingError("the store is closed")
        connection.execute("BEGIN IMMEDIATE")
        try:
            answers: list[Answer | StoreError] = [
                self._perform(connection, request) for request in requests
            ]
            connection.execute("COMMIT")
        except BaseException:
            # After some errors SQLite has already rolled back.
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            raise
        return answers

    def _perform(self, connection: sqlite3.Connection, request: Request) -> Answer:
        match request:
            case Put(values):
                rows.put(connection, values)
            case Forget(sequences):
                rows.forget(connection, sequences)
            case Claim(sequences, kept):
                return rows.claim(connection, sequences, kept)
            case Accuse(sequence, count):
                rows.accuse(connection, sequence, count)
        return None

    def _error(self, failure: Exception) -> StoreError:
        """Return the error for a failure; its text never quotes a message."""
        if isinstance(failure, StoreError):
            return StoreError(str(failure))
        if _means_full(failure):
            return self._full_error()
        if isinstance(failure, OSError | sqlite3.Error):
            return StoreError(f"{self._path} cannot be used: {failure}.")
        return StoreError(
            f"{self._path} could not store or return a message: "
            f"{type(failure).__name__}."
        )

    def _full_error(self) -> StoreError:
        if self._at_its_limit():
            return StoreError(
                f"{self._path} has reached SQLiteStore.max_file_size "
                f"({self._max_file_size} bytes); raise it, or lower Outbox.max_bytes "
                "and max_messages."
            )
        return StoreError(f"The disk that holds {self._path} is full; free some space.")

    def _moved_error(self) -> StoreError:
        return StoreError(
            f"{self._path} or its log was deleted or replaced while this session was "
            "using it. The session stores no new messages, but still sends those "
            "accepted before. Put the file back, or open a new session."
        )

    def _at_its_limit(self) -> bool:
        connection = self._connection
        if connection is None:
            return False
        try:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (limit,) = connection.execute("PRAGMA max_page_count").fetchone()
        except sqlite3.Error:
            return False
        return bool(pages >= limit)


def _means_full(failure: Exception) -> bool:
    if isinstance(failure, sqlite3.Error):
        return getattr(failure, "sqlite_errorname", "") == "SQLITE_FULL"
    return isinstance(failure, OSError) and failure.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
    )


def _may_mean_full(failure: Exception) -> bool:
    """Whether the disk may be full; SQLite does not always report that as such."""
    cause = failure.__cause__ if isinstance(failure, StoreError) else failure
    if isinstance(cause, sqlite3.Error):
        name = getattr(cause, "sqlite_errorname", "")
        return name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN"))
    return isinstance(cause, Exception) and _means_full(cause)


def _cause(failure: Exception) -> BaseException | None:
    """Return the exception to chain an error to; others may hold a message."""
    if isinstance(failure, StoreError):
        return failure.__cause__
    return failure if isinstance(failure, OSError | sqlite3.Error) else None
