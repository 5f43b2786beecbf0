"""A store that survives the process: ``kill -9`` and, as disks go, power failures."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import attrs

from resilient_ws.errors import StoreError
from resilient_ws.outbox import schema
from resilient_ws.outbox.commit import SQLiteLedger
from resilient_ws.outbox.database import Database
from resilient_ws.outbox.rows import BODY, HEAD, stored_message
from resilient_ws.policy._validate import one_of, positive_int, wrong_type


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from resilient_ws.events import Event
    from resilient_ws.outbox.rows import Values
    from resilient_ws.outbox.store import StoredMessage


MIB: Final = 1024 * 1024
#: Rows that are read at a time, so that a slow reader never holds the store up.
PAGE: Final = 256


def _absolute(value: object) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise wrong_type("SQLiteStore.path", "a path, such as 'outbox.db'", value)
    path = os.fspath(value)  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(path, str) or not path:
        raise ValueError("SQLiteStore.path must name a file, such as 'outbox.db'.")
    return Path(path).absolute()


@attrs.frozen
class SQLiteStore:
    """Keep the outbox in a file, so that it survives the process and a power failure.

    ``send`` returns when the message is on disk. At most once (``resend=False``): a
    message is deleted from the file before it is written to a connection. At least once
    (``resend=True``): after it is confirmed. The next session on the file goes on where
    the last one was, whatever ended it. One session uses a file at a time.

    Attributes:
        path: The file; it is made if it does not exist, readable by its owner only.
        synchronous: ``"FULL"`` (default) flushes the disk with each commit.
            ``"NORMAL"`` is faster and survives ``kill -9``; a power failure may undo
            its last commits: what was accepted then is lost, and what was sent then is
            sent again, also with ``resend=False``.
        max_file_size: Bytes that the file may grow to (default 64 MiB), beside about
            4 MiB for its log; a message beyond them raises ``StoreError``.
    """

    path: Path = attrs.field(converter=_absolute)
    synchronous: Literal["FULL", "NORMAL"] = attrs.field(
        default="FULL", validator=one_of("FULL", "NORMAL"), kw_only=True
    )
    max_file_size: int = attrs.field(
        default=64 * MIB, validator=positive_int, kw_only=True
    )

    def ledger(
        self, loop: asyncio.AbstractEventLoop, report: Callable[[Event], None]
    ) -> SQLiteLedger:
        """Return the ledger of one session, which opens the file."""
        database = Database(
            self.path.resolve(),
            synchronous=self.synchronous,
            max_file_size=self.max_file_size,
        )
        return SQLiteLedger(database, loop=loop, report=report)

    def pending(self) -> Iterator[StoredMessage]:
        """Look inside: the messages that wait, in order, then those set aside.

        It changes nothing, and may be done while a session uses the file, also from
        another process; what comes and goes meanwhile may or may not be seen.

        Raises:
            StoreError: There is no file, or it is not a store.
        """
        path = self.path.resolve()
        if not path.exists():
            raise StoreError(f"There is no file {path}.")
        try:
            with contextlib.closing(schema.reader(path)) as connection:
                yield from _rows(connection, "messages", "NULL")
                yield from _rows(connection, "set_aside", "reason")
        except sqlite3.DatabaseError as failure:
            raise schema.refusal(path, failure) from failure


def _rows(
    connection: sqlite3.Connection, table: str, reason: str
) -> Iterator[StoredMessage]:
    """Read a table page by page, so that no snapshot is held for long."""
    query = (
        f"SELECT {reason}, {HEAD}, {BODY} FROM {table} "  # noqa: S608 - ours, all of it
        "WHERE id > ? ORDER BY id LIMIT ?"
    )
    last = -1
    page: list[Values]
    while page := connection.execute(query, (last, PAGE)).fetchall():
        for values in page:
            yield stored_message(values[1:], reason=values[0])
        last = page[-1][1]
