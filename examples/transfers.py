"""The transfers of an ERC-20 token as a table that equals the chain, for bookkeepers.

    python examples/transfers.py ws://127.0.0.1:8545 0xA0b8...eB48 transfers.db

A block's transfers and the position behind it are written in one transaction, and what
a reorganisation removes is deleted in one. So the program may be killed at any time:
the next run goes on from the position, with no row missing and none twice.
"""

import argparse
import asyncio
import contextlib
import sqlite3

from resilient_ws import connect
from resilient_ws.feeds import Gap, evm
from resilient_ws.feeds.jsonrpc import Client


#: The first topic of Transfer(address,address,uint256).
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
SCHEMA = """
    CREATE TABLE IF NOT EXISTS transfers (
        block_hash TEXT, log_index INTEGER, sender TEXT, receiver TEXT, amount TEXT,
        PRIMARY KEY (block_hash, log_index)
    );
    CREATE TABLE IF NOT EXISTS gaps (first INTEGER, last INTEGER, because TEXT);
    CREATE TABLE IF NOT EXISTS position (id INTEGER PRIMARY KEY, cursor TEXT);
"""


def row(log: evm.Log) -> tuple[str, int, str, str, str]:
    """The amount is text: a token's numbers are larger than SQLite's."""
    _, sender, receiver = log.topics
    amount = int(log.data, 16)
    parties = f"0x{sender[-40:]}", f"0x{receiver[-40:]}"
    return log.blockHash, log.logIndex, *parties, str(amount)


def apply(table: sqlite3.Connection, item: evm.LogItem) -> None:
    with table:  # one transaction
        if isinstance(item, evm.BlockLogs):
            rows = [row(log) for log in item.logs]
            table.executemany("INSERT INTO transfers VALUES (?, ?, ?, ?, ?)", rows)
        elif isinstance(item, evm.Reorg):
            gone = [(block.hash,) for block in item.removed]
            table.executemany("DELETE FROM transfers WHERE block_hash = ?", gone)
        elif isinstance(item, Gap):
            hole = item.first_missing, item.until, str(item.because)
            table.execute("INSERT INTO gaps VALUES (?, ?, ?)", hole)
        if not isinstance(item, Gap):
            here = (str(item.cursor),)
            table.execute("INSERT OR REPLACE INTO position VALUES (1, ?)", here)


async def main(url: str, token: str, database: str, begin: int | None) -> None:
    with contextlib.closing(sqlite3.connect(database)) as table:
        table.executescript(SCHEMA)
        kept = table.execute("SELECT cursor FROM position").fetchone()
        after = kept[0] if kept else begin
        wanted = evm.LogFilter(address=token, topics=[TRANSFER, None, None])
        async with Client(connect(url, max_message_size=1 << 26)) as client:
            async for item in evm.logs(client, wanted, after=after):
                apply(table, item)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("url", "token", "database"):
        parser.add_argument(name)
    parser.add_argument("--begin", type=int, help="the block before the first")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(**vars(parser.parse_args())))
