"""What the demo does to its server: a list of steps, each one function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from resilient_ws.cli.feed import FeedProcess


@attrs.frozen
class Step:
    """One thing done to the server.

    Attributes:
        name: In a few words, for the table.
        story: In a sentence, for the screen.
        act: Does it, and returns when the server would serve again.
    """

    name: str
    story: str
    act: Callable[[FeedProcess], Awaitable[None]]


async def kill(feed: FeedProcess) -> None:
    """Kill it, and start another a while later."""
    await feed.kill()
    await asyncio.sleep(1.0)
    await feed.start()


async def freeze(feed: FeedProcess) -> None:
    """Stop it from running for a while, with its connections open."""
    feed.freeze()
    await asyncio.sleep(2.0)
    feed.thaw()


async def close(feed: FeedProcess) -> None:
    """Have it close the connection as a server does that is about to restart."""
    await feed.tell("close 1012 deploying")


async def refuse(feed: FeedProcess) -> None:
    """Have it turn everybody away for a while."""
    await feed.tell("refuse 1.2 1")
    await asyncio.sleep(1.2)


async def restart(feed: FeedProcess) -> None:
    """End it in good order, and start another at once."""
    await feed.stop()
    await feed.start()


SCENARIO: Final = (
    Step("killed", "kill -9: the server dies, and is back a second later", kill),
    Step("frozen", "kill -STOP: for 2 s the server is there and says nothing", freeze),
    Step("restarted", "kill -TERM: the server says goodbye and restarts", restart),
    Step("busy", "503 with Retry-After: the server refuses for 1.2 s", refuse),
    Step("deployed", "close 1012: the server asks its clients to come later", close),
)
