"""What is remembered of sessions, how long, and what it shows."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Inbox, Outbox, Reconnect, State
from resilient_ws.feeds import Channel
from resilient_ws.monitor import views
from resilient_ws.monitor.chronicle import KEPT
from resilient_ws.monitor.history import COLUMNS
from resilient_ws.monitor.watch_list import MOST, WatchList
from resilient_ws.testing import ScriptedServer
from resilient_ws.testing.scripts import closing, feeding, hold, rejecting
from tests.record import until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from resilient_ws import Session
    from resilient_ws.monitor.history import History
    from resilient_ws.monitor.watch_list import Sessions


def session_to(server: ScriptedServer, name: str = "bot", **options: Any) -> Session:
    reconnect = Reconnect(wait=wait_fixed(10))
    return resilient_ws.connect(
        server.url(f"/{name}"), name=name, reconnect=reconnect, **options
    )


@contextlib.asynccontextmanager
async def watching(sessions: Sessions) -> AsyncIterator[WatchList]:
    watch = WatchList(sessions)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait({task})


def shown(history: History | None) -> dict[str, Any]:
    """The row of a session, by its columns."""
    assert history is not None
    return dict(zip(COLUMNS, json.loads(history.row), strict=True))


async def turns(watch: WatchList, count: int) -> None:
    for _ in range(count):
        await watch.wait_turn()


async def test_a_session_that_is_well(server: ScriptedServer) -> None:
    async with session_to(server) as session, watching(session) as watch:
        await turns(watch, 3)
        row = shown(watch.history(1))
        assert (row["name"], row["health"], row["state"]) == ("bot", "good", "open")
        assert row["alarms"] == []
        assert watch.histories[0].series.strip("2m") == "oo"


async def test_a_session_that_is_down_says_since_when_and_why(
    server: ScriptedServer,
) -> None:
    session = session_to(server)
    async with session, watching(session) as watch:
        await turns(watch, 2)
        server.play(rejecting(503))
        await server.peer.reset()
        await turns(watch, 2)
        assert shown(watch.history(1))["alarms"][0][1] == "Reconnecting"
        await turns(watch, 20)

        row = shown(watch.history(1))
        assert row["health"] == "bad"
        (alarm,) = row["alarms"]
        assert alarm[1] == "No connection: the server answered with HTTP status 503"
        assert alarm[2] == row["since"]
        told = json.loads(views.session(watch.histories[0], "2m"))
        assert told["downtimes"][0]["seconds"] is None
        assert told["downtimes"][0]["failed"] == len(told["attempts"]) == 2
        assert told["attempts"][0]["why"].startswith("The server answered")
        texts = [(one["text"][:15], one["count"]) for one in told["events"]]
        assert texts[:2] == [("Attempt failed:", 2), ("Dropped after 1", 1)]
        assert set(watch.histories[0].series.strip("2m")) == {"o", "d"}


async def test_a_storm_is_an_alarm_and_stays_bounded() -> None:
    async with ScriptedServer(closing(1012, after=0.5)) as server:
        session = resilient_ws.connect(
            server.url(), reconnect=Reconnect(wait=wait_fixed(0.1))
        )
        async with session, watching(session) as watch:
            await until(lambda: session.statistics().drops > KEPT + 5)
            await turns(watch, 2)
            history = watch.histories[0]
            texts = [alarm.text for alarm in history.alarms]
            assert "The connection is lost again and again" in texts
            chronicle = history.chronicle
            assert len(chronicle.entries) == len(chronicle.downtimes) == KEPT
            assert history.health == "bad"


async def test_a_full_outbox_is_an_alarm() -> None:
    async with ScriptedServer(rejecting(503)) as server:
        outbox = Outbox(max_messages=10, overflow="drop_oldest")
        session = session_to(server, outbox=outbox, wait_open=False)
        async with session, watching(session) as watch:
            await turns(watch, 2)
            for at in range(8):
                await session.send(f"reading {at}")
            await turns(watch, 1)
            assert "The outbox is nearly full" in str(watch.histories[0].alarms)
            for at in range(50):
                await session.send(f"reading {at}")
            await turns(watch, 2)
            assert "The outbox is full: 10 messages" in str(watch.histories[0].alarms)
            entries = watch.histories[0].chronicle.entries
            full = [one for one in entries if "outbox was full" in one.text]
            assert [one.count for one in full] == [48]


async def test_an_application_that_does_not_read_is_told() -> None:
    async with ScriptedServer(feeding(*["x"] * 50, then=hold)) as server:
        session = session_to(server, inbox=Inbox(max_messages=5))
        async with session, watching(session) as watch:
            await turns(watch, 3)
            row = shown(watch.history(1))
            assert row["inbox"] >= 5
            assert "reads too slowly" in str(row["alarms"])
            assert row["health"] == "warn"


async def test_a_session_that_ended_with_an_error_stays_an_alarm() -> None:
    async with ScriptedServer(rejecting(404)) as server:
        session = session_to(server, wait_open=False)
        async with session, watching(session) as watch:
            await until(lambda: session.state is State.CLOSED)
            await turns(watch, 2)
            row = shown(watch.history(1))
            assert (row["health"], row["state"]) == ("bad", "closed")
            assert row["alarms"][0][1].startswith("Ended: ")


async def test_a_session_that_was_closed_is_no_alarm(server: ScriptedServer) -> None:
    session = session_to(server)
    async with watching(session) as watch:
        await turns(watch, 2)
        assert shown(watch.history(1))["health"] == "idle"
        async with session:
            await turns(watch, 2)
        await turns(watch, 2)
        row = shown(watch.history(1))
        assert (row["health"], row["state"]) == ("idle", "closed")
        assert watch.histories[0].series.strip("2m")[-1] == "x"


async def test_the_holes_of_a_feed_are_counted(server: ScriptedServer) -> None:
    async with Channel(session_to(server)) as channel, watching(channel) as watch:
        listener = channel.listen()
        await turns(watch, 3)
        await server.peer.reset()
        await turns(watch, 15)
        row = shown(watch.history(1))
        assert row["gaps"] == 1
        assert "Items of a feed are missing for good" in str(row["alarms"])
        told = json.loads(views.session(watch.histories[0], "2m"))
        assert sum(told["samples"]["gaps"]) == 1
        assert told["feed"]["subscriptions"] == 1
        await listener.aclose()


# What is held, and how long.


async def test_a_session_that_nobody_holds_goes() -> None:
    sessions = [resilient_ws.connect("wss://example.com", name=n) for n in "ab"]
    async with watching(iter(sessions)) as watch:
        await turns(watch, 2)
        assert len(watch.histories) == 2
        del sessions[0]
        gc.collect()
        await turns(watch, 1)
        assert [shown(one)["name"] for one in watch.histories] == ["b"]
        assert watch.history(1) is None


async def test_a_callable_is_asked_in_each_turn() -> None:
    sessions = [resilient_ws.connect("wss://example.com", name=n) for n in "abc"]
    async with watching(lambda: sessions[:2]) as watch:
        await turns(watch, 1)
        assert [shown(one)["name"] for one in watch.histories] == ["a", "b"]
        first = watch.histories[1]
        sessions.pop(0)
        await turns(watch, 2)
        assert [shown(one)["name"] for one in watch.histories] == ["b", "c"]
        assert watch.histories[0] is first


async def test_a_callable_that_fails_leaves_the_last_sessions_and_a_note(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = resilient_ws.connect("wss://example.com", name="a")
    fails = False

    def sessions() -> Iterable[Session]:
        if fails:
            raise KeyError("s3cr3t")
        return [session]

    async with watching(sessions) as watch:
        await turns(watch, 2)
        fails = True
        await turns(watch, 3)
        assert len(watch.histories) == 1
        told = json.loads(views.turn(watch, 0, 0.0))
        assert told["notes"] == ["The callable for sessions raised KeyError"]
        fails = False
        await turns(watch, 2)
        assert watch.failure is None
    assert [one.levelno for one in caplog.records] == [logging.ERROR]


async def test_no_more_are_watched_than_a_page_can_show() -> None:
    session = resilient_ws.connect("wss://example.com", name="a")
    async with watching(lambda: [session] * (MOST + 5)) as watch:
        await turns(watch, 2)
        assert "5 more sessions are not shown" in views.turn(watch, 0, 0.0)


async def test_a_session_of_another_loop_is_left_out_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = resilient_ws.connect(
        "wss://127.0.0.1:9443", name="theirs", wait_open=False
    )
    entered, leave = threading.Event(), threading.Event()

    async def hold_it() -> None:
        async with session:
            entered.set()
            await asyncio.to_thread(leave.wait)

    thread = threading.Thread(target=asyncio.run, args=(hold_it(),))
    thread.start()
    entered.wait()
    try:
        async with watching(session) as watch:
            await turns(watch, 3)
            assert watch.histories == []
    finally:
        leave.set()
        thread.join()
    told = [one.message for one in caplog.records if "another loop" in one.message]
    (line,) = told
    assert line.startswith("the session theirs belongs to another loop")


async def test_after_the_watch_no_session_calls_it_any_more(
    server: ScriptedServer,
) -> None:
    async with session_to(server) as session:
        async with watching(session) as watch:
            await turns(watch, 2)
            assert session._callbacks
        assert not session._callbacks
        assert watch.histories == []


@pytest.mark.parametrize("wrong", [7, "wss://example.com", [7], None])
def test_what_cannot_be_watched_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="sessions must be a Session, a Channel"):
        WatchList(wrong)


async def test_no_secret_is_told() -> None:
    secret = "s3cr3t-s3cr3t-s3cr3t"
    async with ScriptedServer(rejecting(401, headers={"x-token": secret})) as server:
        session = resilient_ws.connect(
            server.url(f"/feed?key={secret}"),
            headers={"authorization": secret},
            subprotocols=[secret],
            wait_open=False,
            reconnect=Reconnect(wait=wait_fixed(10)),
        )

        @session.on(resilient_ws.AttemptFailed)
        def fail(_: resilient_ws.AttemptFailed) -> None:
            raise ValueError(secret)

        async with session, watching(session) as watch:
            await turns(watch, 30)
            everything = views.turn(watch, 0, 0.0) + views.session(
                watch.histories[0], "2m"
            )
    assert "HandlerFailed" not in everything
    assert "ValueError" in everything
    assert "401" in everything
    assert secret not in everything


async def test_a_blocked_loop_is_the_trouble_of_all_and_of_none(
    server: ScriptedServer,
) -> None:
    async with session_to(server) as session, watching(session) as watch:
        await turns(watch, 2)
        event = resilient_ws.LoopLagged(by=2.5)
        watch.histories[0].chronicle.note(event)
        await turns(watch, 1)
        told = json.loads(views.turn(watch, 0, 0.0))
        assert told["notes"] == ["The event loop was blocked for 2.5 s"]
        assert shown(watch.history(1))["health"] == "good"
        await turns(watch, 61)
        assert json.loads(views.turn(watch, 0, 0.0))["notes"] == []
