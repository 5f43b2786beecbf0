"""What happens to the server, or to the way there: four faults and an open door.

The client reaches the server through a proxy that counts its dials.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from resilient_ws.testing import BlackHole, Refuse


if TYPE_CHECKING:
    from resilient_ws.testing import FaultProxy
    from tests.servers.process import ServerProcess

Step: TypeAlias = "Callable[[ServerProcess, FaultProxy], Awaitable[object]]"


@dataclass(frozen=True)
class Trouble:
    """One fault: how it begins, how long it lasts, and how it ends."""

    name: str
    what: str
    begin: Step
    end: Step
    seconds: float


async def _kill(server: ServerProcess, proxy: FaultProxy) -> None:
    proxy.apply(Refuse())
    await server.kill()


async def _start(server: ServerProcess, proxy: FaultProxy) -> None:
    await server.start()
    proxy.heal()


async def _freeze(server: ServerProcess, _: FaultProxy) -> None:
    await server.freeze()


async def _thaw(server: ServerProcess, _: FaultProxy) -> None:
    await server.thaw()


async def _swallow(_: ServerProcess, proxy: FaultProxy) -> None:
    proxy.apply(BlackHole())


async def _heal(_: ServerProcess, proxy: FaultProxy) -> None:
    proxy.heal()


async def _restart(server: ServerProcess, _: FaultProxy) -> None:
    await server.stop()
    await server.start()


async def _hang_up(server: ServerProcess, _: FaultProxy) -> None:
    # The proxy takes each client, finds nobody, and hangs up.
    await server.kill()


async def _nothing(*_: object) -> None:
    await asyncio.sleep(0)


TROUBLES: Final = (
    Trouble("killed", "`kill -9`; the port is closed for 8 s", _kill, _start, 8),
    Trouble("frozen", "`SIGSTOP` for 12 s", _freeze, _thaw, 12),
    Trouble("black hole", "every packet is swallowed for 12 s", _swallow, _heal, 12),
    Trouble("restarted", "`SIGTERM`, and started at once", _restart, _nothing, 0),
    Trouble(
        "hung up on",
        "`kill -9`; what stands before it takes each client and hangs up, for 8 s",
        _hang_up,
        _start,
        8,
    ),
)
