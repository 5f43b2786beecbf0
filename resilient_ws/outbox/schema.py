"""What a store looks like on disk, and whether a file is one.

Rules: a new file gets its name only when it is complete, so no crash leaves half a
store; a file that is foreign, newer or damaged is refused before anything could be
written to it. A file says what SQLite shall do with it (triggers, views), so one that
holds anything but exactly our tables is refused before a row of it is read.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import struct
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import quote

from resilient_ws.errors import StoreError
from resilient_ws.outbox import files


#: "rwso" in the header of the file says whose it is.
APPLICATION_ID: Final = int.from_bytes(b"rwso")
#: Grows with each change of the tables.
SCHEMA_VERSION: Final = 1
#: Seconds to wait for a reader that is in the way.
BUSY_TIMEOUT: Final = 5.0
#: No store that was written to, however fast and long, has come to this number.
LAST_SEQUENCE: Final = 2**62

_MAGIC: Final = b"SQLite format 3\0"
#: Of the header of a database file: the size of a page, how many there are, the
#: version of the schema, and the application's id.
_HEADER: Final = struct.Struct(">H 10x I 28x I 4x I")
_HEADER_SIZE: Final = 100

# SQLite keeps the words of a schema, and a store is known by them: to lay them out
# anew is to change the schema.
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
_OBJECTS: Final = "SELECT type, name, tbl_name, sql FROM sqlite_master"


def connect(path: Path, **options: str | int) -> sqlite3.Connection:
    """Open a file as SQLite's options in a URL say, such as ``mode="ro"``."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?{query}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
    )
    # What is damaged shall be looked at, not raise while it is read.
    connection.text_factory = _lenient
    # Nothing that a file says is carried out, and what it says of itself is doubted.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _lenient(text: bytes) -> str:
    return text.decode(errors="replace")


def create(path: Path) -> None:
    """Make a new store under another name, and give it its own when it is complete."""
    descriptor, name = tempfile.mkstemp(".new", f"{path.name}.", path.parent)
    os.close(descriptor)
    unfinished = Path(name)
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
        reader(path).close()
    except sqlite3.DatabaseError as damage:
        raise refusal(path, damage) from damage


def reader(path: Path) -> sqlite3.Connection:
    """Open a sound store to look at it, and change nothing by that.

    Raises:
        StoreError: It is not one.
        sqlite3.DatabaseError: It cannot be read.
    """
    files.check_readable(path)
    # With a log beside it a session is at work, or was killed: the newest is there.
    # Without one a reader must not begin one.
    still = {} if files.regular(_log_of(path)) else {"immutable": 1}
    connection = connect(path, mode="ro", **still)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(connection.close)
        _check_objects(path, connection)
        _check_soundness(path, connection)
        on_failure.pop_all()
    return connection


def _log_of(path: Path) -> Path:
    return files.beside(path, files.LOG)


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
    descriptor = os.open(path, os.O_RDONLY | files.STRAIGHT)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - opened with care
        header = file.read(_HEADER_SIZE)
        size = file.seek(0, os.SEEK_END)
    if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
        raise _foreign(path)
    page_size, pages, version, application = _HEADER.unpack_from(header, 16)
    if application != APPLICATION_ID:
        raise _foreign(path)
    _check_version(path, version)
    if size != _in_bytes(page_size) * pages and not files.regular(_log_of(path)):
        raise refusal(path, sqlite3.DatabaseError("its size is not what it should be"))


def _in_bytes(page_size: int) -> int:
    return 65536 if page_size == 1 else page_size


def _check_version(path: Path, version: int) -> None:
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer resilient_ws (schema {version}, and this "
            f"one knows {SCHEMA_VERSION}); it was left as it is. Upgrade resilient-ws."
        )


def _check_objects(path: Path, connection: sqlite3.Connection) -> None:
    """Have a store hold what ours hold and nothing else, before a row of it is read."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise _foreign(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    _check_version(path, version)
    right = _objects()
    rows = connection.execute(f"{_OBJECTS} LIMIT ?", (len(right) + 1,))
    found: list[object] = rows.fetchall()
    same = len(found) == len(right) and frozenset(found) == right
    if version != SCHEMA_VERSION or not same:
        raise StoreError(
            f"{path} holds other tables, triggers, views or indices than a store of "
            "resilient_ws; it was left as it is. Remove what was added, or move it "
            "away to begin anew."
        )


@functools.cache
def _objects() -> frozenset[object]:
    """Return what the schema of a store consists of, in SQLite's own words."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_SCHEMA)
        return frozenset(connection.execute(_OBJECTS))


def _check_soundness(path: Path, connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise refusal(path, sqlite3.DatabaseError(verdict))
    # The next message gets the number behind the last: one that is used already would
    # take another's place.
    lowest, highest = connection.execute(
        "SELECT min(id), max(id) FROM "
        "(SELECT id FROM messages UNION ALL SELECT id FROM set_aside)"
    ).fetchone()
    last = connection.execute("SELECT name, seq FROM sqlite_sequence").fetchmany(2)
    sound = lowest is None or lowest > 0
    match last:
        case []:
            sound = sound and highest is None
        case [("messages", int(number))]:
            sound = sound and (highest or 0) <= number <= LAST_SEQUENCE
        case _:
            sound = False
    if not sound:
        damage = "the numbers of its messages are not what they were"
        raise refusal(path, sqlite3.DatabaseError(damage))
