"""Makes happen what the script says, and remembers when it did."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from tests.soak.script import Act


if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilient_ws.testing import FaultProxy
    from tests.servers.process import ServerProcess


@attrs.frozen
class Done:
    """An act, and when it really began and ended, on the clock of the loop."""

    act: Act
    began: float
    ended: float


class Conductor:
    """Performs the acts of every place, one after the other in each.

    Args:
        proxies: Of each session, by its place.
        servers: By their place.
    """

    def __init__(
        self, proxies: dict[str, FaultProxy], servers: dict[str, ServerProcess]
    ) -> None:
        self._proxies = proxies
        self._servers = servers
        self._loop = asyncio.get_running_loop()
        self.done: list[Done] = []

    async def perform(self, script: Sequence[Act]) -> None:
        """Perform all; at the end every place is healthy again."""
        began = self._loop.time()
        places = {act.where for act in script}
        async with asyncio.TaskGroup() as group:
            for place in sorted(places):
                acts = [act for act in script if act.where == place]
                group.create_task(self._perform(acts, began))

    def forget(self) -> None:
        """Let go of connections that are over; a proxy remembers them for tests."""
        for proxy in self._proxies.values():
            proxy.connections[:] = [c for c in proxy.connections if c.is_open]

    async def _perform(self, acts: Sequence[Act], began: float) -> None:
        for act in acts:
            await asyncio.sleep(began + act.at - self._loop.time())
            start = self._loop.time()
            if act.deed is None:
                await self._break(self._proxies[act.where], act)
            else:
                await self._hurt(self._servers[act.where], act)
            self.done.append(Done(act, start, self._loop.time()))

    async def _break(self, proxy: FaultProxy, act: Act) -> None:
        proxy.apply(*act.faults)
        await asyncio.sleep(act.lasts)
        proxy.heal()

    async def _hurt(self, server: ServerProcess, act: Act) -> None:
        if act.deed == "SIGSTOP":
            await server.freeze()
            await asyncio.sleep(act.lasts)
            await server.thaw()
            return
        if act.deed == "kill -9":
            await server.kill()
        else:
            await server.stop()
        await asyncio.sleep(act.lasts)
        await server.start()
