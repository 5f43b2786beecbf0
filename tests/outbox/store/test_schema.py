"""A file that somebody made to look like a store cannot hang, lie or break anything."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import zlib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

import resilient_ws
from resilient_ws import DeliveryState, Outbox, SQLiteStore, StoreError
from resilient_ws.cli import outbox as command
from resilient_ws.outbox.delivery import Delivery, Terms
from resilient_ws.outbox.store import schema
from resilient_ws.outbox.store.database import Database, Forget, Put
from resilient_ws.outbox.store.rows import Values, values_of
from resilient_ws.outbox.store.schema import LAST_SEQUENCE
from resilient_ws.testing.scripts import hold
from tests.outbox.refusals import filled, offline, refused
from tests.outbox.stores import inside
from tests.record import of, recorded, until


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.testing import ScriptedServer

ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT count(*) FROM n"
)

#: What is added to a store, or changed about it; each is refused.
PLANTED = {
    "a trigger that hangs": "CREATE TRIGGER t AFTER INSERT ON messages "
    f"BEGIN {ENDLESS}; END",
    "a trigger that deletes": "CREATE TRIGGER t AFTER INSERT ON messages "
    "BEGIN DELETE FROM messages; END",
    "a trigger that ignores": "CREATE TRIGGER t BEFORE INSERT ON messages "
    "BEGIN SELECT raise(IGNORE); END",
    "a trigger on what is deleted": "CREATE TRIGGER t BEFORE DELETE ON messages "
    "BEGIN SELECT raise(IGNORE); END",
    "a view that hangs": "DROP TABLE set_aside; CREATE VIEW set_aside AS "
    f"SELECT i AS id, 'x' AS reason FROM ({ENDLESS.replace('count(*)', 'i')})",
    "a view in the place of the messages": "ALTER TABLE messages RENAME TO m; "
    "CREATE VIEW messages AS SELECT * FROM m",
    "another view": "CREATE VIEW v AS SELECT * FROM messages",
    "an index": "CREATE INDEX i ON messages (data)",
    "a unique index": "CREATE UNIQUE INDEX i ON messages (message_id)",
    "an index on an expression": "CREATE INDEX i ON messages (hex(data))",
    "another table": "CREATE TABLE t (x)",
    "statistics": "ANALYZE",
    "a virtual table": "CREATE VIRTUAL TABLE v USING fts4(x)",
    "a generated column": "ALTER TABLE messages ADD COLUMN g AS (hex(data))",
    "another column": "ALTER TABLE set_aside ADD COLUMN g DEFAULT 7",
    "a column less": "ALTER TABLE messages DROP COLUMN size",
    "a check": "DROP TABLE set_aside; CREATE TABLE set_aside (id INTEGER PRIMARY KEY, "
    f"reason TEXT NOT NULL CHECK (zeroblob(1000000000) > 0), {schema._COLUMNS})",
    "a table without numbers": "DROP TABLE messages; "
    f"CREATE TABLE messages (id INTEGER PRIMARY KEY, {schema._COLUMNS})",
    "a schema that lies": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET "
    "sql = replace(sql, 'AUTOINCREMENT', 'CHECK (0)') WHERE name = 'messages'",
    "a schema of blobs": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET "
    "sql = CAST(sql AS BLOB) WHERE name = 'messages'",
    "a schema that is not SQL": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET "
    "sql = 'nonsense' WHERE name = 'messages'",
    "a table whose name forges a line": "PRAGMA writable_schema = ON; INSERT INTO "
    "sqlite_master VALUES ('table', 'x' || char(10, 27, 8238), 'x', 2, 'nonsense')",
    "a table whose name is not UTF-8": "PRAGMA writable_schema = ON; INSERT INTO "
    "sqlite_master VALUES ('table', CAST(x'78ff' AS TEXT), 'x', 2, 'nonsense')",
    "two tables in one place": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET "
    "rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'messages')",
    "a table in no place": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET "
    "rootpage = 0 WHERE name = 'messages'",
    "an older schema": "PRAGMA user_version = 0",
    "a negative schema": "PRAGMA user_version = -1",
    "no sequence": "DELETE FROM sqlite_sequence",
    "two sequences": "INSERT INTO sqlite_sequence VALUES ('messages', 9)",
    "another's sequence": "UPDATE sqlite_sequence SET name = 'set_aside'",
    "a sequence at its end": f"UPDATE sqlite_sequence SET seq = {2**63 - 1}",
    "a sequence near its end": f"UPDATE sqlite_sequence SET seq = {2**63 - 2}",
    "a sequence of text": "UPDATE sqlite_sequence SET seq = 'many'",
    "a sequence of bytes": "UPDATE sqlite_sequence SET seq = x'00'",
    "a sequence of nothing": "UPDATE sqlite_sequence SET seq = NULL",
    "a sequence between two": "UPDATE sqlite_sequence SET seq = 3.5",
    "a negative sequence": "UPDATE sqlite_sequence SET seq = -5",
    "a sequence behind": "UPDATE sqlite_sequence SET seq = 1",
    "a message before the first": "UPDATE messages SET id = -1 WHERE id = 1",
    "a message numbered 0": "UPDATE messages SET id = 0 WHERE id = 1",
    "a message at the end": f"UPDATE messages SET id = {2**63 - 1} WHERE id = 1",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def execute(path: Path, script: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


@pytest.mark.parametrize("log", [False, True], ids=["in the file", "in its log"])
@pytest.mark.parametrize("kind", PLANTED)
async def test_a_file_that_holds_more_or_other_than_a_store(
    server: ScriptedServer, path: Path, kind: str, log: bool
) -> None:
    await filled(server, path, 3)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(PLANTED[kind])
        if log:  # as if its maker had been killed
            copy = path.parent / "copy" / path.name
            copy.parent.mkdir()
            for ending in ("", "-wal"):
                shutil.copyfile(f"{path}{ending}", f"{copy}{ending}")
            path = copy
    match = "holds other tables|damaged|written by|not a store"
    await refused(server, path, match, index=log)
    with pytest.raises(StoreError, match=match):
        inside(SQLiteStore(path))


@pytest.mark.parametrize("kind", ["a view that hangs", "another table"])
def test_the_command_is_as_careful(path: Path, kind: str) -> None:
    schema.create(path)
    execute(path, PLANTED[kind])
    shown = subprocess.run(
        [sys.executable, "-m", "resilient_ws.cli", "outbox", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert shown.returncode == 2
    assert shown.stdout == ""
    assert len(shown.stderr.splitlines()) == 1


async def test_a_sequence_far_ahead_is_gone_on_with(
    server: ScriptedServer, path: Path
) -> None:
    await filled(server, path, 1)
    execute(path, f"UPDATE sqlite_sequence SET seq = {LAST_SEQUENCE}")
    async with offline(server, SQLiteStore(path)) as session:
        newer = await session.send("newer")
        assert newer.sequence == LAST_SEQUENCE + 1
    await refused(server, path, "out of order")


def test_the_words_of_a_schema_stay() -> None:
    """They stand in each file, and a file with others is refused: a new layout of them
    is a new version."""
    words = "".join(sorted(f"{row}" for row in schema._objects())).encode()
    assert zlib.crc32(words) == WORDS[schema.SCHEMA_VERSION]


#: Of each version that was ever used.
WORDS = {1: 4012201910, 2: 2189047274}

#: Bytes of a page: small, so that a file of many is small.
PAGE = 512


def page(kind: int, cells: list[bytes], right: int = 0, begin: int = 0) -> bytes:
    """A page of a tree of SQLite; the first of a file begins behind its header."""
    made = bytearray(PAGE)
    end = PAGE
    head = begin + (12 if kind == INTERIOR else 8)
    for number, cell in enumerate(cells):
        end -= len(cell)
        made[end : end + len(cell)] = cell
        struct.pack_into(">H", made, head + 2 * number, end)
    struct.pack_into(">BHHHB", made, begin, kind, 0, len(cells), end, 0)
    if kind == INTERIOR:
        struct.pack_into(">I", made, begin + 8, right)
    return bytes(made)


INTERIOR, LEAF = 5, 13


def branch(child: int, key: int = 1) -> bytes:
    return struct.pack(">IB", child, key)


def cells_of(leaf: bytes, begin: int = 0) -> list[bytes]:
    """The cells of a leaf that SQLite has made, in order, each to the next one's."""
    (count,) = struct.unpack_from(">H", leaf, begin + 3)
    starts = struct.unpack_from(f">{count}H", leaf, begin + 8)
    ends = dict(pairwise([*sorted(starts), PAGE]))
    return [leaf[start : ends[start]] for start in starts]


class Forgery:
    """A store whose pages are changed by hand."""

    def __init__(self, path: Path, script: str = "") -> None:
        self.path = path
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE}")
            connection.executescript(schema._SCHEMA + script)
            connection.execute("PRAGMA journal_mode = WAL")
            (self.root,) = connection.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = 'messages'"
            ).fetchone()
        data = path.read_bytes()
        self.pages = [data[i : i + PAGE] for i in range(0, len(data), PAGE)]
        path.chmod(0o600)

    def write(self) -> None:
        first = bytearray(self.pages[0])
        struct.pack_into(">I", first, 28, len(self.pages))
        first[92:96] = first[24:28]
        self.path.write_bytes(bytes(first) + b"".join(self.pages[1:]))


def chain(path: Path, side: bool) -> None:
    """30,000 pages, each below the one before."""
    forged = Forgery(path)
    leaf = len(forged.pages) + 1
    forged.pages.append(page(LEAF, []))
    cells = [branch(leaf)] if side else []
    forged.pages[forged.root - 1] = page(INTERIOR, cells, leaf + 1)
    for number in range(30_000):
        forged.pages.append(page(INTERIOR, cells, leaf + 2 + number))
    forged.pages.append(page(LEAF, []))
    forged.write()


def meeting(path: Path) -> None:
    """20 levels whose every branch leads to the same page: 2 ** 100 ways."""
    forged = Forgery(path, "INSERT INTO messages VALUES (1,'',0,0,0,0,0,0,0,0,0,'');")
    (row,) = cells_of(forged.pages[forged.root - 1])
    count = len(forged.pages)
    forged.pages[forged.root - 1] = page(INTERIOR, [branch(count + 1)] * 32, count + 1)
    for level in range(16):
        below = count + 2 + level
        forged.pages.append(page(INTERIOR, [branch(below)] * 32, below))
    forged.pages.append(page(LEAF, [row]))
    forged.write()


def endless_schema(path: Path) -> None:
    """The same in the tree of the schema, with an entry that may be read again."""
    forged = Forgery(path, "CREATE TABLE t (x UNIQUE);")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT rowid, type FROM sqlite_master").fetchall()
    assert rows[-1][1] == "index"
    assert forged.pages[0][100] == INTERIOR  # too much for a page
    (right,) = struct.unpack_from(">I", forged.pages[0], 108)
    *tables, index = cells_of(forged.pages[right - 1])
    forged.pages[right - 1] = page(LEAF, tables)
    count = len(forged.pages)
    cells = cells_of_interior(forged.pages[0])
    first = page(INTERIOR, [*cells, branch(right, 100)], count + 1, begin=100)
    forged.pages[0] = forged.pages[0][:100] + first[100:]
    for level in range(16):
        below = count + 2 + level
        forged.pages.append(page(INTERIOR, [branch(below, 100)] * 32, below))
    forged.pages.append(page(LEAF, [index]))
    forged.write()


def cells_of_interior(first: bytes) -> list[bytes]:
    (count,) = struct.unpack_from(">H", first, 103)
    starts = struct.unpack_from(f">{count}H", first, 112)
    return [first[start : start + 5] for start in starts]


FORGED: dict[str, Callable[[Path], None]] = {
    "a chain": lambda path: chain(path, side=False),
    "a chain with leaves": lambda path: chain(path, side=True),
    "branches that meet": meeting,
    "a schema without end": endless_schema,
}
ENTRY = """
import asyncio, sys, threading
import resilient_ws

async def main(store):
    outbox = resilient_ws.Outbox(store=store)
    try:
        async with resilient_ws.connect(
            "ws://127.0.0.1:1234", wait_open=False, outbox=outbox
        ):
            print("entered")
    except resilient_ws.StoreError as refusal:
        print("refused:", refusal)

# As small as other platforms have it, so that what goes deep need not go so deep.
threading.stack_size(256 * 1024)
store = resilient_ws.SQLiteStore(sys.argv[1])
asyncio.run(main(store))
try:
    print(len(list(store.pending())))
except resilient_ws.StoreError as refusal:
    print("refused:", refusal)
"""


@pytest.mark.parametrize("kind", FORGED)
def test_a_tree_that_ends_nowhere(path: Path, kind: str) -> None:
    FORGED[kind](path)
    before = path.read_bytes()
    entered = subprocess.run(
        [sys.executable, "-c", ENTRY, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert entered.returncode == 0, entered.stderr
    lines = entered.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("refused:") for line in lines), lines
    assert path.read_bytes() == before


CHANGES = st.lists(
    st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=8)),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores: of a killed session, part of it in its log, and of a closed one."""
    path = tmp_path_factory.mktemp("sound") / "outbox.db"
    database = Database(path, synchronous="NORMAL", max_file_size=2**20)
    database.open()
    for number in range(1, 20):
        database.carry_out([Put([row(number, b"x" * 50 * number)])])
    for ending in ("", "-wal"):
        shutil.copyfile(f"{path}{ending}", path.with_name(f"killed{ending}"))
    database.close()
    return path.parent


def row(number: int, data: bytes) -> Values:
    terms = Terms(DeliveryState.WRITTEN, lambda: None)
    return values_of(Delivery(terms, number, data, len(data), "x", None, None), data)


@pytest.mark.parametrize("changed", ["outbox.db", "killed", "killed-wal"])
@settings(max_examples=150, deadline=None)
@given(changes=CHANGES)
def test_any_bytes_are_a_store_or_refused(
    sound: Path, changed: str, changes: list[tuple[int, bytes]]
) -> None:
    files = ["outbox.db"] if changed == "outbox.db" else ["killed", "killed-wal"]
    content = bytearray((sound / changed).read_bytes())
    for place, data in changes:
        start = place % len(content)
        content[start : start + len(data)] = data[: len(content) - start]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outbox.db"
        for name in files:
            file = path if "-" not in name else path.with_name("outbox.db-wal")
            file.touch(0o600)
            file.write_bytes(
                content if name == changed else (sound / name).read_bytes()
            )
        with contextlib.suppress(StoreError):
            for message in SQLiteStore(path).pending():
                command.line(message)
                command.json_line(message)
        database = Database(path, synchronous="NORMAL", max_file_size=2**20)
        with contextlib.suppress(StoreError):
            rows, last = database.open()
            assert last >= max((row.sequence for row in rows), default=0)
            more = Put([row(last + 1, b"more")])
            wanted = [row.sequence for row in rows if row.damage is None]
            for answer in database.carry_out([more, Forget(wanted)]):
                assert answer is None or isinstance(answer, StoreError)
            database.close()


#: A row that cannot be what was written: it is set aside, and blocks nobody.
ROWS = {
    "a size beyond all bounds": f"size = {2**63 - 1}",
    "a negative size": "size = -1",
    "a size of text": "size = 'large'",
    "a payload of text": "data = CAST(data AS TEXT)",
    "a payload that is a number": "data = 7",
    "a payload of nothing": "data = x''",
    "a payload of more": "data = data || x'00'",
    "a time without end": "accepted_at = 9e999",
    "a time before time": "accepted_at = -9e999",
    "an endless ttl": "expires_at = 9e999",
    "a ttl of text": "expires_at = 'never'",
    "transmissions of text": "transmissions = 'x'",
    "negative transmissions": "transmissions = -1",
    "a flag of 2": "only_if_open = 2",
    "an id of bytes": "message_id = x'00ff'",
    "an id that is not UTF-8": "message_id = CAST(x'ff' AS TEXT)",
    "another id": "message_id = 'yours'",
    "another kind": "is_text = 1 - is_text",
    "a kind of text": "is_text = ''",
    "another checksum": "checksum = checksum + 1",
    "a checksum of text": "checksum = 'x'",
}


@pytest.mark.parametrize("kind", ROWS)
async def test_a_row_that_cannot_be_what_was_written(
    server: ScriptedServer, path: Path, kind: str
) -> None:
    async with offline(server, SQLiteStore(path)) as session:
        for text in ("one", "two", "three"):
            await session.send(text, message_id=text)
    execute(path, f"UPDATE messages SET {ROWS[kind]} WHERE id = 2")
    shown(path, 3)
    server.play(hold)
    session = resilient_ws.connect(server.url(), outbox=Outbox(store=SQLiteStore(path)))
    events = recorded(session)
    async with session:
        await until(lambda: len(server.received) == 2)
        await session.send("newer")
    assert server.received == ["one", "three", "newer"]
    assert len(of(events, resilient_ws.DeliveryFailed)) == 1
    (aside,) = SQLiteStore(path).pending()
    assert aside.sequence == 2
    assert aside.set_aside
    shown(path, 1)


def shown(path: Path, count: int) -> None:
    """Check that each row can be shown, and is JSON that every program can read."""
    messages = list(SQLiteStore(path).pending())
    assert len(messages) == count
    for message in messages:
        assert command.line(message)
        json.loads(command.json_line(message), parse_constant=pytest.fail)
