"""Calls over a link that is cut every second: ``python -m tests.feeds.calls``.

The server is a process of its own and writes a ledger of what it executed. The link is
cut by a proxy, and the server is killed now and then. In the end the ledger and what
the callers were told must agree. It ends with 1 if they do not.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import logging
import pathlib
import random
import resource
import sys
import tempfile
import time
from typing import Any

import attrs

import resilient_ws
from resilient_ws import ConnectionDropped, ConnectionOpened, Reconnect
from resilient_ws.feeds import CallLost, CallTimeout, RPCError
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import Drop, FaultProxy, Reset
from tests.feeds.server import fate
from tests.servers.process import ServerProcess


@attrs.define
class Told:
    """What became of a call."""

    how: str
    repeat: bool
    maybe_executed: bool | None
    seconds: float
    #: Seconds between the end of the connection and the end of the call.
    behind_the_drop: float | None = None


@attrs.define
class Campaign:
    """Makes calls, and keeps what they ended in.

    Attributes:
        count: How many.
        seed: What is drawn from.
        timeout: Seconds that each may take.
        cut_every: Seconds between two cuts.
        kills: How often the server is killed instead.
        at_once: Tasks that call.
    """

    count: int
    seed: int
    timeout: float = 5.0
    cut_every: float = 1.0
    kills: int = 3
    at_once: int = 300
    told: dict[int, Told] = attrs.Factory(dict)
    drops: int = 0
    cuts: int = 0
    killed: int = 0
    seconds: float = 0.0
    #: Resident memory in KiB: after a tenth of the calls, and at the end.
    memory: list[int] = attrs.Factory(list)
    statistics: Any = None
    _dropped_at: float = 0.0
    _is_open: bool = True

    async def run(self, ledger: pathlib.Path) -> None:
        """Start the server, call, and cut the link until all calls have ended."""
        command = [sys.executable, "-m", "tests.feeds.server", "{port}", str(ledger)]
        async with (
            ServerProcess(command) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
        ):
            session = resilient_ws.connect(
                proxy.url(),
                reconnect=Reconnect(wait=lambda _: 0.05, max_outage=60),
                compression=None,
            )
            session.on(ConnectionDropped, self._note_drop)
            session.on(ConnectionOpened, self._note_open)
            client = Client(session, timeout=self.timeout, max_in_flight=256)
            began = time.perf_counter()
            async with client:
                cutting = asyncio.create_task(self._cut(proxy, server))
                numbers = iter(range(self.count))
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.at_once):
                        group.create_task(self._call(client, numbers))
                cutting.cancel()
                await asyncio.gather(cutting, return_exceptions=True)
                self.statistics = client.channel.statistics()
            self.seconds = time.perf_counter() - began

    def _note_drop(self, _: ConnectionDropped) -> None:
        self.drops += 1
        self._is_open, self._dropped_at = False, time.perf_counter()

    def _note_open(self, _: ConnectionOpened) -> None:
        self._is_open = True

    async def _cut(self, proxy: FaultProxy, server: ServerProcess) -> None:
        draw = random.Random(self.seed)
        kills_at = {draw.randrange(3, 20) for _ in range(self.kills)}
        for number in range(sys.maxsize):
            await asyncio.sleep(self.cut_every * draw.uniform(0.5, 1.5))
            if number in kills_at:
                self.killed += 1
                await server.restart()
            else:
                self.cuts += 1
                proxy.apply(draw.choice([Reset(), Drop()]))

    async def _call(self, client: Client, numbers: Any) -> None:
        for number in numbers:
            repeat = number % 2 == 1
            method = "get" if repeat else "do"
            began = time.perf_counter()
            maybe: bool | None = None
            behind = None
            try:
                result = await client.call(method, [number], repeat=repeat)
                how = "answered" if result == number else f"wrong: {result}"
            except RPCError as failure:
                how = "RPCError" if failure.code == number else f"wrong: {failure}"
            except CallTimeout as failure:
                how, maybe = "CallTimeout", failure.maybe_executed
            except CallLost as failure:
                how, maybe = "CallLost", failure.maybe_executed
                behind = (
                    0.0 if self._is_open else time.perf_counter() - self._dropped_at
                )
            seconds = time.perf_counter() - began
            assert number not in self.told
            self.told[number] = Told(how, repeat, maybe, seconds, behind)
            if len(self.told) in {self.count // 10, self.count}:
                self.memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    # The verdict.

    def faults(self, ledger: pathlib.Path) -> list[str]:
        """Hold what was told against what was executed."""
        words = [line.split() for line in ledger.read_text().splitlines()]
        done = collections.Counter(int(n) for kind, n, *_ in words if kind == "did")
        faults = [
            f"{number} was never told"
            for number in range(self.count)
            if number not in self.told
        ]
        for number, told in self.told.items():
            faults += [
                f"{number}: {fault}" for fault in self._judge(number, told, done)
            ]
        return faults

    def _judge(
        self, number: int, told: Told, done: collections.Counter[int]
    ) -> list[str]:
        times = done[number]
        answer = fate(number)
        faults = {
            "is no way to end": told.how
            not in {"answered", "RPCError", "CallTimeout", "CallLost"},
            "was executed twice": times > 1 and not told.repeat,
            "was answered without being executed": told.maybe_executed is None
            and not times,
            "was told as not executed, and was": told.maybe_executed is False
            and times > 0,
            "was answered, and never is": told.how == "answered" and answer == "never",
            "was answered with an error for a result": told.how == "answered"
            and answer == "error",
            "was lost, and may be repeated": told.how == "CallLost" and told.repeat,
            "waited past its time": told.seconds > self.timeout + 2,
        }
        return [
            f"{told.how} {fault} ({times} times)"
            for fault, is_so in faults.items()
            if is_so
        ]

    def report(self) -> str:
        """Return what happened, with counts."""
        ends = collections.Counter(
            (told.how, told.repeat, told.maybe_executed) for told in self.told.values()
        )
        took = f"{len(self.told):,} calls in {self.seconds:.1f} s, seed {self.seed}"
        lines = [f"{took}: {self.cuts} cuts, {self.killed} kills, {self.drops} drops"]
        for (how, repeat, maybe), count in sorted(ends.items(), key=str):
            kind = "repeatable" if repeat else "once"
            executed = "" if maybe is None else f"maybe_executed={maybe}"
            lines.append(f"  {how:12} {kind:11} {executed:22} {count:7,}")
        slowest = max(told.seconds for told in self.told.values())
        behind = [t.behind_the_drop for t in self.told.values() if t.behind_the_drop]
        lines += [
            f"  slowest call {slowest:.3f} s of {self.timeout:g} allowed",
            f"  a drop failed its calls within {max(behind, default=0) * 1000:.1f} ms",
            f"  memory {self.memory} KiB",
            f"  {self.statistics}",
        ]
        return "\n".join(lines)


def main() -> int:
    """Run, and tell."""
    parser = argparse.ArgumentParser(prog="tests.feeds.calls", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    logging.getLogger("resilient_ws").setLevel(logging.CRITICAL)
    campaign = Campaign(options.count, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        ledger = pathlib.Path(folder) / "ledger"
        asyncio.run(campaign.run(ledger))
        faults = campaign.faults(ledger)
    print(campaign.report())
    print(*faults[:20], f"{len(faults)} faults", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
