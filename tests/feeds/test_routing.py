from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from resilient_ws.feeds.calls import Calls
from resilient_ws.feeds.links import Links
from resilient_ws.feeds.oddities import Oddities
from resilient_ws.feeds.protocol import (
    Answer,
    Ended,
    Everything,
    Ignore,
    Item,
    Plain,
    Reply,
    Reset,
    Rotate,
    Route,
)
from resilient_ws.feeds.registry import Registry
from resilient_ws.feeds.routing import Router
from resilient_ws.feeds.throttled_log import ThrottledLog
from resilient_ws.feeds.turns import Turns
from tests.feeds.scripted_session import ScriptedSession
from tests.record import now, turns


if TYPE_CHECKING:
    from collections.abc import Sequence


UNHASHABLE: Any = []


class Planned(Plain):
    """Returns what the test says; the message is its index."""

    def __init__(self, *routes: Any) -> None:
        self.routes = routes

    def route(self, message: str | bytes) -> Route | Sequence[Route]:
        route: Any = self.routes[int(message)]
        if isinstance(route, Exception):
            raise route
        return route  # type: ignore[no-any-return]


class Acking(Planned):
    def ack(self, item: Item) -> str | None:
        if item.key == "broken":
            raise ValueError(item.key)
        return None if item.key == "quiet" else f"ack {item.value}"


class Desk:
    def __init__(self, protocol: Any) -> None:
        self.told: list[Any] = []
        self.oddities = Oddities(ThrottledLog(lambda: "channel", now), None)
        self.registry = Registry(10, now, lambda: None, Turns())
        self.calls = Calls(Links(ScriptedSession().session), max_in_flight=10)
        self.router = Router(
            protocol,
            registry=self.registry,
            calls=self.calls,
            oddities=self.oddities,
            on_ended=self.told.append,
            on_rotate=self.told.append,
            on_reset=self.told.append,
            on_missed=lambda: self.told.append("missed"),
            send=self.told.append,
        )
        self.got: list[Any] = []
        self.registry.bind("a", self.got.append, lambda: None)

    def play(self) -> dict[str, int]:
        for number in range(len(self.router._route.__self__.routes)):  # type: ignore[attr-defined]
            self.router.message(str(number))
        return {kind: count for kind, count in self.oddities.counts.items() if count}


async def test_each_kind_goes_where_it_belongs() -> None:
    ended, rotate, reset = Ended("a"), Rotate("soon"), Reset("gone")
    desk = Desk(
        Planned(
            Item("a", 1),
            (Item("a", 2), Ignore(), Item("a", 3)),
            ended,
            rotate,
            reset,
            Answer("pong"),
            Ignore(),
            [],
        )
    )
    assert desk.play() == {}
    assert desk.got == [1, 2, 3]
    assert desk.told == [ended, rotate, reset, "pong"]
    assert desk.router.items == 3


async def test_what_is_odd_is_counted_and_the_rest_of_a_batch_is_routed() -> None:
    desk = Desk(
        Planned(
            ValueError("bad"),
            RecursionError(),
            MemoryError(),
            Item(UNHASHABLE, 1),
            Reply({}, 1),
            Reply(1, 1),
            Reply(1, 1, odd="both"),
            Item("b", 1),
            Ignore(odd="odd"),
            None,
            "a str",
            [Item(UNHASHABLE, 1), Reply([], 1), None, Item("a", 9)],
        )
    )
    odd = desk.play()
    assert odd == {"malformed": 12, "unexpected": 2, "unknown": 1}
    assert desk.got == [9]


async def test_what_a_callback_of_the_channel_raises_is_counted_too() -> None:
    """A server names a URL for the next connection that access does not allow."""
    desk = Desk(Planned(Rotate("soon", "ws://10.0.0.1/"), Item("a", 1)))

    def refuse(_: Any) -> None:
        raise PermissionError

    desk.router._rare[Rotate] = refuse
    assert desk.play() == {"malformed": 1}
    assert desk.got == [1]


async def test_an_item_is_acknowledged_if_the_protocol_has_it_so() -> None:
    desk = Desk(
        Acking(Item("a", 1), Item("quiet", 2), Item("broken", 3), Item("other", 4))
    )
    desk.registry.bind("quiet", desk.got.append, lambda: None)
    desk.registry.bind("broken", desk.got.append, lambda: None)
    assert desk.play() == {"malformed": 1, "unknown": 1}
    assert desk.got == [1, 2, 3]
    assert desk.told == ["ack 1"], "nor what was for nobody"


async def test_those_who_listen_get_all_and_what_is_early_is_still_held() -> None:
    desk = Desk(Planned(Item("a", 1), Item("early", 2), Item("early", 3)))
    heard: list[Any] = []
    desk.router.listen(heard.append)
    desk.registry.expect()
    assert desk.play() == {}
    assert (heard, desk.got) == ([1, 2, 3], [1])
    early: list[Any] = []
    desk.registry.bind("early", early.append, lambda: None)
    assert early == [2, 3]


async def test_without_a_protocol_everything_is_an_item() -> None:
    route = Everything().route("hello")
    assert (route.key, route.value) == (None, "hello")


async def test_an_answer_reaches_its_call() -> None:
    desk = Desk(Planned(Reply(7, "yes")))
    session = ScriptedSession()
    session.open()
    desk.calls._links = Links(session.session)
    desk.calls._links.opened(1)
    task = asyncio.create_task(desk.calls.call((7,), "ask", timeout=5))
    await turns()
    assert desk.play() == {}
    assert await task == [("yes", None)]
