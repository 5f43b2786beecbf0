"""A store that survives ``kill -9`` and, if the disk keeps its word, power failures.

Rule: what needs sqlite3 is imported where it is used: every program imports this module
and few keep a file.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import attrs

from resilient_ws.errors import StoreError
from resilient_ws.outbox.store import files, rows
from resilient_ws.policy._validate import one_of, positive_int, wrong_type


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from resilient_ws.events import Event
    from resilient_ws.outbox.store.commit import SQLiteLedger
    from resilient_ws.outbox.store.rows import StoredMessage


MIB: Final = 1024 * 1024

#: What SQLite or another library would take for a URL; one letter is a drive.
_URL: Final = re.compile(r"file:|[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def _absolute(value: object) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise wrong_type("SQLiteStore.path", "a path, such as 'outbox.db'", value)
    path = os.fspath(value)  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(path, str):
        raise _no_file("a str, such as 'outbox.db'")
    if Path(path).name == ":memory:":
        raise _no_file(
            "a file, which ':memory:' does not; for an outbox in memory, leave out "
            "store or pass MemoryStore()"
        )
    if _URL.match(path):
        raise _no_file("a plain path, such as 'outbox.db', not a URL")
    if os.path.basename(path) in ("", ".", ".."):  # noqa: PTH119 - Path drops them
        raise _no_file("a file, such as 'outbox.db', not a folder")
    try:
        if b"\0" in os.fsencode(path):
            raise _no_file("a file, and a file name cannot contain NUL")
    except UnicodeEncodeError:
        raise _no_file(
            "a file, and a file name cannot contain a lone surrogate"
        ) from None
    return Path(path).absolute()


def _no_file(right: str) -> ValueError:
    return ValueError(f"SQLiteStore.path must name {right}.")


@attrs.frozen
class SQLiteStore:
    """Keep the outbox in a file, so that it survives the process and a power failure.

    ``send`` returns when the message is on disk. The message is deleted from the file
    once it is confirmed or, with ``confirm="write"``, before it is written to a
    connection. The next session on the file continues where the last one stopped,
    however that ended: messages that were written but not confirmed are reported as
    ``FAILED`` (``resend=False``) or sent again (``resend=True``). Only one session at a
    time can use a file.

    Attributes:
        path: The file; it is created if it does not exist, readable by its owner only.
            Other users must not be able to change it, or to replace it in its folder.
        synchronous: ``"FULL"`` (default) flushes the disk with each commit.
            ``"NORMAL"`` is faster and survives ``kill -9``, but a power failure may
            undo its last commits: messages accepted then are lost, and messages sent
            then are sent again, even with ``resend=False``.
        max_file_size: Bytes that the file may grow to (default 64 MiB); a message
            beyond that raises ``StoreError``. The log takes about 1 MiB more, and a
            reserve of 1 MiB (``…-reserve``) lets waiting messages be sent when the
            disk is full.
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
        from resilient_ws.outbox.store.commit import SQLiteLedger  # noqa: PLC0415
        from resilient_ws.outbox.store.database import Database  # noqa: PLC0415

        database = Database(
            self.path,
            synchronous=self.synchronous,
            max_file_size=self.max_file_size,
        )
        return SQLiteLedger(database, loop=loop, report=report)

    def pending(self) -> Iterator[StoredMessage]:
        """Iterate over the messages that wait, in order, then over those set aside.

        This changes nothing, and is safe while a session uses the file, even in another
        process. Messages that come or go meanwhile may or may not be seen.

        Raises:
            StoreError: There is no file, or the file is not a sound store.
        """
        import sqlite3  # noqa: PLC0415

        from resilient_ws.outbox.store import schema  # noqa: PLC0415

        path = self.path
        try:
            path = files.located(path)
            if files.regular(path) is None:
                raise StoreError(f"There is no file {path}.")
            with contextlib.closing(schema.reader(path)) as connection:
                yield from rows.pending(connection)
                yield from rows.set_aside(connection)
        except sqlite3.DatabaseError as failure:
            raise schema.refusal(path, failure) from failure
        except OSError as failure:
            raise StoreError(f"{path} cannot be read: {failure}.") from failure
