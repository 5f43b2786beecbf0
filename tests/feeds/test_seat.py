from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resilient_ws import OutboxFull, StoreError
from resilient_ws.events import SessionClosed
from resilient_ws.feeds import (
    CallLost,
    CallTimeout,
    RequestRefused,
    RPCError,
    Stage,
    SubscribeRefused,
)
from resilient_ws.feeds.buffer import Buffer
from resilient_ws.feeds.calls import Calls
from resilient_ws.feeds.flow import Flow
from resilient_ws.feeds.links import Links
from resilient_ws.feeds.pace import Pace
from resilient_ws.feeds.registry import Registry
from resilient_ws.feeds.requests import Requests
from resilient_ws.feeds.seat import MAX_PAUSE, PAUSE, Seat
from resilient_ws.feeds.source import Source
from resilient_ws.feeds.turns import Turns
from tests.feeds.scripted_session import ScriptedSession
from tests.record import now, turns


LOST = CallLost("lost", maybe_executed=True)
TIMEOUT = CallTimeout("late", after=1, maybe_executed=True)


class Desk:
    """A seat whose source answers as the test says."""

    def __init__(self, *answers: Any, **source: Any) -> None:
        #: A key, an exception, or a future.
        self.answers = list(answers)
        self.asked: list[float] = []
        self.told: list[Any] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.buffer: Buffer[Any] = Buffer(5)
        self.source: Source[Any, Any] = Source(
            subscribe=self.subscribe, unsubscribe=self.unsubscribe, **source
        )
        self.flow: Flow[Any, Any] = Flow(
            "seat", self.source, self.buffer, after=None, refill=True, spawn=self.spawn
        )
        self.registry = Registry(10, now, lambda: None, Turns())
        self.seat = Seat(
            self.source,
            self.flow,
            self.buffer.finish,
            registry=self.registry,
            pace=Pace(None),
            spawn=self.spawn,
        )
        session = ScriptedSession()
        session.open()
        links = Links(session.session)
        self.requests = Requests(
            links.opened(1), Calls(links, max_in_flight=9), new_id=int, timeout=5
        )

    def spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def subscribe(self, _: Requests) -> Any:
        self.asked.append(now())
        answer = self.answers.pop(0)
        if isinstance(answer, asyncio.Future):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def unsubscribe(self, _: Requests, key: Any) -> None:
        self.told.append(key)
        if key == "broken":
            raise ZeroDivisionError

    def deliver(self, key: Any, value: Any) -> None:
        self.registry.by_key[key](value)


async def test_a_subscription_stands_when_the_server_has_granted_it() -> None:
    desk = Desk("key")
    desk.seat.opened(desk.requests)
    assert await desk.seat.granted is None
    assert desk.seat.has("key")
    desk.deliver("key", 1)
    assert await desk.buffer.take() == 1
    await turns()
    assert not desk.tasks
    assert desk.registry._expected == 0


@pytest.mark.parametrize(
    "failure",
    [
        *(LOST, TIMEOUT, OutboxFull("full"), StoreError("disk")),
        RequestRefused({"code": 100, "temporary": True}),
    ],
)
async def test_without_an_answer_it_asks_again_less_and_less_often(
    failure: Exception,
) -> None:
    desk = Desk(*[failure] * 9, "key")
    desk.seat.opened(desk.requests)
    assert await desk.seat.granted is None
    pauses = [b - a for a, b in zip(desk.asked, desk.asked[1:], strict=False)]
    assert pauses[:3] == [PAUSE, 2 * PAUSE, 4 * PAUSE]
    assert max(pauses) == MAX_PAUSE


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (RPCError(-32000, "no"), SubscribeRefused),
        (SubscribeRefused("no"), SubscribeRefused),
        (ZeroDivisionError(), ZeroDivisionError),
    ],
)
async def test_a_refusal_ends_it_with_its_cause(
    failure: Exception, kind: type[Exception]
) -> None:
    desk = Desk(failure)
    desk.seat.opened(desk.requests)
    refused = await desk.seat.granted
    assert type(refused) is kind
    if isinstance(failure, RPCError):
        assert isinstance(refused, SubscribeRefused)
        assert refused.__cause__ is failure
    with pytest.raises(kind):
        await desk.buffer.take()
    assert desk.seat.ended
    await turns()
    assert not desk.tasks


@pytest.mark.parametrize("key", [[], {}, [{"a": 1}]])
async def test_an_answer_that_cannot_be_a_key_is_a_refusal(key: Any) -> None:
    """The server answers with a list: nothing must wait for ever."""
    desk = Desk(key)
    desk.seat.opened(desk.requests)
    assert isinstance(await desk.seat.granted, SubscribeRefused)


async def test_so_is_a_key_that_another_subscription_has() -> None:
    desk = Desk("key")
    desk.registry.bind("key", print, lambda: None)
    desk.seat.opened(desk.requests)
    refused = await desk.seat.granted
    assert isinstance(refused, SubscribeRefused)
    assert "share it" in str(refused)
    assert desk.registry.by_key == {"key": print}, "that one lives on"


async def test_after_a_drop_it_is_made_anew_under_a_new_key() -> None:
    desk = Desk("one", "two")
    desk.seat.opened(desk.requests)
    await desk.seat.granted
    desk.registry.clear()
    desk.seat.lost()
    assert not desk.seat.has("one")
    desk.seat.opened(desk.requests)
    await turns()
    assert desk.seat.has("two")
    assert desk.flow.stage is Stage.LIVE


async def test_a_drop_while_it_asks_leaves_nothing_behind() -> None:
    desk = Desk(asyncio.get_running_loop().create_future(), "two")
    desk.seat.opened(desk.requests)
    await turns()
    desk.seat.lost()
    desk.seat.opened(desk.requests)
    assert await desk.seat.granted is None
    assert desk.seat.has("two")
    await turns()
    assert (desk.registry._expected, desk.tasks) == (0, set())


async def test_one_that_the_server_ended_is_asked_for_again_after_a_pause() -> None:
    desk = Desk("one", "one")
    desk.seat.opened(desk.requests)
    await desk.seat.granted
    desk.seat.renew()
    assert not desk.registry.by_key
    await asyncio.sleep(PAUSE + 0.1)
    assert desk.asked == [0, PAUSE]
    assert desk.seat.has("one"), "the server may give it the same key"
    assert desk.told == [], "it knows that it has ended"


async def test_the_server_is_told_of_the_end_whatever_that_raises() -> None:
    for key in ("key", "broken"):
        desk = Desk(key)
        desk.seat.opened(desk.requests)
        await desk.seat.granted
        farewell = desk.seat.farewell()
        desk.seat.finish(None)
        assert farewell is not None
        await farewell
        assert desk.told == [key]
        assert desk.seat.farewell() is None
        assert not desk.registry.by_key


async def test_one_that_ends_while_it_is_asked_for_is_given_back_if_granted() -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    desk = Desk(answer)
    desk.seat.opened(desk.requests)
    await turns()
    desk.seat.finish(None)
    assert isinstance(await desk.seat.granted, SessionClosed)
    answer.set_result("key")
    await turns()
    assert desk.told == ["key"]
    assert not desk.registry.by_key
    assert not desk.tasks


async def test_and_is_not_asked_for_again_if_not() -> None:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    desk = Desk(answer)
    desk.seat.opened(desk.requests)
    await turns()
    desk.seat.finish(None)
    answer.set_result(TIMEOUT)
    await turns()
    assert (len(desk.asked), desk.told, desk.tasks) == (1, [], set())


async def test_one_that_ends_before_its_turn_is_never_asked_for() -> None:
    desk = Desk("one", "two")
    desk.seat.opened(desk.requests)
    await desk.seat.granted
    desk.seat.renew()
    await turns()
    desk.seat.finish(None)
    await asyncio.sleep(10)
    assert (len(desk.asked), desk.tasks) == (1, set())


async def test_what_came_too_early_to_be_held_is_a_hole() -> None:
    desk = Desk("key")
    desk.registry.expect()
    for number in range(30):
        desk.registry.hold("key", number)
    desk.seat.opened(desk.requests)
    await desk.seat.granted
    await turns()
    taken = [await desk.buffer.take() for _ in range(5)]
    assert type(taken[0]).__name__ == "Gap"
    assert taken[1:] == [20, 21, 22, 23]


# Silence.


async def test_a_silent_stream_without_a_probe_is_ended_and_made_anew() -> None:
    desk = Desk("one", "two", stale_after=10)
    desk.seat.opened(desk.requests)
    await desk.seat.granted
    await asyncio.sleep(9)
    desk.deliver("one", "sign of life")
    await asyncio.sleep(9)
    assert desk.seat.has("one")
    await asyncio.sleep(2)
    assert desk.seat.has("two")
    assert (desk.told, desk.asked) == (["one"], [0, 19])


@pytest.mark.parametrize("alive", [True, False, RPCError(1, "no"), KeyError("bug")])
async def test_a_probe_decides(alive: Any) -> None:
    probes = []

    async def probe(requests: Requests) -> bool:
        probes.append(now())
        if isinstance(alive, Exception):
            raise alive
        return bool(alive)

    desk = Desk("one", "two", "three", stale_after=10, probe=probe)
    desk.seat.opened(desk.requests)
    await desk.seat.granted
    await asyncio.sleep(25)
    assert probes == [10, 20]
    assert len(desk.asked) == (1 if alive is True else 3)


async def test_an_item_during_the_probe_is_a_sign_of_life() -> None:
    async def probe(requests: Requests) -> bool:
        await asyncio.sleep(2)
        return False

    desk = Desk("one", stale_after=10, probe=probe)
    desk.seat.opened(desk.requests)
    await desk.seat.granted
    await asyncio.sleep(11)
    desk.deliver("one", 1)
    await asyncio.sleep(5)
    assert len(desk.asked) == 1


async def test_a_drop_ends_the_watch() -> None:
    desk = Desk("one", stale_after=10)
    desk.seat.opened(desk.requests)
    await desk.seat.granted
    desk.registry.clear()
    desk.seat.lost()
    await asyncio.sleep(100)
    assert len(desk.asked) == 1


async def test_a_subscription_that_is_put_off_is_said_so_once_until_it_is_granted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk(LOST, OSError("5ecret"), TIMEOUT, "k", OSError(), "k", name="ticks")
    desk.seat.opened(desk.requests)
    await desk.seat.granted
    said = "a subscription ('ticks') was not granted (OSError), and is asked for again"
    assert [record.message for record in caplog.records] == [said]
    desk.seat.lost()
    desk.seat.opened(desk.requests)
    await asyncio.sleep(10)
    assert [record.message for record in caplog.records] == [said, said]
