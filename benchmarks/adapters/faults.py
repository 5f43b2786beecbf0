"""What happens to the server, or to the way there.

The client reaches the server through a proxy that counts its dials.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from websockets.asyncio.server import ServerConnection, serve

from resilient_ws.testing import BlackHole, Refuse
from tests.servers.process import HOST


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from websockets.typing import Subprotocol

    from resilient_ws.testing import FaultProxy
    from tests.servers.process import ServerProcess

Fault: TypeAlias = (
    "Callable[[ServerProcess, FaultProxy], AbstractAsyncContextManager[None]]"
)


@dataclass(frozen=True)
class Trouble:
    """One fault, what the page says of it, and how long it lasts."""

    name: str
    what: str
    fault: Fault
    seconds: float


@contextlib.asynccontextmanager
async def killed(server: ServerProcess, proxy: FaultProxy) -> AsyncIterator[None]:
    """The server is gone, and its port is closed."""
    proxy.apply(Refuse())
    await server.kill()
    yield
    await server.start()
    proxy.heal()


@contextlib.asynccontextmanager
async def frozen(server: ServerProcess, _: FaultProxy) -> AsyncIterator[None]:
    """The server does nothing, and the kernel still takes bytes for it."""
    await server.freeze()
    yield
    await server.thaw()


@contextlib.asynccontextmanager
async def swallowed(_: ServerProcess, proxy: FaultProxy) -> AsyncIterator[None]:
    """Nothing comes through; the connections that were open stay dead for ever."""
    proxy.apply(BlackHole())
    yield
    proxy.heal()


@contextlib.asynccontextmanager
async def restarted(server: ServerProcess, _: FaultProxy) -> AsyncIterator[None]:
    """The server ends as it likes to, and is back as soon as it can."""
    await server.stop()
    await server.start()
    yield


@contextlib.asynccontextmanager
async def turned_away(server: ServerProcess, _: FaultProxy) -> AsyncIterator[None]:
    """Another server takes the handshake, and closes with 1000 at once."""

    async def turn_away(connection: ServerConnection) -> None:
        await connection.close(1000)

    def first(
        _: ServerConnection, offered: Sequence[Subprotocol]
    ) -> Subprotocol | None:
        return offered[0] if offered else None

    await server.kill()
    async with serve(turn_away, HOST, server.port, select_subprotocol=first):
        yield
    await server.start()


TROUBLES: Final = (
    Trouble("killed", "`kill -9`, and the port is closed for 8 s", killed, 8),
    Trouble("frozen", "`SIGSTOP` for 12 s", frozen, 12),
    Trouble("black hole", "every packet is swallowed for 12 s", swallowed, 12),
    Trouble("restarted", "`SIGTERM`, and started again at once", restarted, 0),
    Trouble(
        "turned away",
        "for 8 s, a server takes each handshake and closes with 1000 at once",
        turned_away,
        8,
    ),
)
