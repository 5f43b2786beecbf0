"""One run before a node that lies: what our stream makes of each lie."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import time
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

from resilient_ws.feeds.evm import logs
from resilient_ws.feeds.jsonrpc import Client
from tests.feeds.chains.judge import Told, compared, reorganised
from tests.feeds.chains.run import all_logs, session_to
from tests.servers.chains import Block, KeptAnvil, Miner
from tests.servers.lying import Lie, LyingNode


if TYPE_CHECKING:
    import pathlib

Verify: TypeAlias = Literal["hash", "bloom", "receipts"]

#: Blocks before anybody follows, which are all asked for: so many that some are final.
BEFORE: Final = 120
#: What ``logs`` has by default.
STALE_AFTER: Final = 15.0
#: How far the second node is behind the first, at most, in changes of the chain.
LAG: Final = 3
#: How often the link ends, a reorganisation comes, and several blocks come at once.
DROPS, REORGANISES, BURSTS = 0.06, 0.08, 0.05
MAX_DEPTH: Final = 3
PACE: Final = 0.12
SETTLE: Final = 60.0


@attrs.frozen(kw_only=True)
class Report:
    """A run, and all that it came to."""

    lie: Lie
    seed: int
    verify: Verify
    blocks: int
    logs: int
    lies: dict[str, int]
    calls: dict[str, int]
    reorganisations: int
    drops: int
    gaps: dict[str, int]
    violations: list[str]


class Run:
    """One run, from its two nodes to its report.

    Args:
        folder: Where the nodes keep their chains.
        lie: What the node before them does wrong.
        seed: Of all that is drawn.
        blocks: As many are mined while our stream follows.
        verify: How our stream verifies logs.
        logs: The most logs in a block. With one, a log that is dropped leaves an empty
            answer, which the bloom of the block contradicts.
        limit: Of ``LIMITS``, for ``Lie.REFUSES``.
        stale_after: Seconds of silence after which our stream asks.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        lie: Lie,
        *,
        seed: int,
        blocks: int = 40,
        verify: Verify = "bloom",
        logs: int = 3,
        limit: str | None = None,
        stale_after: float = STALE_AFTER,
    ) -> None:
        self._nodes = KeptAnvil(folder / "ahead"), KeptAnvil(folder / "behind")
        self._lie = lie
        self._seed = seed
        self._blocks = blocks
        self._verify = verify
        self._stale_after = stale_after
        self._logs = logs
        self._limit = limit
        self._chance = random.Random(f"{seed} {lie.name}")
        self._told = Told(position=0)
        self._removed: list[frozenset[str]] = []
        self._repeated = 0
        self._drops = 0

    async def run(self) -> Report:
        """Run it."""
        async with contextlib.AsyncExitStack() as stack:
            for anvil in self._nodes:
                await stack.enter_async_context(anvil)
            ahead, behind = [
                await stack.enter_async_context(Miner(anvil)) for anvil in self._nodes
            ]
            node = await stack.enter_async_context(
                LyingNode(
                    [anvil.port for anvil in self._nodes],
                    self._lie,
                    seed=self._seed,
                    limit=self._limit,
                )
            )
            for _ in range(BEFORE):
                await self._mine(ahead)
            await self._level(ahead, behind, 0)
            following = asyncio.create_task(self._follow(node.url))
            try:
                await self._go_on(ahead, behind, node)
                await self._settle(ahead, following)
            finally:
                following.cancel()
                await asyncio.wait([following])
            return self._report(await ahead.chain(0), node, following)

    async def _follow(self, url: str) -> None:
        async with Client(session_to(url)) as client:
            stream = logs(
                client,
                all_logs(),
                after=0,
                verify=self._verify,
                stale_after=self._stale_after,
            )
            async for item in stream:
                self._told.take(item)

    async def _go_on(self, ahead: Miner, behind: Miner, node: LyingNode) -> None:
        # What is rare comes once in any case, in the middle of a run.
        middle = self._blocks // 2
        for turn in range(self._blocks):
            await self._mine(ahead)
            roll = self._chance.random()
            if roll < DROPS or turn == middle:
                self._drops += 1
                await node.drop()
            elif roll < DROPS + REORGANISES or turn == middle + 5:
                await self._reorganise(ahead)
            elif roll < DROPS + REORGANISES + BURSTS:
                for _ in range(5):
                    await self._mine(ahead)
            await self._level(ahead, behind, self._chance.randint(0, LAG))
            await asyncio.sleep(self._chance.uniform(0, PACE))
        await self._level(ahead, behind, 0)
        await self._mine(ahead)
        await self._level(ahead, behind, 0)

    async def _mine(self, ahead: Miner) -> None:
        """Mine a block with logs, most of the time."""
        count = self._chance.randint(0, self._logs)
        await ahead.mine(*([count] if count else []))

    async def _reorganise(self, ahead: Miner) -> None:
        depth = self._chance.randint(1, MAX_DEPTH)
        height = await ahead.height()
        gone = await ahead.chain(height - depth + 1)
        self._removed.append(frozenset(block.hash for block in gone))
        await ahead.reorganise(depth, self._chance.randint(1, self._logs))

    async def _level(self, ahead: Miner, behind: Miner, lag: int) -> None:
        """Do on the second node what was done on the first, but for the last of it."""
        done = list(ahead.done)
        for mined in done[self._repeated : len(done) - lag]:
            await behind.repeat(mined)
            self._repeated += 1

    async def _settle(self, ahead: Miner, following: asyncio.Task[None]) -> None:
        tip = await ahead.block(await ahead.height())
        end = time.monotonic() + SETTLE
        while time.monotonic() < end and not following.done():
            if self._told.tip is not None and self._told.tip.hash == tip.hash:
                return
            await asyncio.sleep(0.02)

    def _report(
        self, chain: list[Block], node: LyingNode, following: asyncio.Task[None]
    ) -> Report:
        told = self._told
        truth = {block.number: block for block in chain}
        violations = compared(told, truth, 0) + reorganised(
            told, self._removed, in_parts=self._lie is Lie.UNEVEN
        )
        if not following.cancelled():
            violations.append(f"the stream ended: {following.exception()!r}")
        return Report(
            lie=self._lie,
            seed=self._seed,
            verify=self._verify,
            blocks=len(chain) - 1,
            logs=sum(len(block.logs) for block in chain),
            lies=dict(node.lies),
            calls=dict(node.calls),
            reorganisations=len(told.undone),
            drops=self._drops,
            gaps=dict(collections.Counter(hole.because for hole in told.holes)),
            violations=violations,
        )
