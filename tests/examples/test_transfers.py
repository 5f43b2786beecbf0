"""examples/transfers.py: the table equals the chain, whatever happens to either."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.examples.program import Program
from tests.examples.token import ALICE, BOB, CAROL, Token
from tests.record import until
from tests.servers.chains import KeptAnvil


if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire

LARGE = 2**255 + 1


def rows(database: Path) -> list[Any]:
    query = "SELECT * FROM transfers ORDER BY rowid"
    with contextlib.closing(sqlite3.connect(database)) as table:
        try:
            return table.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []  # the program has not made it yet


async def test_the_table_equals_the_chain(anvil: Anvil, tmp_path: Path) -> None:
    database = tmp_path / "transfers.db"
    chance = random.Random(15)
    async with Token(anvil.url) as token:
        arguments = (anvil.url, token.address, str(database), "--begin", "0")
        for _ in range(3):
            async with Program("transfers.py", *arguments):
                for _ in range(4):
                    await token.transfer((ALICE, BOB, LARGE), (BOB, CAROL, 1))
                await token.call("anvil_reorg", chance.randint(1, 3), [])
                await token.transfer((CAROL, ALICE, 7))
                wanted = await token.rows()
                await until(lambda: rows(database) == wanted, within=60)  # noqa: B023 - done in the round
            # Killed. What happens now is missed.
            await token.call("anvil_reorg", chance.randint(1, 3), [])
            await token.transfer((ALICE, CAROL, 3))
        async with Program("transfers.py", *arguments) as program:
            wanted = await token.rows()
            await until(lambda: rows(database) == wanted, within=60)
            assert await program.interrupted() == 0
    assert any(row[4] == str(LARGE) for row in wanted)


async def test_the_node_is_killed(tmp_path: Path) -> None:
    database = tmp_path / "transfers.db"
    async with KeptAnvil(tmp_path / "node") as anvil, Token(anvil.url) as token:
        arguments = (anvil.url, token.address, str(database), "--begin", "0")
        async with Program("transfers.py", *arguments):
            await token.transfer((ALICE, BOB, 1))
            await until(lambda: len(rows(database)) == 1, within=60)
            await anvil.remember()
            await token.transfer((BOB, ALICE, 2))  # is lost with the node
            await until(lambda: len(rows(database)) == 2, within=60)
            await anvil.restart_as_remembered()
            await token.reconnect()
            await token.transfer((ALICE, BOB, 3), (BOB, ALICE, 4))
            wanted = await token.rows()
            assert len(wanted) == 3
            await until(lambda: rows(database) == wanted, within=60)
