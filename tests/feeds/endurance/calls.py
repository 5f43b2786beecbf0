"""Calls over a link that is cut every second, and their verdict.

The server is a process of its own and writes a ledger of what it executed. The link is
cut by a proxy, and the server is killed now and then. In the end the ledger, the answers
that arrived and what the callers were told must agree.
"""

from __future__ import annotations

import asyncio
import bisect
import collections
import random
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import attrs

import resilient_ws
from resilient_ws import ConnectionDropped, ConnectionOpened, Reconnect
from resilient_ws.feeds import CallLost, CallTimeout, RPCError
from resilient_ws.feeds.json import loads
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import Drop, FaultProxy, Reset
from tests.feeds.endurance.page import facts, table
from tests.feeds.endurance.server import LATE, fate
from tests.servers.process import ServerProcess


if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator


ENDS: Final = ("answered", "RPCError", "CallTimeout", "CallLost")
KINDS: Final = ("reset", "FIN", "kill")
#: Seconds by which a call may be told late, beside those for which the whole process
#: had to wait for the core.
SLACK: Final = 0.1
#: Seconds between two looks at how late the event loop is.
LOOK: Final = 0.02


@attrs.frozen(kw_only=True)
class Told:
    """What became of a call."""

    how: str
    repeat: bool
    maybe_executed: bool | None
    timeout: float
    began: float
    at: float

    @property
    def over(self) -> float:
        """Seconds that it took more than it may."""
        return self.at - self.began - self.timeout


@attrs.define
class Campaign:
    """Makes calls, and keeps what they ended in.

    Attributes:
        count: How many.
        seed: What is drawn from.
        seconds: How long they are spread over; 0 for as fast as they go.
        timeouts: Seconds that each may take: from, to.
        cut_every: Seconds between two cuts, by and large.
        kills: How often the server is killed instead.
        at_once: Tasks that call.
        late: Seconds before a late answer, at most.
    """

    count: int
    seed: int
    seconds: float = 0.0
    timeouts: tuple[float, float] = (0.2, 5.0)
    cut_every: float = 1.0
    kills: int = 3
    at_once: int = 300
    late: float = LATE
    told: dict[int, Told] = attrs.Factory(dict)
    #: When the answer to a call was first read from the link.
    arrived: dict[int, float] = attrs.Factory(dict)
    #: When the link was cut, or the server killed, and what was then in flight.
    cuts: list[float] = attrs.Factory(list)
    kinds: list[str] = attrs.Factory(list)
    in_flight: list[int] = attrs.Factory(list)
    dropped: list[float] = attrs.Factory(list)
    opened: list[float] = attrs.Factory(list)
    took: float = 0.0
    #: The longest time by which the event loop was late, in seconds.
    late_loop: float = 0.0
    statistics: Any = None

    async def run(self, ledger: pathlib.Path) -> None:
        """Start the server, call, and cut the link until all calls have ended."""
        command = [sys.executable, "-m", "tests.feeds.endurance.server", "{port}"]
        command += [str(ledger), "--late", str(self.late)]
        async with (
            ServerProcess(command) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
        ):
            session = resilient_ws.connect(
                proxy.url(),
                reconnect=Reconnect(wait=lambda _: 0.1),
                compression=None,
            )
            session.on(ConnectionOpened, self._note_open)
            session.on(ConnectionDropped, self._note_drop)
            client = Client(session, max_in_flight=256, loads=self._read)
            began = time.monotonic()
            async with client:
                async with asyncio.TaskGroup() as group:
                    cutting = group.create_task(self._cut(proxy, server, client))
                    watching = group.create_task(self._watch())
                    await self._call_all(client)
                    cutting.cancel()
                    watching.cancel()
                self.statistics = client.channel.statistics()
            self.took = time.monotonic() - began

    async def _call_all(self, client: Client) -> None:
        numbers = iter(range(self.count))
        async with asyncio.TaskGroup() as group:
            for task in range(self.at_once):
                group.create_task(self._call(client, numbers, task))

    async def _watch(self) -> None:
        while True:
            due = time.monotonic() + LOOK
            await asyncio.sleep(LOOK)
            self.late_loop = max(self.late_loop, time.monotonic() - due)

    def _note_open(self, _: ConnectionOpened) -> None:
        self.opened.append(time.monotonic())

    def _note_drop(self, _: ConnectionDropped) -> None:
        self.dropped.append(time.monotonic())

    def _read(self, message: str | bytes) -> Any:
        """Decode an answer, and note which call it is for."""
        data = loads(message)
        number = data["result"] if "result" in data else data["error"]["code"]
        self.arrived.setdefault(number, time.monotonic())
        return data

    async def _cut(
        self, proxy: FaultProxy, server: ServerProcess, client: Client
    ) -> None:
        draw = random.Random(self.seed)
        last = max(4, int(self.seconds / self.cut_every))
        kills_at = set(draw.sample(range(1, last), self.kills))
        for number in range(sys.maxsize):
            await asyncio.sleep(self.cut_every * draw.uniform(0.5, 1.5))
            self.in_flight.append(client.channel.statistics().calls_in_flight)
            self.cuts.append(time.monotonic())
            if number in kills_at:
                self.kinds.append("kill")
                await server.restart()
            else:
                self.kinds.append(draw.choice(["reset", "FIN"]))
                proxy.apply(Reset() if self.kinds[-1] == "reset" else Drop())

    async def _call(self, client: Client, numbers: Iterator[int], task: int) -> None:
        draw = random.Random(self.seed + task + 1)
        mean = self.at_once * self.seconds / self.count
        for number in numbers:
            if mean:
                await asyncio.sleep(draw.expovariate(1 / mean))
            self.told[number] = await self._end_of(client, number, draw)

    async def _end_of(self, client: Client, number: int, draw: random.Random) -> Told:
        assert number not in self.told
        repeat = number % 2 == 1
        method = "get" if repeat else "do"
        timeout = draw.uniform(*self.timeouts)
        maybe: bool | None = None
        began = time.monotonic()
        try:
            result = await client.call(method, [number], repeat=repeat, timeout=timeout)
            how = "answered" if result == number else f"wrong: {result}"
        except RPCError as failure:
            how = "RPCError" if failure.code == number else f"wrong: {failure}"
        except CallTimeout as failure:
            how, maybe = "CallTimeout", failure.maybe_executed
        except CallLost as failure:
            how, maybe = "CallLost", failure.maybe_executed
        return Told(
            how=how,
            repeat=repeat,
            maybe_executed=maybe,
            timeout=timeout,
            began=began,
            at=time.monotonic(),
        )

    # The verdict.

    def faults(self, ledger: pathlib.Path) -> list[str]:
        """Hold what was told against what was executed, and what arrived."""
        done = executed(ledger)
        faults = [
            f"{number} was never told"
            for number in range(self.count)
            if number not in self.told
        ]
        for number, told in self.told.items():
            faults += [
                f"{number}: {told.how} {fault} ({done[number]} times){self._when(told)}"
                for fault, is_so in self._judge(number, told, done[number]).items()
                if is_so
            ]
        return faults

    def _judge(self, number: int, told: Told, times: int) -> dict[str, bool]:
        answer = fate(number)
        lost, answered = told.how == "CallLost", told.how == "answered"
        arrived = self.arrived.get(number)
        failed = told.how in {"CallLost", "CallTimeout"}
        return {
            "is no way to end": told.how not in ENDS,
            "was executed twice": times > 1 and not told.repeat,
            "was answered without being executed": not failed and not times,
            "was told as not executed, and was": told.maybe_executed is False
            and times > 0,
            "was told as failed after its answer had come": failed
            and arrived is not None
            and arrived < told.at,
            "was answered, and never is": answered and answer == "never",
            "was answered with a result for an error": answered and answer == "error",
            "was answered with an error for a result": told.how == "RPCError"
            and answer != "error",
            "was lost, and may be repeated": lost and told.repeat,
            "waited past its time": told.over > SLACK + self.late_loop,
            "was told at the next connection": lost and self._opened_before(told),
        }

    def _when(self, told: Told) -> str:
        """When a call began and ended, for whoever looks for the reason of a fault."""
        since = self.dropped[max(0, bisect.bisect(self.dropped, told.at) - 1)]
        opened = self.opened[max(0, bisect.bisect(self.opened, told.at) - 1)]
        began, ended = (told.began - since) * 1000, (told.at - since) * 1000
        return (
            f"; of the drop it began at {began:.0f} ms and ended at {ended:.0f} ms, a "
            f"connection opened at {(opened - since) * 1000:.0f} ms, "
            f"maybe_executed={told.maybe_executed}"
        )

    def _opened_before(self, told: Told) -> bool:
        """Whether a connection opened between the drop and the end of a call."""
        dropped = self.dropped[bisect.bisect(self.dropped, told.at) - 1]
        first = bisect.bisect(self.opened, dropped)
        return first < len(self.opened) and self.opened[first] < told.at

    # The report.

    def report(self, ledger: pathlib.Path) -> str:
        """Return what happened, with counts."""
        lost = [told for told in self.told.values() if told.how == "CallLost"]
        over = [told.over for told in self.told.values() if told.how == "CallTimeout"]
        rows: list[tuple[str, object]] = [
            ("calls, seconds", f"{len(self.told):,}, {self.took:.0f}"),
            (
                "done to the link, by the proxy and by `kill -9` of the server",
                ", ".join(f"{k} {self.kinds.count(k)}" for k in sorted(KINDS)),
            ),
            ("connections", f"{len(self.opened)}"),
            (
                "calls in flight at a cut, median and most",
                f"{statistics.median(self.in_flight):.0f}, {max(self.in_flight)}",
            ),
            *self._behind(lost),
            (
                "`CallLost` told after the next connection had opened",
                sum(self._opened_before(told) for told in lost),
            ),
            (
                "a `CallTimeout` came after its time by, at most",
                f"{max(over, default=0) * 1000:.0f} ms",
            ),
            (
                "the event loop was late, for want of the core, by at most",
                f"{self.late_loop * 1000:.0f} ms",
            ),
            ("answers nobody waited for any more", f"{self.statistics.unexpected:,}"),
        ]
        return f"{facts(rows)}\n\n{self._ends(executed(ledger))}"

    def _behind(self, lost: list[Told]) -> list[tuple[str, str]]:
        """How long after the cut, and after its report, a call was told as lost."""
        by_kind: dict[str, list[float]] = {kind: [] for kind in KINDS}
        by_report = []
        for told in lost:
            cut = bisect.bisect(self.cuts, told.at) - 1
            by_kind[self.kinds[cut]].append((told.at - self.cuts[cut]) * 1000)
            drop = bisect.bisect(self.dropped, told.at) - 1
            by_report.append((told.at - self.dropped[drop]) * 1000)
        rows = [
            (f"from a {kind} to `CallLost`, {_AT}", _shares(delays))
            for kind, delays in by_kind.items()
        ]
        what = f"from the session's `ConnectionDropped` to `CallLost`, {_AT}"
        return [*rows, (what, _shares(by_report))]

    def _ends(self, done: collections.Counter[int]) -> str:
        counts: dict[tuple[str, str, str], list[int]] = {}
        for number, told in self.told.items():
            maybe = "" if told.maybe_executed is None else str(told.maybe_executed)
            kind = "repeatable" if told.repeat else "once"
            row = counts.setdefault((told.how, kind, maybe), [0, 0, 0])
            row[min(done[number], 2)] += 1
        head = ["end", "method", "`maybe_executed`", "calls"]
        head += ["not executed", "executed once", "more often"]
        rows = [
            (*key, f"{sum(times):,}", *(f"{one:,}" for one in times))
            for key, times in sorted(counts.items())
        ]
        return table(head, rows)


_AT: Final = "median / 99th / longest (count)"


def _shares(delays: list[float]) -> str:
    if not delays:
        return "none"
    delays.sort()
    last = len(delays) - 1
    shown = (delays[int(share * last)] for share in (0.5, 0.99, 1.0))
    return " / ".join(f"{delay:.1f} ms" for delay in shown) + f" ({len(delays):,})"


def executed(ledger: pathlib.Path) -> collections.Counter[int]:
    """Return how often the server executed each call."""
    words = [line.split() for line in ledger.read_text().splitlines()]
    return collections.Counter(int(word[1]) for word in words if word[0] == "did")


_HOW: Final = """\
{at_once} tasks make {count:,} calls. Half of them may be repeated (`repeat=True`), the
others not. The server writes each into a ledger before it answers; a tenth it answers
with an error, a fifth late (by up to {late:g} s), some twice, some never. Each call has
a timeout of its own, from {shortest:g} to {longest:g} s. The link is cut once a second.

The ledger, the answers that were read from the link and the ends of the calls are then
compared, call by call. A promise is broken when a call has another end than these four,
or none; when one that is not repeatable was executed twice; when one was executed that
was told with `maybe_executed=False`; when one was told as lost or timed out although its
answer had been read; when one ended more than {slack:g} s after its timeout, beside what
the event loop itself was late; when one was told as lost only after the next connection
had opened.

After a FIN without a close frame the session looks for 50 ms whether the peer has only
closed its half; then it tells the drop. A call that begins within these is not sent.
"""


async def run(folder: pathlib.Path, *, seed: int) -> tuple[str, list[str]]:
    """Run at full size; return what was seen, and what was wrong."""
    campaign = Campaign(100_000, seed, seconds=100, kills=8, at_once=400, late=0.3)
    ledger = folder / "ledger"
    await campaign.run(ledger)
    shortest, longest = campaign.timeouts
    how = _HOW.format(
        at_once=campaign.at_once,
        count=campaign.count,
        late=campaign.late,
        shortest=shortest,
        longest=longest,
        slack=SLACK,
    )
    return f"{how}\n{campaign.report(ledger)}", campaign.faults(ledger)
