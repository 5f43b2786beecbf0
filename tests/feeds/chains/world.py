"""The node, what is done to it, and what its chain was at each moment."""

from __future__ import annotations

import asyncio
import collections
import itertools
import random
from collections.abc import Sequence
from typing import Final

import attrs

from resilient_ws.testing import BlackHole, FaultProxy, Reset
from tests.servers.chains import Block, KeptAnvil, Miner


#: What is done, and how often, against blocks that are only mined.
ODDS: Final = {
    "reorganisation": 0.05,
    "reset": 0.012,
    "black hole": 0.006,
    "kill": 0.01,
    "kill, shorter": 0.006,
}
MAX_DEPTH: Final = 5
#: Seconds between two blocks, at most, and that a killed node stays away, at most.
PACE: Final = 0.08
AWAY: Final = 1.5


@attrs.define
class World:
    """A chain that grows, and everything that is done to it.

    Rules: whatever changes the chain goes through here, one at a time. After each change
    the node's own chain is read, so ``chain`` is what the node has, and ``removed`` holds
    what was taken from it, each time by itself.
    """

    node: KeptAnvil
    miner: Miner
    proxies: Sequence[FaultProxy]
    chance: random.Random
    chain: dict[int, Block] = attrs.Factory(dict[int, Block])
    removed: list[frozenset[str]] = attrs.Factory(list[frozenset[str]])
    counts: collections.Counter[str] = attrs.Factory(collections.Counter[str])
    #: Below this the node cannot reorganise: it has begun a new life there.
    floor: int = 0

    @property
    def height(self) -> int:
        """The number of the newest block."""
        return max(self.chain)

    @property
    def tip(self) -> Block:
        """The newest block."""
        return self.chain[self.height]

    async def begin(self, blocks: int) -> None:
        """Mine the first blocks."""
        for _ in range(blocks):
            await self.miner.mine(1)
        await self.look()
        self.floor = self.height
        await self.node.remember()

    async def go_on(self, blocks: int) -> None:
        """Make the chain so much longer, while all goes wrong; each kind early."""
        kinds = list(ODDS)
        self.chance.shuffle(kinds)
        early = dict(zip(range(5, 5 + 6 * len(kinds), 6), kinds, strict=True))
        target = self.height + blocks
        turns = itertools.count()
        while self.height < target:
            await self.mine()
            await asyncio.sleep(self.chance.uniform(0, PACE))
            turn = next(turns)
            kind = early.get(turn) if turn <= max(early) else self._drawn()
            if kind is not None:
                await self.do(kind)

    async def mine(self) -> None:
        """Mine a block, with transactions and logs, or without."""
        logs = [self.chance.randrange(4) for _ in range(self.chance.randrange(3))]
        await self.miner.mine(*logs)
        await self.look()

    async def do(self, kind: str) -> None:
        """Do one thing."""
        self.counts[kind] += 1
        if kind == "reset":
            for proxy in self.proxies:
                proxy.apply(Reset())
        elif kind == "black hole":
            # The one that is open is lost; the next goes through.
            for proxy in self.proxies:
                for connection in proxy.connections[-1:]:
                    connection.apply(BlackHole())
        elif kind == "reorganisation":
            await self._reorganise()
        else:
            await self._kill(shorter=kind == "kill, shorter")

    async def look(self) -> None:
        """Read the node's chain from where it is not as before."""
        height = await self.miner.height()
        shared = min(height, max(self.chain, default=-1))
        fresh: list[Block] = []
        while shared >= 0:
            block = await self.miner.block(shared)
            if block.hash == self.chain[shared].hash:
                break
            fresh.append(block)
            shared -= 1
        gone = [block for number, block in self.chain.items() if number > shared]
        if gone:
            self.removed.append(frozenset(block.hash for block in gone))
        above = range(shared + 1 + len(fresh), height + 1)
        fresh += [await self.miner.block(number) for number in above]
        for block in gone:
            del self.chain[block.number]
        self.chain |= {block.number: block for block in fresh}

    async def _reorganise(self) -> None:
        depth = self.chance.randint(1, MAX_DEPTH)
        while self.height - self.floor < depth:
            await self.mine()
        await self.miner.reorganise_at_once(depth, self.chance.randrange(1, 4))
        await self.look()
        self.counts[f"depth {depth}"] += 1

    async def _kill(self, *, shorter: bool) -> None:
        down = self.chance.uniform(0, AWAY)
        if shorter:
            await self.node.remember()
            for _ in range(self.chance.randint(1, MAX_DEPTH)):
                await self.mine()
            await self.node.restart_as_remembered(down=down)
        else:
            await self.node.restart_as_kept(down=down)
        self.miner.forget()
        before = self.height
        await self.look()
        self.floor = self.height
        self.counts["blocks lost in a kill"] += max(0, before - self.height)

    def _drawn(self) -> str | None:
        roll = self.chance.random()
        for kind, odds in ODDS.items():
            if roll < odds:
                return kind
            roll -= odds
        return None
