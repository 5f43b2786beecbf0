"""What a store looks like on disk, and whether a file is one.

Rules: a new file gets its name only when it is complete, so no crash leaves half a
store; a file that is foreign, newer or damaged is refused before anything could be
written to it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from resilient_ws.errors import StoreError


if TYPE_CHECKING:
    from pathlib import Path


#: "rwso" in the header of the file says whose it is.
APPLICATION_ID: Final = int.from_bytes(b"rwso")
#: Grows with each change of the tables.
SCHEMA_VERSION: Final = 1
#: Seconds to wait for a reader that is in the way.
BUSY_TIMEOUT: Final = 5.0

_MAGIC: Final = b"SQLite format 3\0"
#: Of the header of a database file: the size of a page, how many there are, the
#: version of the schema, and the application's id.
_HEADER: Final = struct.Struct(">H 10x I 28x I 4x I")
_HEADER_SIZE: Final = 100

_COLUMNS: Final = """
    message_id TEXT,
    accepted_at REAL NOT NULL,
    expires_at REAL,
    only_if_open INTEGER NOT NULL,
    transmissions INTEGER NOT NULL,
    size INTEGER NOT NULL,
    is_text INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    data BLOB NOT NULL
"""
_SCHEMA: Final = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, {_COLUMNS});
CREATE TABLE set_aside (id INTEGER PRIMARY KEY, reason TEXT NOT NULL, {_COLUMNS});
"""


def connect(path: Path, **options: str | int) -> sqlite3.Connection:
    """Open a file as SQLite's options in a URL say, such as ``mode="ro"``."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{query}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
    )
    # What is damaged shall be looked at, not raise while it is read.
    connection.text_factory = _lenient
    return connection


def _lenient(text: bytes) -> str:
    return text.decode(errors="replace")


def create(path: Path) -> None:
    """Make a new store under another name, and give it its own when it is complete."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with contextlib.closing(connect(unfinished, mode="rw")) as connection:
            connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            connection.execute("PRAGMA journal_mode = WAL")
        unfinished.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Have a new name survive a power failure, where folders can be synced."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check(path: Path) -> None:
    """Raise ``StoreError`` if a file is not a sound store; write nothing to it."""
    try:
        # Its header first, and nothing but that: a file that is not ours is none of
        # our business, nor is what lies beside it.
        _check_header(path)
        with contextlib.closing(reader(path)) as connection:
            _check_soundness(path, connection)
    except sqlite3.DatabaseError as damage:
        raise refusal(path, damage) from damage


def log_of(path: Path) -> Path:
    """Return where SQLite keeps the newest of a store that is in use."""
    return path.with_name(path.name + "-wal")


def reader(path: Path) -> sqlite3.Connection:
    """Open a store to look at it, and change nothing by that.

    Raises:
        StoreError: It is not one.
    """
    # With a log beside it a session is at work, or was killed: the newest is there.
    # Without one a reader must not begin one.
    still = {} if log_of(path).exists() else {"immutable": 1}
    connection = connect(path, mode="ro", **still)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(connection.close)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise _foreign(path)
        on_failure.pop_all()
    return connection


def refusal(path: Path, damage: sqlite3.DatabaseError) -> StoreError:
    """Return what to say about a file that SQLite cannot read."""
    if getattr(damage, "sqlite_errorname", "") == "SQLITE_NOTADB":
        return _foreign(path)
    if isinstance(damage, sqlite3.OperationalError):
        return StoreError(f"{path} cannot be read: {damage}.")
    return StoreError(
        f"{path} is damaged ({damage}); it was left as it is. Move it away to begin "
        "anew, or repair a copy with sqlite3's .recover."
    )


def _foreign(path: Path) -> StoreError:
    return StoreError(
        f"{path} is not a store of resilient_ws; it was left as it is. Choose another "
        "path."
    )


def _check_header(path: Path) -> None:
    """Look at the first bytes without SQLite, which would want to see the rest.

    They are the same all the file's life, whatever a crash left half done behind them.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE)
        size = file.seek(0, os.SEEK_END)
    if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
        raise _foreign(path)
    page_size, pages, version, application = _HEADER.unpack_from(header, 16)
    if application != APPLICATION_ID:
        raise _foreign(path)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer resilient_ws (schema {version}, and this "
            f"one knows {SCHEMA_VERSION}); it was left as it is. Upgrade resilient-ws."
        )
    if size != page_size * pages and not log_of(path).exists():
        raise refusal(path, sqlite3.DatabaseError("its size is not what it should be"))


def _check_soundness(path: Path, connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise refusal(path, sqlite3.DatabaseError(verdict))
    # Sound, and yet without our tables.
    connection.execute("SELECT id, is_text FROM messages LIMIT 1")
    connection.execute("SELECT id, reason FROM set_aside LIMIT 1")
