from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import resilient_ws
from resilient_ws import GaveUp, State
from resilient_ws.events import SessionClosed
from resilient_ws.feeds import (
    Answer,
    CallLost,
    CallTimeout,
    Channel,
    Ended,
    Gap,
    Ignore,
    Item,
    MessageOdd,
    Plain,
    Reply,
    Requests,
    Reset,
    Rotate,
    Source,
    Stage,
    StreamEnded,
)
from resilient_ws.testing import ScriptedServer, assert_no_leaks
from tests.feeds.scripted_session import ScriptedSession
from tests.record import turns


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from resilient_ws import Connection
    from resilient_ws.feeds import Route
    from resilient_ws.testing import Peer


class Words(Plain):
    """A wire protocol of words: ``item KEY VALUE``, ``reply ID VALUE`` and so on."""

    def __init__(self) -> None:
        self.logins: list[bool] = []
        self.fails = False

    def route(self, message: str | bytes) -> Route | Sequence[Route]:
        kind, *rest = str(message).split()
        return self.words[kind](*rest)

    @property
    def words(self) -> dict[str, Callable[..., Route]]:
        return {
            "item": Item,
            "reply": Reply,
            "end": Ended,
            "fail": lambda key: Ended(key, StreamEnded("no more")),
            "again": lambda key: Ended(key, again=True),
            "rotate": lambda *url: Rotate("soon", *url),
            "reset": lambda *resume: Reset("gone", resume=resume == ("resume",)),
            "ask": lambda text: Answer(self._later(text)),
            "ok": Ignore,
        }

    async def _later(self, text: str) -> str | None:
        if text == "broken":
            raise ZeroDivisionError
        return f"answer {text}"

    async def login(self, _: Connection, resume: bool) -> None:
        self.logins.append(resume)
        if self.fails:
            raise ConnectionError


def source(key: str, **how: Any) -> Source[Any, Any]:
    async def subscribe(requests: Requests) -> str:
        await requests.send(f"subscribe {key}")
        return key

    async def unsubscribe(requests: Requests, given: Any) -> None:
        await requests.send(f"unsubscribe {given}")

    return Source(subscribe=subscribe, unsubscribe=unsubscribe, **how)


class Desk:
    """A channel over a session that is played by hand."""

    def __init__(self, **how: Any) -> None:
        self.session = ScriptedSession()
        self.protocol = Words()
        self.odd: list[MessageOdd] = []
        self.channel = Channel(
            self.session.session, self.protocol, report=self.odd.append, **how
        )

    @property
    def sent(self) -> list[str | bytes]:
        return [message for _, message in self.session.sent]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with desk.channel:
        desk.session.open()
        await turns()
        yield desk
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing is left behind"


async def test_each_subscription_gets_its_items(desk: Desk) -> None:
    a = await desk.channel.subscribe(source("a"))
    b = await desk.channel.subscribe(source("b"))
    desk.session.receive("item a 1", "item b 2", "item a 3")
    assert [await anext(a), await anext(a), await anext(b)] == ["1", "3", "2"]
    assert (a.id, b.id) == ("1", "2")
    assert repr(a) == "<Subscription 1, live, 0 waiting>"


async def test_they_live_on_across_a_drop_and_say_that_something_is_missing(
    desk: Desk,
) -> None:
    sub = await desk.channel.subscribe(source("a", name="trades"))
    desk.session.receive("item a 1")
    desk.session.drop()
    await turns()
    assert repr(sub) == "<Subscription trades, down, 1 waiting>"
    desk.session.open()
    desk.session.receive("item a 2")
    taken = [await anext(sub) for _ in range(3)]
    assert (taken[0], taken[2]) == ("1", "2")
    assert isinstance(taken[1], Gap)
    assert (taken[1].key, sub.id, sub.gaps) == ("trades", "trades", 1)
    assert desk.sent == ["subscribe a", "subscribe a"]


async def test_two_of_one_name_both_live(desk: Desk) -> None:
    """A name is for logs; neither takes the place of the other."""
    a = await desk.channel.subscribe(source("a", name="same"))
    b = await desk.channel.subscribe(source("b", name="same"))
    desk.session.drop()
    desk.session.open()
    await turns()
    desk.session.receive("item a 1", "item b 2")
    await turns()
    assert [await anext(a), await anext(a)][1] == "1"
    assert [await anext(b), await anext(b)][1] == "2"


async def test_the_server_ends_one_with_or_without_a_reason(desk: Desk) -> None:
    subs = [await desk.channel.subscribe(source(key)) for key in "abc"]
    desk.session.receive("item a 1", "end a", "fail b", "again c", "end d")
    assert [item async for item in subs[0]] == ["1"]
    with pytest.raises(StreamEnded):
        await anext(subs[1])
    await turns()
    assert desk.channel.statistics().live == 0
    await asyncio.sleep(2)
    assert subs[2].state is Stage.LIVE
    assert desk.sent.count("subscribe c") == 2
    assert [odd.kind for odd in desk.odd] == ["unexpected"]
    assert desk.channel.statistics().subscriptions == 1


async def test_leaving_one_tells_the_server(desk: Desk) -> None:
    sub = await desk.channel.subscribe(source("a"))
    async with sub:
        desk.session.receive("item a 1")
        assert await anext(sub) == "1"
    await sub.aclose()
    desk.session.receive("item a 2")
    await turns()
    with pytest.raises(StopAsyncIteration):
        await anext(sub)
    assert desk.sent == ["subscribe a", "unsubscribe a"]
    assert desk.odd == [], "what was on its way is no surprise"


async def test_leaving_one_may_be_cancelled_and_it_has_ended_all_the_same(
    desk: Desk,
) -> None:
    sub = await desk.channel.subscribe(source("a"))
    desk.session.room.clear()
    leaving = asyncio.create_task(sub.aclose())
    await turns()
    leaving.cancel()
    await turns()
    assert leaving.cancelled()
    with pytest.raises(StopAsyncIteration):
        await anext(sub)
    assert desk.channel.statistics().subscriptions == 0


async def test_a_cancelled_subscribe_leaves_nothing_behind_here_or_there(
    desk: Desk,
) -> None:
    turn = 0
    while True:
        task = asyncio.create_task(desk.channel.subscribe(source("a")))
        await turns(turn)
        if task.done():
            break
        task.cancel()
        await turns()
        assert desk.channel.statistics().subscriptions == 0
        turn += 1
    assert turn > 1
    await (await task).aclose()
    asked, told = (
        desk.sent.count(f"{what} a") for what in ("subscribe", "unsubscribe")
    )
    assert asked == told > 1


# The end, and before the beginning.


async def test_a_channel_that_was_not_entered_says_so() -> None:
    channel = Channel(ScriptedSession().session)
    assert channel.statistics().subscriptions == 0
    with pytest.raises(RuntimeError, match="Enter the channel"):
        channel.listen()
    with pytest.raises(RuntimeError, match="Enter the channel"):
        await channel.subscribe(source("a"))
    with pytest.raises(RuntimeError, match="Enter the channel"):
        await channel.call((1,), "ask")
    with pytest.raises(RuntimeError, match="Enter the channel"):
        await channel.send("hello")


async def test_the_end_of_the_session_ends_everything(desk: Desk) -> None:
    sub = await desk.channel.subscribe(source("a"))
    ear = desk.channel.listen()
    call = asyncio.create_task(desk.channel.call(("1",), "ask"))
    await turns()
    desk.session.receive("item a 1")
    desk.session.close()
    assert [item async for item in sub] == ["1"]
    assert [item async for item in ear] == ["1"]
    ((_, failure),) = await call
    assert isinstance(failure, CallLost)
    assert failure.maybe_executed
    for late in (
        desk.channel.subscribe(source("a")),
        desk.channel.call(("2",), "ask"),
        desk.channel.send("hello"),
    ):
        with pytest.raises(SessionClosed):
            await late
    with pytest.raises(SessionClosed):
        desk.channel.listen()


async def test_its_failure_reaches_those_who_wait(desk: Desk) -> None:
    sub = await desk.channel.subscribe(source("a"))
    desk.session.drop()
    await turns()
    waiting = [
        asyncio.create_task(work)
        for work in (
            desk.channel.subscribe(source("b")),
            desk.channel.call(("1",), "ask"),
            desk.channel.send("hello"),
            anext(sub),
        )
    ]
    await turns()
    desk.session.close(GaveUp("enough", attempts=9, elapsed=1.0, history=()))
    for task in waiting:
        with pytest.raises(GaveUp):
            await task


async def test_leaving_the_channel_ends_what_waits() -> None:
    desk = Desk()
    async with desk.channel:
        desk.session.open()
        await turns()
        sub = await desk.channel.subscribe(source("a"))
        waiting = asyncio.ensure_future(anext(sub))
        sending = asyncio.create_task(desk.channel.call(("1",), "ask"))
        await turns()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert isinstance((await sending)[0][1], CallLost)
    assert desk.session.state is State.CLOSED


async def test_a_session_of_the_user_is_left_open() -> None:
    session = ScriptedSession()
    await session.__aenter__()
    session.open()
    async with Channel(session.session) as channel:
        ear = channel.listen()
        session.receive("hello")
        assert await anext(ear) == "hello"
    assert session.state is State.OPEN


async def test_a_mistake_in_its_arguments_names_the_remedy() -> None:
    mistaken: Any = "ws://127.0.0.1"
    with pytest.raises(TypeError, match=r"not a URL: pass connect\(url\)"):
        Channel(mistaken)
    mistaken = Plain
    with pytest.raises(TypeError, match=r"Plain\(\)"):
        Channel(resilient_ws.connect("ws://127.0.0.1"), mistaken)


async def test_a_protocol_that_logs_in_wants_a_session_that_was_not_entered() -> None:
    session = ScriptedSession()
    await session.__aenter__()
    with pytest.raises(RuntimeError, match="logs in"):
        Channel(session.session, Words())


# The protocol.


async def test_a_login_says_whether_the_server_may_know_us(desk: Desk) -> None:
    (login,) = desk.session.hooks
    connection: Any = SimpleNamespace(epoch=1)
    await login(connection)
    await login(connection)
    desk.session.receive("reset")
    await turns()
    await login(connection)
    desk.session.receive("reset resume")
    await turns()
    await login(connection)
    assert desk.protocol.logins == [False, True, False, True]
    # The connection is replaced once, after a few seconds of chance.
    await asyncio.sleep(6)
    assert desk.session.reconnects == [("gone", None)]


async def test_after_a_login_that_failed_the_server_does_not_know_us(
    desk: Desk,
) -> None:
    (login,) = desk.session.hooks
    connection: Any = SimpleNamespace(epoch=1)
    desk.protocol.fails = True
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await login(connection)
    desk.protocol.fails = False
    await login(connection)
    await login(connection)
    assert desk.protocol.logins == [False, False, False, True]


async def test_the_server_may_ask_for_another_connection(desk: Desk) -> None:
    desk.session.receive("rotate wss://other.example", "rotate")
    await turns()
    assert desk.session.reconnects == [("soon", "wss://other.example")]


async def test_a_url_that_is_not_allowed_breaks_nothing(desk: Desk) -> None:
    def refuse(reason: str, url: str | None = None, *, code: int = 1000) -> None:
        if url is not None:
            raise resilient_ws.SecurityError(reason)

    desk.session.reconnect = refuse  # type: ignore[method-assign]
    sub = await desk.channel.subscribe(source("a"))
    desk.session.receive("rotate ws://10.0.0.1", "item a 1")
    assert await anext(sub) == "1"
    await turns()
    what = "a URL for the next connection that is not allowed"
    assert desk.odd == [MessageOdd(kind="malformed", what=what)]


async def test_a_question_of_the_server_is_answered_on_its_connection(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.session.receive("ask 1", "ask broken", "ask 2")
    await turns()
    assert desk.sent == ["answer 1", "answer 2"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


# Calls.


async def test_a_call_returns_the_value_and_the_error_of_each(desk: Desk) -> None:
    task = asyncio.create_task(desk.channel.call(("1", "2"), "ask"))
    await turns()
    desk.session.receive("reply 2 b", "reply 1 a", "reply 3 c")
    assert await task == [("a", None), ("b", None)]
    assert [odd.kind for odd in desk.odd] == ["unexpected"]


async def test_a_call_and_a_message_wait_for_a_connection_as_long_as_allowed() -> None:
    desk = Desk(timeout=3)
    async with desk.channel:
        ((_, failure),) = await desk.channel.call(("1",), "ask", timeout=1)
        assert isinstance(failure, CallTimeout)
        with pytest.raises(CallTimeout, match="nothing was sent"):
            await desk.channel.send("hello")
        sending = asyncio.create_task(desk.channel.send("hello"))
        await turns()
        desk.session.open()
        await sending
        assert desk.sent == ["hello"]


# Those who listen.


async def test_any_number_may_listen_each_to_what_it_wants(desk: Desk) -> None:
    everything = desk.channel.listen()
    some = desk.channel.listen(lambda value: value == "2")
    desk.session.receive("item a 1", "item b 2")
    assert [await anext(everything), await anext(everything)] == ["1", "2"]
    assert await anext(some) == "2"
    assert desk.odd == []
    await everything.aclose()
    desk.session.receive("item b 2")
    assert await anext(some) == "2"
    desk.session.drop()
    desk.session.open()
    assert isinstance(await anext(some), Gap)


async def test_a_choice_that_fails_is_a_gap_and_ends_nothing(desk: Desk) -> None:
    def select(value: Any) -> bool:
        return bool(10 // int(value))

    ear = desk.channel.listen(select)
    desk.session.receive("item a 1", "item a 0", "item a 2")
    taken = [await anext(ear) for _ in range(3)]
    assert (taken[0], taken[2]) == ("1", "2")
    assert isinstance(taken[1].because.__cause__, ZeroDivisionError)


async def test_who_listens_too_slowly_has_a_gap(desk: Desk) -> None:
    ear = desk.channel.listen(buffer=2)
    desk.session.receive(*(f"item a {number}" for number in range(10)))
    await turns()
    taken = [await anext(ear) for _ in range(3)]
    assert taken[:2] == ["0", "1"]
    assert isinstance(taken[2], Gap)
    assert ear.dropped == 8
    assert ear.state is Stage.LIVE


# Counting.


async def test_statistics(desk: Desk) -> None:
    sub = await desk.channel.subscribe(source("a"), buffer=2, overflow="gap")
    ended = await desk.channel.subscribe(source("b"))
    call = asyncio.create_task(desk.channel.call(("1",), "ask"))
    desk.session.receive(
        *["item a 1"] * 3, "item b 1", "item c 1", "reply 9 x", "what", "ok"
    )
    await turns()
    desk.session.drop()
    desk.session.open()
    await turns()
    await ended.aclose()
    now = desk.channel.statistics()
    assert (now.subscriptions, now.live, now.items, now.waiting) == (1, 0, 5, 2)
    assert (now.unknown, now.malformed, now.unexpected) == (1, 1, 1)
    assert (now.dropped, now.gaps, now.repeats) == (1, 1, 0)
    assert (now.calls_in_flight, now.outgoing_dropped) == (0, 0)
    await call
    await anext(sub)
    with pytest.raises(AttributeError):
        now.items = 3  # type: ignore[misc]


# The pump and its consumers.


async def test_a_quick_consumer_is_not_too_slow_for_a_burst(desk: Desk) -> None:
    """What has come is read at once; a consumer must get a turn in between."""
    sub = await desk.channel.subscribe(source("a"), buffer=16, overflow="gap")
    taken: list[Any] = []

    async def consume() -> None:
        async for item in sub:
            taken.append(item)  # noqa: PERF401 - one at a time, as a program does

    task = asyncio.create_task(consume())
    await turns()
    desk.session.receive(*(f"item a {number}" for number in range(5000)))
    while len(taken) < 5000:
        await turns(1)
    assert taken == [str(number) for number in range(5000)]
    assert (sub.gaps, sub.dropped) == (0, 0)
    task.cancel()


async def test_nor_one_that_is_only_just_granted(desk: Desk) -> None:
    """The items come in one burst with the answer, before anybody could run."""
    taken: list[Any] = []

    async def ask(requests: Requests) -> Any:
        return await requests.ask("1", "subscribe a")

    async def consume() -> None:
        async for item in await desk.channel.subscribe(Source(subscribe=ask)):
            taken.append(item)  # noqa: PERF401 - one at a time, as a program does

    task = asyncio.create_task(consume())
    await turns()
    burst = [f"item a {number}" for number in range(5000)]
    desk.session.receive(burst[0], "reply 1 a", *burst[1:])
    await turns(200)
    assert taken == [str(number) for number in range(5000)]
    assert desk.channel.statistics().gaps == 0
    task.cancel()


async def test_over_a_real_session_nothing_is_left_behind() -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        await peer.expect("subscribe a")
        await peer.send("item a 1", "item a 2", "what")
        await peer.ended()

    async with assert_no_leaks(), ScriptedServer(serve) as server:
        protocol = Words()
        async with Channel(resilient_ws.connect(server.url()), protocol) as channel:
            sub = await channel.subscribe(source("a"))
            assert [await anext(sub), await anext(sub)] == ["1", "2"]
            await turns()
            assert channel.statistics().malformed == 1
            assert protocol.logins == [False]
            await server.peer.reset()
            assert isinstance(await anext(sub), Gap)
            assert [await anext(sub), await anext(sub)] == ["1", "2"]
            assert protocol.logins == [False, True]


def test_a_channel_tells_its_session() -> None:
    session = resilient_ws.connect("wss://stream.example.com")
    assert Channel(session).session is session
