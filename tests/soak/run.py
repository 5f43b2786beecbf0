"""One run, from its first server to its verdict."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import pathlib
from typing import TYPE_CHECKING, Final, get_args

from resilient_ws.testing import FaultProxy
from resilient_ws.testing.leaks import open_sockets, pending_tasks
from tests.servers.scripted import SERVERS
from tests.soak.client import Client
from tests.soak.conductor import Conductor
from tests.soak.ledger import Mode
from tests.soak.logbook import Logbook
from tests.soak.page import Report
from tests.soak.script import Act, at_server, at_session
from tests.soak.verdict import judge


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.servers.process import ServerProcess
    from tests.soak.verdict import Verdict

#: Of each server, a session in each mode.
CAST: Final = [(server, mode) for server in SERVERS for mode in get_args(Mode)]

#: How often memory is measured, and the MiB by which the last may exceed the first.
FIFTHS: Final = 5
GROWTH: Final = 8.0

_MIB: Final = 1024 * 1024


def script_of(seed: int, minutes: float) -> list[Act]:
    """Draw all that will happen."""
    seconds = 60 * minutes
    script = [
        act
        for number in range(1, len(CAST) + 1)
        for act in at_session(number, seed=seed, seconds=seconds)
    ]
    for server in SERVERS:
        script += at_server(server, seed=seed, seconds=seconds)
    return sorted(script, key=lambda act: act.at)


async def run(*, seed: int, minutes: float) -> Report:
    """Run it; the report says whether every promise was kept."""
    script = script_of(seed, minutes)
    tasks, sockets = pending_tasks(), open_sockets()
    play = Play(seed=seed, seconds=60 * minutes)
    verdict = await play.play(script)
    for _ in range(10):
        await asyncio.sleep(0)
    leaked_tasks = pending_tasks() - tasks
    leaked_sockets = open_sockets().keys() - sockets.keys()
    if leaked_tasks or leaked_sockets:
        verdict.violations.append(f"left: {leaked_tasks}, {leaked_sockets}")
    if play.memory[-1] - play.memory[0] > GROWTH:
        verdict.violations.append(
            f"memory grew from {play.memory[0]:.1f} to {play.memory[-1]:.1f} MiB"
        )
    return Report(
        seed=seed,
        minutes=minutes,
        sessions=[f"{server}, {mode}" for server, mode in CAST],
        script=script,
        verdict=verdict,
        leaked_tasks=len(leaked_tasks),
        leaked_sockets=len(leaked_sockets),
        memory=play.memory,
    )


class Play:
    """The servers, proxies and sessions of one run."""

    def __init__(self, *, seed: int, seconds: float) -> None:
        self._seed = seed
        self._seconds = seconds
        #: In MiB, at each fifth of the run: the first when all has warmed up.
        self.memory: list[float] = []

    async def play(self, script: Sequence[Act]) -> Verdict:
        """Play to the end, and judge."""
        async with contextlib.AsyncExitStack() as stack:
            servers = {
                name: await stack.enter_async_context(make())
                for name, make in SERVERS.items()
            }
            proxies = [
                await stack.enter_async_context(
                    FaultProxy("127.0.0.1", servers[server].port)
                )
                for server, _ in CAST
            ]
            clients = [
                Client(number, server, mode, proxy.url(), seed=self._seed)
                for number, ((server, mode), proxy) in enumerate(
                    zip(CAST, proxies, strict=True), 1
                )
            ]
            conductor = Conductor(
                {
                    f"session {c.number}": p
                    for c, p in zip(clients, proxies, strict=True)
                },
                {f"server {name}": server for name, server in servers.items()},
            )
            books = _books(servers, clients)
            await self._perform(conductor, clients, books, script)
            for server in servers.values():
                # Its output is read to the end with it.
                await server.stop()
        for book in books:
            book.read()
        return judge(clients, conductor.done)

    async def _perform(
        self,
        conductor: Conductor,
        clients: Sequence[Client],
        books: Sequence[Logbook],
        script: Sequence[Act],
    ) -> None:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            sessions = [group.create_task(client.run(over)) for client in clients]
            watching = group.create_task(self._watch(books, conductor))
            performing = group.create_task(conductor.perform(script))
            measuring = group.create_task(self._measure())
            await asyncio.wait({measuring, performing})
            over.set()
            await asyncio.wait(sessions)
            watching.cancel()

    async def _watch(self, books: Sequence[Logbook], conductor: Conductor) -> None:
        """Read the logs as they come, and keep nothing of what is over."""
        while True:
            await asyncio.sleep(0.2)
            for book in books:
                book.read()
            conductor.forget()

    async def _measure(self) -> None:
        for _ in range(FIFTHS):
            await asyncio.sleep(self._seconds / FIFTHS)
            self.memory.append(_memory())


def _books(
    servers: dict[str, ServerProcess], clients: Sequence[Client]
) -> list[Logbook]:
    ledgers = {client.number: client.ledger for client in clients}
    return [Logbook(server, ledgers) for server in servers.values()]


def _memory() -> float:
    """Return the resident memory of this process in MiB, without what is free."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        # What glibc keeps for later says nothing of what is in use.
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB
