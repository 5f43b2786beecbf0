"""Sessions in every kind of trouble, with a server of our own: made for looking at."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any, Self

from tenacity import wait_random

import resilient_ws
from resilient_ws import Inbox, Liveness, Outbox, Reconnect, Session
from resilient_ws.testing import FaultProxy, ScriptedServer
from resilient_ws.testing.faults import Delay
from resilient_ws.testing.peer import ClientGone


if TYPE_CHECKING:
    from resilient_ws.testing import Peer


NAMES = (
    "binance-spot", "binance-futures", "kraken-book", "okx-trades", "bybit-linear",
    "coinbase-advanced", "ethereum-heads", "ethereum-logs", "polygon-heads",
    "base-heads", "slack-bot", "discord-gateway", "home-assistant", "greenhouse-mqtt",
    "boiler-sensor", "meter-7", "meter-8", "meter-9", "wind-park-north",
    "wind-park-south",
)  # fmt: skip


def names(count: int) -> list[str]:
    """As many names as that."""
    return [
        NAMES[at] if at < len(NAMES) else f"meter-{at - 10:03}" for at in range(count)
    ]


class Fleet:
    """Sessions through one faulty proxy to one server that feeds them.

    Args:
        count: How many sessions.
        rate: Messages a second that the server sends to each.
    """

    def __init__(self, count: int, *, rate: float = 2.0, **options: Any) -> None:
        self._names = names(count)
        self._rate = rate
        self._options = options
        self._random = random.Random(7)
        self.sessions: list[Session] = []

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self.server = await stack.enter_async_context(ScriptedServer(self._feed))
            self.proxy = await stack.enter_async_context(
                FaultProxy("127.0.0.1", self.server.port)
            )
            self.own = await stack.enter_async_context(
                FaultProxy("127.0.0.1", self.server.port)
            )
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(lambda: [one.cancel() for one in self._tasks])
            self._tasks: list[asyncio.Task[None]] = []
            for place, name in enumerate(self._names):
                proxy = self.own if place == 0 else self.proxy
                session = await stack.enter_async_context(self._session(name, proxy))
                self.sessions.append(session)
                self._tasks.append(tasks.create_task(self._use(session)))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _session(self, name: str, proxy: FaultProxy) -> Session:
        return resilient_ws.connect(
            proxy.url(f"/{name}"),
            name=name,
            wait_open=False,
            reconnect=Reconnect(wait=wait_random(1, 3), stable_after=2),
            liveness=Liveness(ping_interval=1, ping_timeout=5),
            outbox=Outbox(max_messages=200, overflow="drop_oldest"),
            inbox=Inbox(max_messages=500),
            **self._options,
        )

    async def _feed(self, peer: Peer) -> None:
        await peer.accept()
        with contextlib.suppress(ClientGone):
            while True:
                await asyncio.sleep(self._random.expovariate(self._rate))
                await peer.send("x" * self._random.randrange(20, 400))

    async def _use(self, session: Session) -> None:
        """Read everything, and say something now and then."""

        async def talk() -> None:
            while True:
                await asyncio.sleep(self._random.uniform(0.5, 3) / self._rate)
                await session.send("reading " * 4)

        async with asyncio.TaskGroup() as tasks:
            talking = tasks.create_task(talk())
            async for _ in session:
                pass
            talking.cancel()

    def slow_down(self, seconds: float) -> None:
        """Make the way to the first session longer."""
        self.own.apply(Delay(seconds))
