"""Many subscriptions of one session: ``python -m tests.feeds.crowd``.

The server is a process of its own, behind a proxy that cuts the link. First a thousand
subscriptions come back after drops, at the pace that ``rate`` sets and with all that
they missed. Then one of a hundred consumers is slow. It ends with 1 if anything was
lost, disturbed or late.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import pathlib
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import attrs

import resilient_ws
from resilient_ws import Reconnect
from resilient_ws.feeds import Gap, Stage, Subscription, consecutive
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import FaultProxy, Reset
from tests.feeds.stream import judge
from tests.servers.process import ServerProcess


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@attrs.define
class Follower:
    """A subscription, and what its consumer took."""

    topic: str
    pause: float = 0.0
    subscription: Subscription[int] | None = None
    taken: list[Any] = attrs.Factory(list)
    fetches: int = 0
    most_waiting: int = 0

    async def run(self, client: Client, buffer: int) -> None:
        """Subscribe, and read for ever."""

        async def backfill(after: int, until: int | None) -> AsyncIterator[int]:
            self.fetches += 1
            params = [self.topic, after, until]
            for number in await client.call("range", params, repeat=True):
                yield number

        self.subscription = await client.subscribe(
            "sub",
            [self.topic],
            cursor_of=int,
            follows=consecutive(int),
            backfill=backfill,
            buffer=buffer,
        )
        async for item in self.subscription:
            self.taken.append(item)
            self.most_waiting = max(self.most_waiting, self.subscription.lag)
            if self.pause:
                await asyncio.sleep(self.pause)

    @property
    def is_live(self) -> bool:
        return self.subscription is not None and self.subscription.state is Stage.LIVE


@attrs.define
class Crowd:
    """Followers of one client, with the server behind a proxy."""

    followers: list[Follower]
    client: Client
    proxy: FaultProxy

    async def until_live(self, within: float) -> float:
        """Wait until all are live; return the seconds that took."""
        began = time.perf_counter()
        while not all(follower.is_live for follower in self.followers):
            await asyncio.sleep(0.01)
            if time.perf_counter() - began > within:
                down = sum(not follower.is_live for follower in self.followers)
                raise AssertionError(f"{down} are not live after {within:g} s")
        return time.perf_counter() - began

    def cut(self) -> None:
        """Cut the link."""
        self.proxy.apply(Reset())


@contextlib.asynccontextmanager
async def crowd(
    ledger: pathlib.Path,
    followers: list[Follower],
    *,
    items: float,
    rate: float | None = None,
    buffer: int = 1024,
) -> AsyncIterator[Crowd]:
    """Let all of them follow topics that count up ``items`` a second."""
    command = [sys.executable, "-m", "tests.feeds.server", "{port}", str(ledger)]
    command += ["--rate", str(items)]
    async with (
        ServerProcess(command) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        Client(
            resilient_ws.connect(
                proxy.url(),
                reconnect=Reconnect(wait=lambda _: 0.05),
                compression=None,
            ),
            rate=rate,
        ) as client,
        asyncio.TaskGroup() as group,
    ):
        tasks = [
            group.create_task(follower.run(client, buffer)) for follower in followers
        ]
        yield Crowd(followers, client, proxy)
        for task in tasks:
            task.cancel()


def faults_of(followers: list[Follower]) -> list[str]:
    """What was lost without a word, or not fetched."""
    faults = []
    for follower in followers:
        try:
            judge(follower.taken)
        except AssertionError as fault:
            faults.append(f"{follower.topic}: {fault}")
        gaps = [item for item in follower.taken if isinstance(item, Gap)]
        # Before its first item a consumer has no position to fetch from.
        if any(gap.first_missing is not None for gap in gaps):
            faults.append(f"{follower.topic}: {gaps}")
    return faults


async def come_back(
    ledger: pathlib.Path, *, count: int, rate: float, settle: float
) -> tuple[list[str], list[str]]:
    """Cut the link of many subscriptions; return what was seen, and what was wrong."""
    followers = [Follower(f"t{number}") for number in range(count)]
    bound = count / rate + 10.0
    seen = [f"{count:,} subscriptions, {rate:g} a second at most"]
    async with crowd(ledger, followers, items=1.0, rate=rate) as crowded:
        took = await crowded.until_live(bound)
        seen.append(f"  first subscribed in {took:.2f} s")
        await asyncio.sleep(settle)
        crowded.cut()
        await asyncio.sleep(0.3)
        took = await crowded.until_live(bound)
        seen.append(f"  back after one drop in {took + 0.3:.2f} s")
        for _ in range(5):
            crowded.cut()
            await asyncio.sleep(0.4)
        took = await crowded.until_live(bound)
        seen.append(f"  back after five drops in 2 s, {took:.2f} s after the last")
        await asyncio.sleep(settle)
        statistics = crowded.client.channel.statistics()
    faults = faults_of(followers)
    asked = _times(ledger)
    most = max(
        sum(start <= one < start + 1 for one in asked)
        for start in asked[:: len(asked) // 50]
    )
    seen.append(f"  most subscriptions asked for in a second: {most}")
    if most > rate * 1.1 + rate * 0.1 + 1:
        faults.append(f"{most} subscriptions in one second")
    taken = sum(len(follower.taken) for follower in followers)
    fetches = sum(follower.fetches for follower in followers)
    seen += [f"  {taken:,} items, {fetches:,} fetches", f"  {statistics}"]
    return seen, faults


def _times(ledger: pathlib.Path) -> list[float]:
    words = [line.split() for line in ledger.read_text().splitlines()]
    return sorted(float(line[2]) for line in words if line[0] == "sub")


async def one_is_slow(
    ledger: pathlib.Path, *, count: int, items: float, seconds: float, buffer: int
) -> tuple[list[str], list[str]]:
    """Let one consumer be too slow by far; return what was seen, and what was wrong."""
    quick = [Follower(f"t{number}") for number in range(1, count)]
    slow = Follower("t0", pause=2.0 / items)
    async with crowd(ledger, [slow, *quick], items=items, buffer=buffer) as crowded:
        await asyncio.sleep(seconds / 3)
        first = _memory()
        await asyncio.sleep(seconds * 2 / 3)
        last = _memory()
        held = len(slow.subscription._flow._held) if slow.subscription else 0
        lengths = [len(follower.taken) for follower in quick]
        statistics = crowded.client.channel.statistics()
    waited = max(follower.most_waiting for follower in quick)
    seen = [
        f"{count} subscriptions of {items:g} items a second, one consumer half as fast",
        f"  quick: {min(lengths)} to {max(lengths)} items, {waited} waited at most",
        f"  slow: {len(slow.taken)} items, {slow.fetches} fetches, {held} held",
        f"  memory {first:,} KiB after a third, {last:,} KiB at the end",
        f"  {statistics}",
    ]
    faults = faults_of([slow, *quick])
    if not slow.fetches:
        faults.append("the slow one was never behind")
    if any(follower.fetches for follower in quick):
        faults.append("a quick one had a hole")
    if max(lengths) - min(lengths) > items:
        faults.append("a quick one was late")
    if held > buffer + 3 or slow.most_waiting > buffer + 1:
        faults.append("what is held for the slow one grew")
    return seen, faults


def _memory() -> int:
    """Resident memory now, in KiB."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * 4


def main() -> int:
    """Run both, and tell."""
    parser = argparse.ArgumentParser(prog="tests.feeds.crowd", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=250.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    logging.getLogger("resilient_ws").setLevel(logging.CRITICAL)
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        ledger = pathlib.Path(folder)
        for work in (
            come_back(
                ledger / "back", count=options.count, rate=options.rate, settle=3.0
            ),
            one_is_slow(
                ledger / "slow",
                count=100,
                items=40.0,
                seconds=options.seconds,
                buffer=64,
            ),
        ):
            seen, wrong = asyncio.run(work)
            print(*seen, sep="\n")
            faults += wrong
    print(*faults[:20], f"{len(faults)} faults", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
