"""Kill the sender at random moments, cut its link at random bytes, start it again.

The servers are of other hands and live through it all; each life of the sender meets one
of them, behind a FaultProxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Final, Literal

from resilient_ws import StoreError
from resilient_ws.testing import (
    BlackHole,
    Cut,
    Delay,
    FaultProxy,
    Refuse,
    Reject,
    Throttle,
)
from tests.crash import journal
from tests.crash.evidence import Evidence, Life, connections
from tests.crash.setting import body, number_of
from tests.outbox.stores import crashed
from tests.servers.process import HOST, ROOT
from tests.servers.scripted import SERVERS


if TYPE_CHECKING:
    import pathlib
    import random

    from resilient_ws.testing import Direction, Fault
    from tests.crash.evidence import Served
    from tests.crash.setting import Setting
    from tests.servers.process import ServerProcess

DIRECTIONS: Final[tuple[Direction, ...]] = ("up", "down", "both")
ENDS: Final[tuple[Literal["reset", "drop"], ...]] = ("reset", "drop")
#: Connections that one life could make at most.
PER_LIFE = 50
#: Seconds: a machine may be busy.
BEGUN_WITHIN = 60.0
DRAINED_WITHIN = 120.0
#: A life after its first line, in seconds: the mean, and the most.
MEAN_LIFE, MAX_LIFE = 1.0, 3.0


def weather(rng: random.Random) -> list[Fault]:
    """What becomes of one connection."""
    draw = rng.random()
    if draw < 0.1:
        return [rng.choice([Refuse(), Reject(503)])]
    if draw < 0.2:
        return [BlackHole(rng.choice(DIRECTIONS))]
    # Far away or over a thin wire, more is under way when it ends.
    wire: list[list[Fault]] = [
        [],
        [Delay(rng.uniform(0, 0.1), rng.choice(DIRECTIONS))],
        [Throttle(10 ** rng.uniform(4, 5.5))],
    ]
    faults = rng.choice(wire)
    if draw < 0.85:
        # From the handshake's first bytes to hundreds of messages, each scale alike.
        after = int(10 ** rng.uniform(2, 4.7))
        faults.append(Cut(after, rng.choice(DIRECTIONS), rng.choice(ENDS)))
    return faults


class Campaign:
    """All lives of one sender, with one store.

    Args:
        setting: How it sends.
        folder: Where its store, its journals and what it prints are kept.
        rng: All chance comes from here.
    """

    def __init__(
        self, setting: Setting, folder: pathlib.Path, rng: random.Random
    ) -> None:
        self._setting = setting
        self._folder = folder
        self._random = rng
        self._store = folder / "outbox.db"
        self._lives: list[Life] = []
        self._troubles: list[str] = []
        self._next = 1
        self._anything = False

    async def run(self, rounds: int) -> Evidence:
        """Kill it so many times, then let one last life drain the store."""
        async with contextlib.AsyncExitStack() as stack:
            servers = {
                name: await stack.enter_async_context(serve())
                for name, serve in SERVERS.items()
            }
            async with contextlib.AsyncExitStack() as between:
                proxies = [
                    await between.enter_async_context(FaultProxy(HOST, server.port))
                    for server in servers.values()
                ]
                for number in range(rounds):
                    proxy = self._random.choice(proxies)
                    proxy.play(*(weather(self._random) for _ in range(PER_LIFE)))
                    await self._live_and_die(number, proxy)
                    if self._troubles:
                        break
                proxies[0].heal()
                await self._drain(rounds, proxies[0])
            # The proxies have reset whatever was left in them.
            found = [
                connection
                for name, server in servers.items()
                for connection in await arrived(name, server)
            ]
        ordered = sorted(found, key=lambda connection: connection.opened)
        return Evidence(self._lives, ordered, self._troubles)

    async def _start(
        self, number: int, proxy: FaultProxy, *options: str
    ) -> asyncio.subprocess.Process:
        with self._path(number, "log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *[sys.executable, "-m", "tests.crash.child", self._setting.name],
                *[proxy.url(self._setting.path), str(self._store)],
                *[str(self._path(number, "journal")), str(self._next), *options],
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    async def _live_and_die(self, number: int, proxy: FaultProxy) -> None:
        child = await self._start(number, proxy)
        path = self._path(number, "journal")
        try:
            async with asyncio.timeout(BEGUN_WITHIN):
                while not path.exists() or not path.stat().st_size:
                    assert child.returncode is None, self._said(number)
                    await asyncio.sleep(0.002)
            moment = self._random.expovariate(1 / MEAN_LIFE)
            await asyncio.sleep(min(MAX_LIFE, moment))
        finally:
            if child.returncode is None:
                child.kill()
            code = await child.wait()
        if code != -9:
            self._troubles.append(
                f"life {number} ended by itself, with {code}: {self._said(number)}"
            )
        await self._bury(number)

    async def _drain(self, number: int, proxy: FaultProxy) -> None:
        child = await self._start(number, proxy, "--drain")
        try:
            async with asyncio.timeout(DRAINED_WITHIN):
                code = await child.wait()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if code != 0:
            self._troubles.append(f"the store was not drained: {self._said(number)}")
        await self._bury(number)

    async def _bury(self, number: int) -> None:
        """Take note of what a life wrote, and of what is in its store."""
        life = Life(journal.read(self._path(number, "journal")), self._left(number))
        self._lives.append(life)
        tried = [entry["number"] for entry in life.entries("trying")]
        self._next = max([self._next, *(n + 1 for n in tried)])
        self._anything = self._anything or any(life.entries("accepted"))

    def _left(self, number: int) -> dict[int, int]:
        """Look into a copy: looking must not mend what the next life is to open."""
        copy = self._folder / "copy" / "outbox.db"
        left: dict[int, int] = {}
        try:
            for message in crashed(self._store, copy).pending():
                found = number_of(message.data)
                whole = message.data == body(found)
                if message.set_aside or not whole or message.message_id != str(found):
                    self._troubles.append(f"after life {number} there is {message}")
                left[found] = message.transmissions
        except StoreError as failure:
            # Killed before there was a store: there is nothing to look for.
            if self._anything:
                self._troubles.append(f"after life {number}: {failure}")
        for file in copy.parent.iterdir():
            file.unlink()
        return left

    def _path(self, number: int, kind: str) -> pathlib.Path:
        return self._folder / f"life-{number:04}.{kind}"

    def _said(self, number: int) -> str:
        return self._path(number, "log").read_text()[-2000:]


async def arrived(name: str, server: ServerProcess) -> list[Served]:
    """What a server was sent, once it knows that every connection is over."""
    opened = len(server.entries("open"))
    await server.logged("close", count=opened, within=30)
    return connections(name, server.log)
