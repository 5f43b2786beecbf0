"""Which sessions are measured, for how long, and what they add up to."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import stop_after_attempt, wait_fixed

import resilient_ws
from resilient_ws import Event, PongReceived, Reconnect, Session, State
from resilient_ws.feeds import Channel
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.instruments import loop_reading
from resilient_ws.instruments.watching import SessionWatch, Watched, Where
from resilient_ws.testing.scripts import closing, feeding, hold, rejecting
from tests.record import turns, until


if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilient_ws.instruments.watching import Measurable
    from resilient_ws.testing import ScriptedServer


class Told:
    """A watch, with what it tells."""

    def __init__(self, watched: Watched = ()) -> None:
        self.events: list[tuple[Event, Where]] = []
        self.gone: list[Where] = []
        self.watch = SessionWatch(
            watched,
            on_event=lambda event, where: self.events.append((event, where)),
            on_gone=self.gone.append,
        )

    def read(self, name: str) -> dict[tuple[Any, ...], float]:
        """Return the time series of a metric, without the port."""
        (series,) = [
            series
            for metric, series in self.watch.read().items()
            if metric.name == f"resilient_ws.{name}"
        ]
        return {(key[0], *key[3:]): value for key, value in series.items()}


def session_to(server: ScriptedServer, name: str = "bot", **options: Any) -> Session:
    options.setdefault("reconnect", Reconnect(wait=wait_fixed(10)))
    return resilient_ws.connect(server.url(), name=name, **options)


async def test_a_session_is_measured_from_before_it_is_entered_to_its_end(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503), feeding("1", "2"))
    session = session_to(server)
    told = Told(session)
    assert told.read("session.state") == {("bot", "idle", ""): 1}
    async with session:
        await session.receive()
        assert told.read("session.state") == {("bot", "open", ""): 1}
        assert told.read("connection.attempts") == {("bot",): 2}
        assert told.read("messages") == {("bot", "receive"): 2, ("bot", "transmit"): 0}
        assert told.read("outage.time")["bot",] == pytest.approx(10, abs=0.1)
        await asyncio.sleep(7)
        assert told.read("silence.age")["bot",] == pytest.approx(7, abs=0.1)
        assert told.read("outage.age") == {("bot",): 0}
    assert told.read("session.state") == {("bot", "closed", ""): 1}


async def test_where_it_leads_is_told_and_no_secret() -> None:
    session = resilient_ws.connect("wss://u:s3cr3t@h.example/a?key=s3cr3t", name="a")
    fresh = resilient_ws.connect(lambda _: "wss://h.example", name="b")
    told = Told([session, fresh])
    (series,) = [
        series
        for metric, series in told.watch.read().items()
        if metric.name == "resilient_ws.outage.age"
    ]
    assert set(series) == {("a", "h.example", 443), ("b", None, None)}


async def test_a_session_that_gave_up_says_why(server: ScriptedServer) -> None:
    server.play(rejecting(503))
    session = session_to(server, reconnect=Reconnect(stop=stop_after_attempt(1)))
    told = Told(session)
    with pytest.raises(resilient_ws.GaveUp):
        async with session:
            pass
    assert told.read("session.state") == {("bot", "closed", "GaveUp"): 1}


async def test_events_come_with_their_session(server: ScriptedServer) -> None:
    session = session_to(server)
    told = Told(session)
    async with session:
        await session.ping()
        await turns()
        (pong,) = [e for e in told.events if isinstance(e[0], PongReceived)]
        assert pong[1] == ("bot", "127.0.0.1", server.port)


async def test_given_twice_it_is_measured_once(server: ScriptedServer) -> None:
    session = session_to(server)
    told = Told([session, session])
    told.watch.add(session)
    async with session:
        await session.ping()
        await turns()
        assert told.read("session.state") == {("bot", "open", ""): 1}
        assert sum(isinstance(e, PongReceived) for e, _ in told.events) == 1


@pytest.mark.parametrize("wrap", [Channel, Client])
async def test_a_channel_brings_its_session(
    server: ScriptedServer, wrap: type[Channel | Client]
) -> None:
    session = session_to(server)
    told = Told(session)
    assert told.read("feed.items") == {}
    async with wrap(session) as wrapped:
        told.watch.add(wrapped)
        assert told.read("feed.items") == {("bot",): 0}
        assert told.read("session.state") == {("bot", "open", ""): 1}
        odd = told.read("feed.odd")
        assert set(odd) == {("bot", w) for w in ("malformed", "unexpected", "unknown")}


async def test_sessions_of_one_name_share_their_time_series(
    server: ScriptedServer,
) -> None:
    server.play(closing(1001, after=0), hold)
    first, second = session_to(server), session_to(server)
    other = session_to(server, "other")
    told = Told([first, second, other])
    async with first:
        await first.wait_until(State.BACKOFF)
        await asyncio.sleep(4)
        async with second, other:
            assert told.read("session.state") == {
                ("bot", "backoff", ""): 1,
                ("bot", "open", ""): 1,
                ("other", "open", ""): 1,
            }
            # Counts are added up, and of ages the greatest is told.
            assert told.read("connection.opened") == {("bot",): 2, ("other",): 1}
            age = told.read("outage.age")
            assert age == {("bot",): pytest.approx(4, abs=0.1), ("other",): 0}


async def test_a_session_is_not_kept_alive(server: ScriptedServer) -> None:
    told = Told()

    async def use(name: str) -> None:
        session = session_to(server, name)
        told.watch.add(session)
        async with session:
            await session.ping()

    await use("bot")
    gc.collect()
    await turns()
    assert told.read("session.state") == {}
    assert told.gone == [("bot", "127.0.0.1", server.port)]


async def test_counters_do_not_go_back_when_one_of_several_is_gone(
    server: ScriptedServer,
) -> None:
    told = Told()
    lasting = session_to(server)
    told.watch.add(lasting)

    async def use() -> None:
        server.play(feeding("1", "2", "3"))
        passing = session_to(server)
        told.watch.add(passing)
        async with passing:
            await passing.receive()

    for number in (1, 2, 3):
        await use()
        gc.collect()
        await turns()
        # Nobody had looked at it in between.
        assert told.read("messages")["bot", "receive"] == 3 * number
        assert told.read("connection.opened") == {("bot",): number}
        assert told.read("session.state") == {("bot", "idle", ""): 1}
    assert told.gone == []
    del lasting
    gc.collect()
    await turns()
    assert told.read("messages") == {}
    assert len(told.gone) == 1
    # One that comes later begins from nothing, which Prometheus takes for a restart.
    session = session_to(server)
    told.watch.add(session)
    assert told.read("messages")["bot", "receive"] == 0


async def test_nothing_is_kept_of_thousands_that_nobody_reads() -> None:
    told = Told()
    for number in range(2_000):
        told.watch.add(resilient_ws.connect("wss://h.example", name=f"n{number}"))
    gc.collect()
    await turns()
    assert len(told.gone) == 2_000
    assert told.watch._records == {}
    assert not told.watch._past
    assert not told.watch._sharing


async def test_a_callable_is_asked_each_time(server: ScriptedServer) -> None:
    present: list[Measurable] = []
    told = Told(lambda: present)
    assert told.read("session.state") == {}
    first, second = session_to(server, "first"), session_to(server, "second")
    present = [first, second]
    async with first:
        assert set(told.read("outage.age")) == {("first",), ("second",)}
        present = [second]
        assert set(told.read("outage.age")) == {("second",)}
        assert told.gone == [("first", "127.0.0.1", server.port)]
        # It is not heard any more either.
        before = len(told.events)
        await first.ping()
        await turns()
        assert len(told.events) == before


async def test_closed_it_takes_back_its_callbacks(server: ScriptedServer) -> None:
    session = session_to(server)
    told = Told(lambda: [session])
    async with session:
        told.read("outage.age")
        told.watch.close()
        await session.ping()
        await turns()
        assert not any(isinstance(event, PongReceived) for event, _ in told.events)
        assert told.read("outage.age") == {}
        assert not session._callbacks


async def test_while_the_loop_is_blocked_it_is_read_all_the_same(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As from another thread whose question gets no answer.
    session = session_to(server)
    told = Told(session)
    async with session:

        def unanswered(*_: object) -> None: ...

        monkeypatch.setattr("resilient_ws.instruments.watching.read_on", unanswered)
        assert told.read("session.state") == {("bot", "open", ""): 1}
    assert loop_reading.ANSWER_WITHIN < 10


async def test_what_the_callable_raises_is_raised() -> None:
    def present() -> Iterable[Session]:
        if told is not None:
            raise LookupError("of the callable")
        return ()

    told: Told | None = None
    told = Told(present)
    with pytest.raises(LookupError, match="callable"):
        told.watch.read()


@pytest.mark.parametrize("wrong", ["wss://h/", 1, [1], object(), None])
async def test_what_cannot_be_measured_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="can be measured"):
        Told(wrong)


def test_outside_a_loop_it_says_where_to_make_it() -> None:
    with pytest.raises(RuntimeError, match="inside async def main"):
        Told()


async def test_events_come_in_their_order(server: ScriptedServer) -> None:
    server.play(closing(1001, after=0), hold)
    session = session_to(server)
    told = Told(session)
    async with session:
        await until(lambda: session.epoch == 2)
        await turns()
        kinds = [type(event).__name__ for event, _ in told.events]
        assert kinds == ["ConnectionOpened", "ConnectionDropped", "ConnectionOpened"]
