"""A file that somebody made to look like a store cannot hang, lie or break anything."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import resilient_ws
from resilient_ws import Outbox, SQLiteStore, StoreError
from resilient_ws.cli import outbox as command
from resilient_ws.outbox import schema
from resilient_ws.outbox.schema import LAST_SEQUENCE
from resilient_ws.testing.scripts import hold
from tests.outbox.refusals import filled, offline, refused
from tests.outbox.stores import inside
from tests.record import of, recorded, until


if TYPE_CHECKING:
    from pathlib import Path

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
    match = "holds other tables|damaged|malformed|newer|not a store"
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
    await refused(server, path, "numbers of its messages")


async def test_a_store_of_the_first_release_is_one(
    server: ScriptedServer, path: Path
) -> None:
    """The words of a schema stay in each file, so ours must never be laid out anew."""
    execute(path, FIRST)
    path.chmod(0o600)
    await filled(server, path, 1)
    assert len(inside(SQLiteStore(path))) == 1


FIRST = """
PRAGMA application_id = 1920430959;
PRAGMA user_version = 1;
CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, {0}
    message_id TEXT,
    accepted_at REAL NOT NULL,
    expires_at REAL,
    only_if_open INTEGER NOT NULL,
    transmissions INTEGER NOT NULL,
    size INTEGER NOT NULL,
    is_text INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE set_aside (id INTEGER PRIMARY KEY, reason TEXT NOT NULL, {0}
    message_id TEXT,
    accepted_at REAL NOT NULL,
    expires_at REAL,
    only_if_open INTEGER NOT NULL,
    transmissions INTEGER NOT NULL,
    size INTEGER NOT NULL,
    is_text INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    data BLOB NOT NULL
);
""".format("")  # what stands behind those commas is a space

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
