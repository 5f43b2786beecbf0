"""The consumer that is killed with SIGKILL at random, and what its table then holds."""

from __future__ import annotations

import asyncio
import collections
import json
import random
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
from typing_extensions import override

from resilient_ws.testing import FaultProxy
from tests.feeds.chains.judge import Told, compared, reorganised
from tests.feeds.chains.run import AFTER, AFTER_PACE, BEFORE, SETTLE
from tests.feeds.chains.world import World
from tests.servers.chains import Block, KeptAnvil, Miner
from tests.servers.process import HOST, ServerProcess


if TYPE_CHECKING:
    import pathlib

#: Seconds that the consumer lives, and that it is away, at most.
LIFE: Final = 1.5
AWAY: Final = 0.5


class Consumer(ServerProcess):
    """The program, which dials and serves nothing."""

    def __init__(self, url: str, database: pathlib.Path) -> None:
        program = [sys.executable, "-m", "tests.feeds.chains.consumer"]
        super().__init__([*program, url, str(database), str(BEFORE)], port=0)
        self._lives = 0

    @override
    async def start(self, *, within: float = 15.0) -> None:
        self._lives = len(self.entries("ready"))
        await super().start(within=within)

    @override
    def _accepts(self) -> bool:
        return len(self.entries("ready")) > self._lives or bool(self.entries("wrong"))


@attrs.frozen(kw_only=True)
class Report:
    """A run, and all that it came to."""

    seed: int
    blocks: int
    logs: int
    kills: int
    from_cursor: int
    counts: dict[str, int]
    reorganisations: int
    gaps: dict[str, int]
    violations: list[str]


class Run:
    """One run, from its node to its report."""

    def __init__(self, folder: pathlib.Path, *, seed: int, blocks: int) -> None:
        self._seed = seed
        self._blocks = blocks
        self._node = KeptAnvil(folder / "node")
        self._database = folder / "table.db"
        self._chance = random.Random(f"{seed} kills")
        self._kills = 0
        self._is_over = False

    async def run(self) -> Report:
        """Run it."""
        async with (
            self._node,
            Miner(self._node) as miner,
            FaultProxy(HOST, self._node.port) as proxy,
        ):
            world = World(self._node, miner, [proxy], random.Random(self._seed))
            await world.begin(BEFORE)
            consumer = Consumer(proxy.url(), self._database)
            async with consumer:
                killing = asyncio.create_task(self._kill(consumer))
                try:
                    await world.go_on(self._blocks)
                finally:
                    # To its end: it may be in the middle of a start.
                    self._is_over = True
                    await killing
                if not consumer.is_running:
                    await consumer.start()
                proxy.heal()
                await self._settle(world)
            return self._report(world, consumer)

    async def _kill(self, consumer: Consumer) -> None:
        while not self._is_over:
            await asyncio.sleep(self._chance.uniform(0, LIFE))
            await consumer.kill()
            self._kills += 1
            await asyncio.sleep(self._chance.uniform(0, AWAY))
            await consumer.start()

    async def _settle(self, world: World) -> None:
        for _ in range(AFTER):
            await world.mine()
            await asyncio.sleep(AFTER_PACE)
        end = time.monotonic() + SETTLE
        while time.monotonic() < end:
            rows = self._rows("SELECT hash FROM blocks ORDER BY number DESC LIMIT 1")
            if rows == [(world.tip.hash,)]:
                return
            await asyncio.sleep(0.05)

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        database = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()

    def _told(self) -> Told:
        """Judge the history, in which no restart shows."""
        told = Told(position=BEFORE)
        for kind, text in self._rows("SELECT kind, what FROM history ORDER BY number"):
            what = json.loads(text)
            if kind == "apply":
                number, name, parent, found = what
                told.apply(Block(number, name, parent, _pairs(found)))
            elif kind == "undo":
                told.undo(*what)
            elif kind == "miss":
                told.miss(*what)
            else:
                told.reach(*what)
        return told

    def _report(self, world: World, consumer: Consumer) -> Report:
        told = self._told()
        violations = compared(told, world.chain, BEFORE)
        violations += reorganised(told, world.removed)
        violations += [entry["why"] for entry in consumer.entries("wrong")]
        # The table itself, not what the history makes of it.
        logs = self._rows("SELECT block, place, data FROM logs")
        table = {
            (number, name, _pairs([row[1:] for row in sorted(logs) if row[0] == name]))
            for number, name in self._rows("SELECT number, hash FROM blocks")
        }
        wanted = {(b.number, b.hash, b.logs) for b in told.blocks.values()}
        if table != wanted:
            violations.append(f"{len(table ^ wanted)} rows are not as in the history")
        cursors = [e["cursor"] for e in consumer.entries("ready")]
        return Report(
            seed=self._seed,
            blocks=sum(number > BEFORE for number in world.chain),
            logs=sum(len(b.logs) for n, b in world.chain.items() if n > BEFORE),
            kills=self._kills,
            from_cursor=sum(cursor is not None for cursor in cursors),
            counts=dict(world.counts),
            reorganisations=len(told.undone),
            gaps=dict(collections.Counter(hole.because for hole in told.holes)),
            violations=violations,
        )


def _pairs(found: list[Any]) -> tuple[tuple[int, str], ...]:
    return tuple((place, data) for place, data in found)
