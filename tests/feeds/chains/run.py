"""One run: a chain that everything is done to, our stream of it, and the peers'."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import tenacity

from resilient_ws import Liveness, Reconnect, Session, connect
from resilient_ws.feeds.evm import LogFilter, heads, logs
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import FaultProxy
from tests.feeds.chains.judge import Told, compared, reorganised
from tests.feeds.chains.peers import Follower, Row
from tests.feeds.chains.world import World
from tests.servers.chains import TOPIC, KeptAnvil, Miner
from tests.servers.process import HOST


if TYPE_CHECKING:
    import pathlib
    from collections.abc import AsyncIterator, Sequence

#: Our streams.
OURS: Final = ("heads", "logs")
#: Blocks before anybody follows.
BEFORE: Final = 10
#: Seconds that our stream has at the end, and then the peers, to be where the node is.
SETTLE: Final = 60.0
PEERS_SETTLE: Final = 6.0
#: Blocks at the end, when nothing goes wrong any more, and the seconds between them.
AFTER: Final = 5
AFTER_PACE: Final = 0.3


@attrs.frozen(kw_only=True)
class Ours:
    """What one of our streams told in a run."""

    connections: int
    applied: int
    reorganisations: int
    undone: int
    gaps: dict[str, int]
    settled: float
    violations: list[str]


@attrs.frozen(kw_only=True)
class Report:
    """A run, and all that it came to."""

    seed: int
    blocks: int
    logs: int
    counts: dict[str, int]
    ours: dict[str, Ours]
    peers: dict[str, Row]

    @property
    def violations(self) -> list[str]:
        """What our streams have wrong."""
        found = self.ours.items()
        return [f"{name}: {what}" for name, one in found for what in one.violations]


def session_to(url: str) -> Session:
    """A session that soon notices a black hole."""
    return connect(
        url,
        liveness=Liveness(ping_interval=1.0, ping_timeout=2.0),
        reconnect=Reconnect(wait=tenacity.wait_random(0.05, 0.3)),
        max_message_size=32 * 1024 * 1024,
    )


def all_logs() -> LogFilter:
    """Every log that a ``Miner`` emits."""
    return LogFilter(topics=[TOPIC])


class Stream:
    """One of our streams: ``heads`` or ``logs``."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.told = Told(position=BEFORE)
        self._session = session_to(url)
        self._settled = 0.0
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async with Client(self._session) as client:
            stream: AsyncIterator[Any] = (
                heads(client, after=BEFORE)
                if self.name == "heads"
                else logs(client, all_logs(), after=BEFORE)
            )
            async for item in stream:
                self.told.take(item)

    async def settle(self, world: World, within: float) -> None:
        """Wait until it is where the node is."""
        began = time.monotonic()
        while time.monotonic() < began + within and not self.task.done():
            if self.told.tip is not None and self.told.tip.hash == world.tip.hash:
                break
            await asyncio.sleep(0.02)
        self._settled = time.monotonic() - began

    async def end(self) -> None:
        """End it."""
        self.task.cancel()
        await asyncio.wait([self.task])

    def judged(self, world: World) -> Ours:
        """What it told, beside what the node has."""
        told, chain = self.told, world.chain
        if self.name == "heads":
            chain = {n: attrs.evolve(block, logs=()) for n, block in chain.items()}
        violations = compared(told, chain, BEFORE) + reorganised(told, world.removed)
        if not self.task.cancelled():
            violations.append(f"the stream ended: {self.task.exception()!r}")
        return Ours(
            connections=self._session.epoch,
            applied=told.applied,
            reorganisations=len(told.undone),
            undone=sum(map(len, told.undone)),
            gaps=dict(collections.Counter(hole.because for hole in told.holes)),
            settled=self._settled,
            violations=violations,
        )


class Run:
    """One run, from its node to its report."""

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        seed: int,
        blocks: int,
        ours: Sequence[str] = OURS,
        peers: Sequence[str] = (),
    ) -> None:
        self._seed = seed
        self._blocks = blocks
        self._ours = ours
        self._peers = peers
        self._node = KeptAnvil(folder)

    async def run(self) -> Report:
        """Run it."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._node)
            miner = await stack.enter_async_context(Miner(self._node))
            proxies = [
                await stack.enter_async_context(FaultProxy(HOST, self._node.port))
                for _ in range(len(self._ours) + len(self._peers))
            ]
            world = World(self._node, miner, proxies, random.Random(self._seed))
            await world.begin(BEFORE)
            urls = iter([proxy.url() for proxy in proxies])
            followers = [
                await stack.enter_async_context(Follower(peer, next(urls)))
                for peer in self._peers
            ]
            streams = [Stream(name, next(urls)) for name in self._ours]
            for stream in streams:
                stack.push_async_callback(stream.end)
            await world.go_on(self._blocks)
            for proxy in proxies:
                proxy.heal()
            await self._settle(world, streams)
            for stream in streams:
                await stream.end()
            return self._report(world, streams, followers)

    async def _settle(self, world: World, streams: Sequence[Stream]) -> None:
        """Mine the last blocks, and wait for our streams."""
        await asyncio.sleep(PEERS_SETTLE if self._peers else 0.0)
        for _ in range(AFTER):
            await world.mine()
            await asyncio.sleep(AFTER_PACE)
        for stream in streams:
            await stream.settle(world, SETTLE)

    def _report(
        self, world: World, streams: Sequence[Stream], followers: Sequence[Follower]
    ) -> Report:
        chain = [block for n, block in world.chain.items() if n > BEFORE]
        return Report(
            seed=self._seed,
            blocks=len(chain),
            logs=sum(len(block.logs) for block in chain),
            counts=dict(world.counts),
            ours={stream.name: stream.judged(world) for stream in streams},
            peers={f.peer: f.judged(chain, BEFORE) for f in followers},
        )
