"""Many subscriptions of one session, with the server in a process behind a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

import resilient_ws
from resilient_ws import Liveness, Reconnect, Session
from resilient_ws.feeds import Gap, Stage, Subscription, consecutive
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import FaultProxy
from tests.servers.process import ServerProcess


if TYPE_CHECKING:
    import pathlib
    from collections.abc import AsyncIterator


#: Seconds: a link that is silent is given up after the sum of the two.
PING: Final = (0.5, 1.0)


@attrs.define(eq=False)
class Follower:
    """A subscription, and what its consumer took.

    What was taken is judged as it comes, so that a long run needs no memory for it.

    Attributes:
        topic: What it follows.
        pause: Seconds for which its consumer sleeps after each item.
        overflow: What becomes of items for which it has no room.
        late: Called with the seconds from the server to the consumer, of live items.
    """

    topic: str
    pause: float = 0.0
    overflow: Literal["refill", "gap"] = "refill"
    late: Callable[[float], None] | None = None
    subscription: Subscription[Any] | None = None
    items: int = 0
    last: int | None = None
    fetches: int = 0
    #: Items that a gap named.
    named: int = 0
    most_waiting: int = 0
    most_held: int = 0
    faults: list[str] = attrs.Factory(list)
    _gap: Gap | None = None

    async def run(self, client: Client, buffer: int) -> None:
        """Subscribe, and read for ever."""

        async def backfill(after: int, until: int | None) -> AsyncIterator[Any]:
            self.fetches += 1
            params = [self.topic, after, until]
            for item in await client.call("range", params, repeat=True):
                yield item

        self.subscription = await client.subscribe(
            "sub",
            [self.topic],
            cursor_of=_number,
            follows=consecutive(_number),
            backfill=backfill,
            buffer=buffer,
            overflow=self.overflow,
        )
        async for item in self.subscription:
            self._take(item)
            self.most_waiting = max(self.most_waiting, self.subscription.lag)
            self.most_held = max(self.most_held, len(self.subscription._flow._held))
            if self.pause:
                await asyncio.sleep(self.pause)

    def _take(self, item: Any) -> None:
        if isinstance(item, Gap):
            if self._gap is not None:
                self.faults.append(f"{self.topic}: a gap after a gap: {item}")
            self._gap = item
            return
        number, sent = item
        if self.late is not None and sent is not None:
            self.late(time.monotonic() - sent / 1e9)
        self._judge(number)
        self.last, self._gap = number, None
        self.items += 1

    def _judge(self, number: int) -> None:
        """An item is the next, or the gap before it names all that is missing."""
        gap, self._gap = self._gap, None
        if self.last is None:
            return
        missing = range(self.last + 1, number)
        if gap is not None:
            self.named += len(missing)
            if (gap.first_missing, gap.until) == (missing.start, missing.stop - 1):
                return
            self.faults.append(f"{self.topic}: {missing} is missing, and told: {gap}")
        elif missing or number <= self.last:
            self.faults.append(f"{self.topic}: {number} came after {self.last}")

    @property
    def is_live(self) -> bool:
        return self.subscription is not None and self.subscription.state is Stage.LIVE


def _number(item: Any) -> int:
    number: int = item[0]
    return number


@attrs.define
class Crowd:
    """Followers of one client."""

    followers: list[Follower]
    session: Session
    client: Client
    proxy: FaultProxy
    server: ServerProcess

    @property
    def faults(self) -> list[str]:
        """What was lost without a word, or told twice."""
        return [fault for follower in self.followers for fault in follower.faults]


@contextlib.asynccontextmanager
async def crowd(
    ledger: pathlib.Path,
    followers: list[Follower],
    *,
    items: float,
    rate: float | None = None,
    buffer: int = 1024,
    direct: bool = False,
) -> AsyncIterator[Crowd]:
    """Let all of them follow topics that count up ``items`` a second.

    Args:
        ledger: Where the server writes what it did.
        followers: Who follows, each with its topic.
        items: Items a second, of each topic.
        rate: Subscriptions a second.
        buffer: Items that may wait for each.
        direct: Whether to leave out the proxy, which runs in this process.
    """
    command = [sys.executable, "-m", "tests.feeds.endurance.server", "{port}"]
    # Long ago, so that no topic begins with its first item.
    began = time.time() - 60
    command += [str(ledger), "--rate", str(items), "--began", str(began)]
    interval, timeout = PING
    async with (
        ServerProcess(command) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
    ):
        session = resilient_ws.connect(
            server.url if direct else proxy.url(),
            reconnect=Reconnect(wait=lambda _: 0.05),
            liveness=Liveness(ping_interval=interval, ping_timeout=timeout),
            compression=None,
        )
        async with Client(session, rate=rate) as client, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(follower.run(client, buffer))
                for follower in followers
            ]
            yield Crowd(followers, session, client, proxy, server)
            for task in tasks:
                task.cancel()
