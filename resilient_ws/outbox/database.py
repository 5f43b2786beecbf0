"""The file of a durable store, as its one worker thread uses it.

Rules: several requests are one transaction, and so one flush of the disk; when that
fails each is tried alone, so that one which cannot be carried out spoils no other. A
request that failed has changed nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from resilient_ws.errors import StoreError
from resilient_ws.outbox import schema
from resilient_ws.outbox.lock import FileLock
from resilient_ws.outbox.rows import BODY, HEAD, Poison, Values, message_of, row_of
from resilient_ws.outbox.store import Row


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws.inbox import Message


#: The write-ahead log goes back to the file when it has grown to so many pages.
LOG_PAGES: Final = 1000

_MARKS: Final = ", ".join("?" * 10)
# Nothing but names of columns is put together here.
_PUT: Final = f"INSERT OR REPLACE INTO messages ({HEAD}, {BODY}) VALUES ({_MARKS})"  # noqa: S608
_SPAN: Final = f"SELECT {HEAD}, {BODY} FROM messages WHERE id BETWEEN ? AND ?"  # noqa: S608
_HEADS: Final = f"SELECT {HEAD} FROM messages ORDER BY id"  # noqa: S608
_FORGET: Final = "DELETE FROM messages WHERE id = ?"
_FORGET_SPAN: Final = "DELETE FROM messages WHERE id BETWEEN ? AND ?"
_COUNT: Final = "UPDATE messages SET transmissions = transmissions + 1 WHERE id = ?"
_SET_ASIDE: Final = (
    f"INSERT OR REPLACE INTO set_aside (reason, {HEAD}, {BODY}) "  # noqa: S608
    f"SELECT ?, {HEAD}, {BODY} FROM messages WHERE id = ?"
)


@attrs.frozen
class Put:
    """Keep messages, each at its place."""

    rows: Sequence[Values]


@attrs.frozen
class Claim:
    """Give the payloads of messages, and keep them counted, or not at all."""

    sequences: Sequence[int]
    keep: bool


@attrs.frozen
class Forget:
    """Keep messages no longer."""

    sequences: Sequence[int]


Request: TypeAlias = Put | Claim | Forget
#: What a claim gives, for each message: ``None`` if it is poison or not there.
Answer: TypeAlias = "list[Message | None] | None"


class Database:
    """An open store. Every call is made from the same thread."""

    def __init__(self, path: Path, *, synchronous: str, max_file_size: int) -> None:
        self._path = path
        self._synchronous = synchronous
        self._max_file_size = max_file_size
        self._lock = FileLock(path)
        self._connection: sqlite3.Connection | None = None

    # Beginning and end.

    def open(self) -> tuple[list[Row], int]:
        """Open the file, made if need be; return its messages and its last number.

        Raises:
            StoreError: It is in use, or not what it should be.
        """
        try:
            self._lock.acquire()
            if not self._path.exists() or self._path.stat().st_size == 0:
                schema.create(self._path)
            schema.check(self._path)
            self._connection = connection = schema.connect(self._path, mode="rw")
            self._configure(connection)
            return self._load(connection)
        except (OSError, sqlite3.Error) as failure:
            self.close()
            raise StoreError(f"{self._path} cannot be used: {failure}.") from failure
        except BaseException:
            self.close()
            raise

    def _configure(self, connection: sqlite3.Connection) -> None:
        execute = connection.execute
        execute("PRAGMA journal_mode = WAL")
        execute(f"PRAGMA synchronous = {self._synchronous}")
        execute("PRAGMA fullfsync = ON")  # elsewhere than on macOS it changes nothing
        execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        (page_size,) = execute("PRAGMA page_size").fetchone()
        execute(f"PRAGMA journal_size_limit = {LOG_PAGES * page_size}")
        execute(f"PRAGMA max_page_count = {max(self._max_file_size // page_size, 1)}")
        # Finds out now, not at the first message, whether it can be written to.
        execute("BEGIN IMMEDIATE")
        execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
        execute("COMMIT")

    def _load(self, connection: sqlite3.Connection) -> tuple[list[Row], int]:
        rows: list[Row] = []
        heads = connection.execute(_HEADS)
        for head in heads.fetchall():
            try:
                rows.append(row_of(head))
            except Poison as poison:
                connection.execute("BEGIN IMMEDIATE")
                self._set_aside(connection, head[0], str(poison))
                connection.execute("COMMIT")
                rows.append(Row(sequence=head[0], poison=str(poison)))
        last = connection.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()
        return rows, last[0] or 0

    def close(self) -> None:
        """Let go of the file."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        finally:
            self._lock.release()

    # Working.

    def carry_out(self, requests: Sequence[Request]) -> list[Answer | StoreError]:
        """Carry out what was asked, in order; each gets an answer, or its error."""
        try:
            return self._transact(requests)
        except sqlite3.Error as failure:
            if len(requests) == 1:
                return [self._error(failure)]
        return [answer for one in requests for answer in self.carry_out([one])]

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
            # After some errors SQLite has rolled back by itself.
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            raise
        return answers

    def _perform(self, connection: sqlite3.Connection, request: Request) -> Answer:
        match request:
            case Put(rows):
                connection.executemany(_PUT, rows)
            case Forget(sequences):
                connection.executemany(_FORGET, [(one,) for one in sequences])
            case Claim(sequences, keep):
                return self._claim(connection, sequences, keep=keep)
        return None

    def _claim(
        self, connection: sqlite3.Connection, sequences: Sequence[int], *, keep: bool
    ) -> list[Message | None]:
        span = (sequences[0], sequences[-1])
        found = {row[0]: row for row in connection.execute(_SPAN, span)}
        messages: list[Message | None] = []
        for sequence in sequences:
            row = found.get(sequence)
            message: Message | None = None
            try:
                if row is not None:
                    message = message_of(row[1], row[6], row[7:])
            except Poison as poison:
                self._set_aside(connection, sequence, str(poison))
            messages.append(message)
        if keep:
            connection.executemany(_COUNT, [(one,) for one in sequences])
        elif len(found) == len(sequences):
            connection.execute(_FORGET_SPAN, span)
        else:
            connection.executemany(_FORGET, [(one,) for one in sequences])
        return messages

    def _set_aside(
        self, connection: sqlite3.Connection, sequence: int, reason: str
    ) -> None:
        connection.execute(_SET_ASIDE, (reason, sequence))
        connection.execute(_FORGET, (sequence,))

    def _error(self, failure: sqlite3.Error) -> StoreError:
        name = getattr(failure, "sqlite_errorname", "")
        if name == "SQLITE_FULL" and self._at_its_limit():
            return StoreError(
                f"{self._path} has reached SQLiteStore.max_file_size "
                f"({self._max_file_size} bytes); raise it, or lower Outbox.max_bytes "
                "and max_messages."
            )
        if name == "SQLITE_FULL":
            return StoreError(f"The disk of {self._path} is full; make room on it.")
        return StoreError(f"{self._path} cannot be used: {failure}.")

    def _at_its_limit(self) -> bool:
        connection = self._connection
        if connection is None:
            return False
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (limit,) = connection.execute("PRAGMA max_page_count").fetchone()
        return bool(pages >= limit)
