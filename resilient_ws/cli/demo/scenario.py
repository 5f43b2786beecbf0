"""What the demo does to its server: a list of steps, each one function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from resilient_ws.cli.demo.server_process import ServerProcess


@attrs.frozen
class Scene:
    """One thing that is done to the server.

    Attributes:
        name: A word for the table.
        story: A sentence for the screen.
        act: Does it, and returns when the server would serve again.
    """

    name: str
    story: str
    act: Callable[[ServerProcess], Awaitable[None]]


async def kill(server: ServerProcess) -> None:
    """Kill the server, and start another a second later."""
    await server.kill()
    await asyncio.sleep(1.0)
    await server.start()


async def freeze(server: ServerProcess) -> None:
    """Keep the server from running for a while, with its connections open."""
    server.freeze()
    await asyncio.sleep(2.0)
    server.thaw()


async def close(server: ServerProcess) -> None:
    """Let the server close its connections, as one does that is about to restart."""
    await server.tell("close 1012 deploying")


async def refuse(server: ServerProcess) -> None:
    """Let the server refuse everybody for a while."""
    await server.tell("refuse 1.2 1")
    await asyncio.sleep(1.2)


async def restart(server: ServerProcess) -> None:
    """End the server cleanly, and start another at once."""
    await server.stop()
    await server.start()


SCENARIO: Final = (
    Scene("killed", "kill -9: the server dies, and is back a second later", kill),
    Scene("frozen", "kill -STOP: for 2 s the server is there and says nothing", freeze),
    Scene("restarted", "kill -TERM: the server says goodbye and restarts", restart),
    Scene("busy", "503 with Retry-After: the server refuses for 1.2 s", refuse),
    Scene("deployed", "close 1012: the server asks its clients to come later", close),
)
