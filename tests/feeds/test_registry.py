"""What comes before its key is known, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from resilient_ws import connect
from resilient_ws.feeds import Channel, Gap, Item, Plain, Reply, Requests, Route, Source
from resilient_ws.feeds.registry import HOLD, MAX_LEFT, Registry
from resilient_ws.feeds.turns import Turns
from resilient_ws.testing import ScriptedServer, assert_no_leaks


class Desk:
    """A registry, what it delivered, and its clock."""

    def __init__(self, early: int = 3) -> None:
        self.time = 0.0
        self.unknown = 0
        self.lost = 0
        self.turns = Turns()
        self.registry = Registry(early, lambda: self.time, self.count, self.turns)
        self.got: list[Any] = []

    def count(self) -> None:
        self.unknown += 1

    def lose(self) -> None:
        self.lost += 1
        assert not self.got, "the loss comes before the items"

    def bind(self, key: Any) -> None:
        self.registry.bind(key, self.got.append, self.lose)


def test_items_that_come_before_their_key_are_held_and_come_first() -> None:
    desk = Desk()
    desk.registry.expect()
    assert desk.registry.hold("a", 1)
    assert desk.registry.hold("b", 2)
    assert desk.registry.hold("a", 3)
    desk.bind("a")
    assert (desk.got, desk.lost, desk.unknown) == ([1, 3], 0, 0)
    desk.registry.unexpect()
    assert desk.unknown == 1, "that of b was for nobody"


def test_an_answer_lets_a_subscription_that_is_being_made_run() -> None:
    desk = Desk()
    desk.registry.answered()
    assert not desk.turns.due, "no subscription waits"
    desk.registry.expect()
    desk.registry.answered()
    assert desk.turns.due


def test_nothing_is_held_when_no_subscription_is_being_made() -> None:
    desk = Desk()
    assert not desk.registry.hold("a", 1)
    desk.registry.expect()
    desk.registry.unexpect()
    assert not desk.registry.hold("a", 1)


def test_what_could_not_be_held_is_told_before_the_rest() -> None:
    desk = Desk(early=3)
    desk.registry.expect()
    for number in range(5):
        desk.registry.hold("a", number)
    desk.bind("a")
    assert (desk.got, desk.lost, desk.unknown) == ([2, 3, 4], 1, 2)


def test_what_was_held_too_long_is_told_too() -> None:
    desk = Desk()
    desk.registry.expect()
    desk.registry.hold("a", 1)
    desk.time = HOLD + 1
    desk.bind("a")
    assert (desk.got, desk.lost, desk.unknown) == ([], 1, 1)


def test_another_key_did_not_lose_anything() -> None:
    desk = Desk(early=1)
    desk.registry.expect()
    desk.registry.hold("a", 1)
    desk.registry.hold("b", 2)
    desk.bind("b")
    assert (desk.got, desk.lost) == ([2], 0)


def test_a_flood_of_keys_is_not_remembered_and_all_are_told() -> None:
    desk = Desk(early=3)
    desk.registry.expect()
    for number in range(10_000):
        desk.registry.hold(number, number)
    assert len(desk.registry._early) == 3
    assert len(desk.registry._lost) <= 4
    desk.bind("never came")
    assert desk.lost == 1, "it cannot be known any more"
    desk.registry.unexpect()
    assert desk.unknown == 10_000


def test_the_end_of_a_connection_forgets_everything() -> None:
    desk = Desk()
    desk.registry.expect()
    desk.registry.hold("a", 1)
    desk.bind("b")
    desk.registry.leave("b")
    desk.registry.clear()
    assert desk.unknown == 1
    assert not desk.registry.by_key
    assert desk.registry.hold("b", 1), "it may be a key of the next connection"
    desk.bind("b")
    assert (desk.got, desk.lost) == ([1], 0)


def test_the_last_items_of_a_key_that_was_left_are_no_surprise() -> None:
    desk = Desk()
    desk.bind("a")
    desk.registry.leave("a")
    assert desk.registry.hold("a", 1)
    assert desk.unknown == 0
    desk.bind("a")
    assert desk.got == [], "what came between belongs to nobody"
    desk.registry.by_key["a"](2)
    assert desk.got == [2]


def test_a_key_that_is_bound_again_misses_nothing() -> None:
    desk = Desk()
    desk.bind("a")
    desk.registry.unbind("a")
    desk.registry.expect()
    desk.registry.hold("a", 1)
    desk.bind("a")
    assert desk.got == [1]


def test_only_so_many_left_keys_are_remembered() -> None:
    desk = Desk()
    for number in range(MAX_LEFT + 10):
        desk.bind(number)
        desk.registry.leave(number)
    assert not desk.registry.hold(9, "forgotten")
    assert desk.registry.hold(10, "remembered")


def test_what_comes_for_a_key_that_is_asked_for_again_is_held() -> None:
    desk = Desk()
    desk.bind("a")
    desk.registry.leave("a")
    desk.registry.expect()
    desk.registry.hold("a", 1)
    desk.bind("a")
    assert desk.got == [1], "it may be the first of the new subscription"


def test_what_is_held_of_a_key_that_was_left_is_no_surprise() -> None:
    desk = Desk()
    desk.bind("a")
    desk.registry.leave("a")
    desk.registry.expect()
    desk.registry.hold("a", 1)
    desk.registry.unexpect()
    assert (desk.got, desk.unknown) == ([], 0)
    desk.registry.expect()
    desk.registry.hold("a", 2)
    desk.registry.clear()
    assert desk.unknown == 0


def test_a_loss_is_told_once() -> None:
    for keys in (["a"], list("abcdefg")):
        desk = Desk(early=1)
        desk.registry.expect()
        for key in [*keys, "z"]:
            desk.registry.hold(key, 1)
        desk.bind("a")
        desk.registry.unbind("a")
        desk.bind("a")
        assert desk.lost == 1
        desk.registry.unbind("a")
        for _ in range(2):
            desk.registry.hold("a", 2)
        desk.bind("a")
        assert desk.lost == 2, "it lost another"


def test_what_is_forgotten_is_neither_delivered_nor_told() -> None:
    desk = Desk(early=2)
    desk.registry.expect()
    for number in range(4):
        desk.registry.hold("a", number)
    desk.registry.forget("a")
    desk.bind("a")
    assert (desk.got, desk.lost) == ([], 0)


class Wire(Plain):
    """A number answers the request; a list is an item."""

    def route(self, message: str | bytes) -> Route:
        data = json.loads(message)
        return Item("key", data[0]) if isinstance(data, list) else Reply(data)


async def _subscribe(requests: Requests) -> str:
    await requests.ask(7, "subscribe")
    return "key"


async def test_items_that_found_no_room_before_their_key_was_known_are_a_gap() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        accepting = asyncio.create_task(server.accept())
        async with Channel(connect(server.url()), Wire(), early=10) as channel:
            peer = await accepting
            source = Source[int, int](subscribe=_subscribe)
            subscribing = asyncio.create_task(channel.subscribe(source))
            await peer.expect("subscribe")
            for number in range(15):
                await peer.send(f"[{number}]")
            await peer.send("7")
            subscription = await subscribing
            found = [await anext(subscription) for _ in range(11)]
            assert isinstance(found[0], Gap)
            assert found[1:] == list(range(5, 15))
