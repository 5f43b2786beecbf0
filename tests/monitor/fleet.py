"""Sessions of a made-up program, a server that feeds them, and faults between them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Self

from tenacity import wait_random

import resilient_ws
from resilient_ws import Inbox, Liveness, Outbox, Reconnect
from resilient_ws.feeds import Channel
from resilient_ws.testing import FaultProxy, ScriptedServer
from resilient_ws.testing.peer import ClientGone


if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from resilient_ws import Session
    from resilient_ws.testing import Peer


NAMES = (
    "binance-spot", "binance-futures", "kraken-book", "okx-trades", "bybit-linear",
    "coinbase-advanced", "ethereum-heads", "ethereum-logs", "polygon-heads",
    "base-heads", "slack-bot", "discord-gateway", "home-assistant", "greenhouse-mqtt",
    "boiler-sensor", "meter-7", "meter-8", "meter-9", "wind-park-north",
    "wind-park-south",
)  # fmt: skip
#: Every so many sessions, one goes through the shaky proxy.
SHAKY = 7


class Fleet:
    """Sessions through faulty proxies to one server that feeds them.

    The first is read by a channel, and has the proxy ``own``; some have ``shaky``, and
    the others ``main``.

    Args:
        count: How many sessions.
        rate: Messages a second that the server sends to each.
    """

    def __init__(self, count: int, *, rate: float = 2.0) -> None:
        self._names = [
            NAMES[at] if at < len(NAMES) else f"meter-{at - 10:03}"
            for at in range(count)
        ]
        self._rate = rate
        self._random = random.Random(7)
        self._tasks: set[asyncio.Task[None]] = set()
        self.sessions: list[Session] = []
        self.channel: Channel | None = None

    @property
    def watched(self) -> Sequence[Session | Channel]:
        """The sessions, the first with its channel."""
        first: list[Session | Channel] = [self.channel] if self.channel else []
        return [*first, *self.sessions]

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(ScriptedServer(self._feed))
            self.own, self.shaky, self.main = [
                await stack.enter_async_context(FaultProxy("127.0.0.1", server.port))
                for _ in range(3)
            ]
            for place, name in enumerate(self._names):
                session = self._session(name, self._proxy(place))
                self.sessions.append(session)
                if place == 0:
                    self.channel = await stack.enter_async_context(Channel(session))
                    self._start(self._follow(self.channel))
                else:
                    await stack.enter_async_context(session)
                    self._start(self._read(session))
                self._start(self._talk(session))
            stack.push_async_callback(self._end)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _proxy(self, place: int) -> FaultProxy:
        if place == 0:
            return self.own
        return self.shaky if place % SHAKY == SHAKY - 1 else self.main

    def _session(self, name: str, proxy: FaultProxy) -> Session:
        return resilient_ws.connect(
            proxy.url(f"/{name}"),
            name=name,
            wait_open=False,
            reconnect=Reconnect(wait=wait_random(2, 4), stable_after=2),
            liveness=Liveness(ping_interval=1, ping_timeout=20),
            outbox=Outbox(max_messages=200, overflow="drop_oldest"),
            inbox=Inbox(max_messages=500),
        )

    def _start(self, work: Coroutine[object, object, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _feed(self, peer: Peer) -> None:
        await peer.accept()
        with contextlib.suppress(ClientGone):
            while True:
                await asyncio.sleep(self._random.expovariate(self._rate))
                await peer.send("x" * self._random.randrange(20, 400))

    async def _read(self, session: Session) -> None:
        async for _ in session:
            pass

    async def _follow(self, channel: Channel) -> None:
        async for _ in channel.listen():
            pass

    async def _talk(self, session: Session) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0.5, 3) / self._rate)
            await session.send("a reading ")
