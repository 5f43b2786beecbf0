"""A protocol that numbers the messages of its connection says what is missing."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from resilient_ws import connect
from resilient_ws.feeds import (
    CallLost,
    Channel,
    Gap,
    Item,
    Missed,
    Plain,
    Requests,
    Source,
)
from resilient_ws.testing import ScriptedServer, assert_no_leaks


if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilient_ws.feeds import Route


class Numbered(Plain):
    """``[number of the message, key]``."""

    def __init__(self) -> None:
        self._next = 0

    def route(self, message: str | bytes) -> Sequence[Route]:
        number, key = json.loads(message)
        missed = [Missed()] if number > self._next else []
        self._next = number + 1
        return [*missed, Item(key, number)]


def source(key: str) -> Source[int, int]:
    async def subscribe(_: Requests) -> str:
        return key

    return Source(subscribe=subscribe)


async def test_every_subscription_has_a_gap_and_calls_are_lost() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        accepting = asyncio.create_task(server.accept())
        async with Channel(connect(server.url()), Numbered()) as channel:
            peer = await accepting
            first = await channel.subscribe(source("a"))
            second = await channel.subscribe(source("b"))
            await peer.send('[0, "a"]')
            assert await anext(first) == 0
            calling = asyncio.create_task(channel.call((1,), "ask"))
            await peer.expect("ask")
            await peer.send('[2, "b"]')
            assert isinstance(await anext(first), Gap)
            assert isinstance(await anext(second), Gap)
            assert await anext(second) == 2
            ((_, error),) = await calling
            with pytest.raises(CallLost):
                raise error or AssertionError
