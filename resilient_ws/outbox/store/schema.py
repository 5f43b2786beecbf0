"""The tables of a store, and the checks that a file is one.

Rules: a new file gets its name only when it is complete, so no crash leaves half a
store. A file that is foreign, newer or damaged is refused before anything is written to
it. The schema in a file can make SQLite run code (triggers, views), so a file that does
not hold exactly our tables is refused before a row of it is read.
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
from resilient_ws.outbox.store import files
from resilient_ws.protocol.text import printable


#: "rwso" in the header of the file marks it as ours.
APPLICATION_ID: Final = int.from_bytes(b"rwso")
#: Grows with each change of the tables.
SCHEMA_VERSION: Final = 2
#: Seconds to wait for a reader that is in the way.
BUSY_TIMEOUT: Final = 5.0
#: A number that no store reaches, however fast and long messages are written to it.
LAST_SEQUENCE: Final = 2**62
#: Steps of SQLite's virtual machine; reading a store's schema takes a few hundred.
_SCHEMA_STEPS: Final = 100_000

_MAGIC: Final = b"SQLite format 3\0"
#: Fields of the header of a database file: the size of a page, the number of pages,
#: the version of the schema, and the application's id.
_HEADER: Final = struct.Struct(">H 10x I 28x I 4x I")
_HEADER_SIZE: Final = 100

# SQLite stores this text in the file, and a store is recognized by it: reformatting it
# changes the schema.
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
    """Open a file with SQLite's URL options, such as ``mode="ro"``."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?{query}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
    )
    # Damaged text must not raise while it is read, so that it can be shown.
    connection.text_factory = _lenient
    # The file may be hostile: run no code from its schema, and check its pages.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _lenient(text: bytes) -> str:
    return text.decode(errors="replace")


def create(path: Path) -> None:
    """Create a store under a temporary name, and rename it when it is complete."""
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
    """Make a new name survive a power failure, where folders can be synced."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check(path: Path) -> None:
    """Raise ``StoreError`` if a file is not a sound store; write nothing to it."""
    try:
        # Read only the header at first: a foreign file, and the files beside it, are
        # not ours to touch.
        _check_header(path)
        reader(path).close()
    except sqlite3.DatabaseError as damage:
        raise refusal(path, damage) from damage


def reader(path: Path) -> sqlite3.Connection:
    """Open a sound store to read it, without changing any file.

    Raises:
        StoreError: The file is not a sound store.
        sqlite3.DatabaseError: The file cannot be read.
    """
    files.check_readable(path)
    # If there is a log, a session is at work or was killed, and the log holds the
    # newest messages. If there is none, a reader must not create it.
    still = {} if files.regular(_log_of(path)) else {"immutable": 1}
    connection = connect(path, mode="ro", **still)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(connection.close)
        # SQLite reads the schema first, and a planted one may loop for ever.
        connection.set_progress_handler(_enough, _SCHEMA_STEPS)
        try:
            _check_objects(path, connection)
        except UnicodeDecodeError:  # SQLite's error quotes text that is not UTF-8
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
    """Return the error for a file that SQLite cannot read."""
    name = getattr(damage, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB":
        return _foreign(path)
    # SQLite quotes what is in the file, such as the name of a table.
    words = printable(" ".join(str(damage).split()))
    if name == "SQLITE_INTERRUPT":
        words = "its schema loops without end"
    elif isinstance(damage, sqlite3.OperationalError):
        return StoreError(f"{path} cannot be read: {words}.")
    return StoreError(
        f"{path} is damaged ({words}); it was left as it is. Move it away to start "
        "with an empty store, or repair a copy with sqlite3's .recover."
    )


def _foreign(path: Path) -> StoreError:
    return StoreError(
        f"{path} is not a store of resilient_ws; it was left as it is. Choose another "
        "path."
    )


def _check_header(path: Path) -> None:
    """Check the first bytes without SQLite, which would read the rest as well.

    They stay valid for the life of the file, whatever a crash left unfinished.
    """
    descriptor = os.open(path, os.O_RDONLY | files.SAFE_FLAGS)
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
        raise refusal(path, sqlite3.DatabaseError("its size does not match its header"))


def _in_bytes(page_size: int) -> int:
    return 65536 if page_size == 1 else page_size


def _check_version(path: Path, version: int) -> None:
    if 0 < version < SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by an early resilient_ws (its schema is {version}, "
            f"this version reads {SCHEMA_VERSION}); it was left as it is. Send its "
            "messages with that version, or choose another path."
        )
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer resilient_ws (its schema is {version}, "
            f"this version reads {SCHEMA_VERSION}); it was left as it is. Upgrade "
            "resilient-ws."
        )


def _check_objects(path: Path, connection: sqlite3.Connection) -> None:
    """Raise ``StoreError`` unless a file holds exactly our tables; read no row."""
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
            f"{path} holds other tables, triggers, views or indexes than a store of "
            "resilient_ws; it was left as it is. Remove what was added, or move the "
            "file away to start with an empty store."
        )


@functools.cache
def _objects() -> frozenset[object]:
    """Return the objects in the schema of a store, as SQLite lists them."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_SCHEMA)
        return frozenset(connection.execute(_OBJECTS))


def _check_soundness(path: Path, connection: sqlite3.Connection) -> None:
    # Walk the tables first. SQLite's own check follows a planted tree to any depth, and
    # exhausts its stack; walking a table goes 20 pages deep at most.
    _walk(path, connection, "sqlite_sequence")
    ends = [_walk(path, connection, table) for table in ("messages", "set_aside")]
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise refusal(path, sqlite3.DatabaseError(verdict))
    # The next message gets the number after the last. If that number were in use, the
    # message would replace another.
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
    """Check that a table's numbers ascend; return the first and the last."""
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
    return refusal(path, sqlite3.DatabaseError("its message numbers are out of order"))
