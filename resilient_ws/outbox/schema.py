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
from resilient_ws.protocol.text import printable


#: "rwso" in the header of the file says whose it is.
APPLICATION_ID: Final = int.from_bytes(b"rwso")
#: Grows with each change of the tables.
SCHEMA_VERSION: Final = 2
#: Seconds to wait for a reader that is in the way.
BUSY_TIMEOUT: Final = 5.0
#: No store that was written to, however fast and long, has come to this number.
LAST_SEQUENCE: Final = 2**62
#: To read the schema of a store takes a few hundred steps of SQLite's machine.
_SCHEMA_STEPS: Final = 100_000

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
    accused INTEGER NOT NULL,
    awaited INTEGER NOT NULL,
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
        # It reads the schema first, whose tree may be made to have no end.
        connection.set_progress_handler(_enough, _SCHEMA_STEPS)
        try:
            _check_objects(path, connection)
        except UnicodeDecodeError:  # SQLite quotes it, and Python cannot read that
            damage = "its schema is not UTF-8"
            raise refusal(path, sqlite3.DatabaseError(damage)) from None
        connection.set_progress_handler(None, 0)
        _check_soundness(path, connection)
        on_failure.pop_all()
    return connection


def _enough() -> bool:
    return True


def _log_of(path: Path) -> Path:
    return files.beside(path, files.LOG)


def refusal(path: Path, damage: sqlite3.DatabaseError) -> StoreError:
    """Return what to say about a file that SQLite cannot read."""
    name = getattr(damage, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB":
        return _foreign(path)
    # SQLite quotes what is in the file, such as the name of a table.
    words = printable(" ".join(str(damage).split()))
    if name == "SQLITE_INTERRUPT":
        words = "its schema has no end"
    elif isinstance(damage, sqlite3.OperationalError):
        return StoreError(f"{path} cannot be read: {words}.")
    return StoreError(
        f"{path} is damaged ({words}); it was left as it is. Move it away to begin "
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
    if 0 < version < SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by an early resilient_ws (schema {version}, and this "
            f"one knows {SCHEMA_VERSION}); it was left as it is. Send what it holds "
            "with that version, or choose another path."
        )
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
    # In this order: SQLite's own check goes down a tree as deep as it is, to the end of
    # its stack; to walk through a table goes 20 pages deep at most.
    _walk(path, connection, "sqlite_sequence")
    ends = [_walk(path, connection, table) for table in ("messages", "set_aside")]
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise refusal(path, sqlite3.DatabaseError(verdict))
    # The next message gets the number behind the last: one that is used already would
    # take another's place.
    numbers = [number for pair in ends for number in pair]
    match connection.execute("SELECT name, seq FROM sqlite_sequence").fetchmany(2):
        case []:
            sound = not numbers
        case [("messages", int(last))]:
            sound = max(numbers, default=0) <= last and 0 <= last <= LAST_SEQUENCE
        case _:
            sound = False
    if not sound or min(numbers, default=1) < 1:
        raise _disordered(path)


def _walk(path: Path, connection: sqlite3.Connection, table: str) -> tuple[int, ...]:
    """Go through the numbers of a table, which grow; return the first and the last."""
    ids = connection.execute(
        f"SELECT rowid FROM {table} ORDER BY rowid"  # noqa: S608 - ours, all of it
    )
    ends: tuple[int, ...] = ()
    for (number,) in ids:
        if ends and number <= ends[1]:
            raise _disordered(path)
        ends = (ends[0] if ends else number, number)
    return ends


def _disordered(path: Path) -> StoreError:
    return refusal(
        path, sqlite3.DatabaseError("the numbers of its messages are out of order")
    )
