"""A wire protocol of the tests, in which the server says outright what it means."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from resilient_ws import connect
from resilient_ws.feeds import (
    Channel,
    Ended,
    Ignore,
    Item,
    LoginRefused,
    Plain,
    Reply,
    Reset,
    Rotate,
)
from resilient_ws.testing import ScriptedServer, assert_no_leaks


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from resilient_ws import Connection
    from resilient_ws.feeds import Route, Subscription
    from resilient_ws.testing.scripts import Script


class Talk(Plain):
    """``{"says": "item", "key": ..., "value": ...}``, and so on for each route."""

    def __init__(self, beat_interval: float | None = None) -> None:
        self.beat_interval = beat_interval
        self.next_beat: str | None = None
        self.resumes: list[bool] = []
        self.refusals = 0

    @override
    async def login(self, connection: Connection, resume: bool) -> None:
        self.resumes.append(resume)
        if self.refusals:
            self.refusals -= 1
            raise LoginRefused("The server refused the login.")

    def route(self, message: str | bytes) -> Route:
        said: dict[str, Any] = json.loads(message)
        match said.pop("says"):
            case "item":
                return Item(**said)
            case "reply":
                return Reply(**said)
            case "rotate":
                return Rotate(**said)
            case "reset":
                return Reset(**said)
            case "ended":
                return Ended(**said)
            case _:
                return Ignore(odd="something else")

    @override
    def beat(self) -> str | None:
        return self.next_beat


def say(what: str, **rest: object) -> str:
    return json.dumps({"says": what, **rest})


@contextlib.asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[ScriptedServer]:
    """Serve in the loop of the test, and prove that nothing is left behind."""
    async with assert_no_leaks(), ScriptedServer(*scripts) as server:
        yield server


def channel(server: ScriptedServer, protocol: Any, **settings: Any) -> Channel:
    return Channel(connect(server.url(), wait_open=False), protocol, **settings)


async def take(
    subscription: Subscription[Any], count: int, *, within: float = 60
) -> list[Any]:
    """Return the next items of a subscription, which come in time."""
    async with asyncio.timeout(within):
        return [await anext(subscription) for _ in range(count)]


def now() -> float:
    return asyncio.get_running_loop().time()


async def until(condition: Callable[[], object]) -> None:
    """Wait at most two minutes for something to become true."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - what it looks at tells nobody
            await asyncio.sleep(0.01)
