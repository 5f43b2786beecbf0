"""A consumer that may be killed: ``python -m tests.feeds.chains.consumer URL DB AFTER``.

It keeps the chain's blocks and logs in a table. What an item changes there, and the
cursor behind it, are one transaction. So whenever it is killed, the table and the cursor
agree, and it goes on from there.

Each change is written to ``history`` in the same transaction, for the judge.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import sqlite3
import sys
from typing import TYPE_CHECKING

from resilient_ws.feeds import Gap
from resilient_ws.feeds.evm import BlockLogs, Cursor, Progress, Reorg, logs
from resilient_ws.feeds.jsonrpc import Client
from tests.feeds.chains.judge import block_of
from tests.feeds.chains.run import all_logs, session_to
from tests.servers import behaviour


if TYPE_CHECKING:
    from resilient_ws.feeds.evm import BlockRef

_TABLES = """
    CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, hash TEXT UNIQUE);
    CREATE TABLE IF NOT EXISTS logs (
        block TEXT REFERENCES blocks (hash), place INTEGER, data TEXT,
        PRIMARY KEY (block, place)
    );
    CREATE TABLE IF NOT EXISTS position (
        one INTEGER PRIMARY KEY CHECK (one = 1), cursor TEXT
    );
    CREATE TABLE IF NOT EXISTS history (
        number INTEGER PRIMARY KEY, kind TEXT, what TEXT
    );
"""


class Table:
    """The table, and the cursor beside it.

    A block that is applied twice, or undone without being there, is an error of SQLite
    or an assertion: the process ends, and the judge sees that it did.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._database = sqlite3.connect(path)
        # A killed process loses nothing that the system was given.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_TABLES)

    def cursor(self) -> Cursor | None:
        """Where to go on, or ``None`` at the first start."""
        row = self._database.execute("SELECT cursor FROM position").fetchone()
        return None if row is None else Cursor.parse(row[0])

    def take(self, item: BlockLogs | Reorg | Gap | Progress) -> None:
        """Carry out what the stream says, and move the cursor, or neither."""
        with self._database:
            if isinstance(item, BlockLogs):
                self._apply(item)
            elif isinstance(item, Reorg):
                self._undo(item)
            elif isinstance(item, Gap):
                what = [item.first_missing, item.until, type(item.because).__name__]
                self._note("miss", what)
                return
            else:
                self._note("reach", [item.number])
            self._database.execute(
                "INSERT INTO position VALUES (1, ?)"
                " ON CONFLICT (one) DO UPDATE SET cursor = excluded.cursor",
                [str(item.cursor)],
            )

    def _apply(self, item: BlockLogs) -> None:
        execute, block = self._database.execute, block_of(item.head, item.logs)
        execute("INSERT INTO blocks VALUES (?, ?)", [block.number, block.hash])
        for place, data in block.logs:
            execute("INSERT INTO logs VALUES (?, ?, ?)", [block.hash, place, data])
        self._note("apply", [block.number, block.hash, block.parent, block.logs])

    def _undo(self, item: Reorg) -> None:
        for block in item.removed:
            self._remove(block)
        ancestor = item.ancestor
        removed = [block.hash for block in item.removed]
        self._note("undo", [ancestor.number, ancestor.hash, removed])

    def _remove(self, block: BlockRef) -> None:
        execute = self._database.execute
        execute("DELETE FROM logs WHERE block = ?", [block.hash])
        gone = execute("DELETE FROM blocks WHERE hash = ?", [block.hash])
        assert gone.rowcount == 1, f"{block.number} was undone, and is not there"

    def _note(self, kind: str, what: object) -> None:
        self._database.execute(
            "INSERT INTO history (kind, what) VALUES (?, ?)", [kind, json.dumps(what)]
        )


async def follow(url: str, path: pathlib.Path, after: int) -> None:
    """Follow for ever."""
    table = Table(path)
    cursor = table.cursor()
    async with Client(session_to(url)) as client:
        behaviour.log("ready", cursor=None if cursor is None else cursor.number)
        async for item in logs(client, all_logs(), after=cursor or after):
            table.take(item)


async def main(url: str, path: str, after: str) -> None:
    """Follow until told to end, or until something is wrong."""
    following = asyncio.create_task(follow(url, pathlib.Path(path), int(after)))
    ending = asyncio.create_task(behaviour.until_told_to_end())
    await asyncio.wait([following, ending], return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        behaviour.log("wrong", why=repr(following.exception()))
        await ending
    following.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
