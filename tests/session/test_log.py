"""What stands in the log: the table, and how often."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import (
    ConnectionLost,
    DeliveryState,
    Event,
    Reconnect,
    State,
    StoreError,
    events,
)
from resilient_ws.supervisor.event_log import EventLog
from resilient_ws.supervisor.log import SessionLog
from resilient_ws.testing.scripts import closing, feeding, hold, rejecting
from tests.record import until


if TYPE_CHECKING:
    from resilient_ws import Session
    from resilient_ws.testing import Peer, ScriptedServer

LOST = ConnectionLost("The link was cut.", how="reset")
SECRET = "s3cret"


class Book:
    """A log of a session, with a clock that the test moves."""

    def __init__(self, caplog: pytest.LogCaptureFixture, *, epoch: int = 1) -> None:
        caplog.set_level(logging.DEBUG, logger="resilient_ws")
        self.caplog = caplog
        self.now = 0.0
        self.log = SessionLog("feed", clock=lambda: self.now)
        self.log.set_epoch(epoch)
        self._events = EventLog(self.log)

    def after(self, event: Event) -> list[tuple[str, str]]:
        """Return level and text of what an event has written."""
        self.caplog.clear()
        self._events.write(event)
        return [(r.levelname, r.getMessage()) for r in self.caplog.records]


@pytest.fixture
def book(caplog: pytest.LogCaptureFixture) -> Book:
    return Book(caplog)


def opened(resumed_after: float | None) -> Event:
    return events.ConnectionOpened(
        epoch=2, endpoint="ws://a/", extensions={}, resumed_after=resumed_after
    )


#: What happened, and what is written of it.
TABLE: list[tuple[Event, list[tuple[str, str]]]] = [
    (
        events.StateChanged(previous=State.CONNECTING, current=State.RESTORING),
        [("INFO", "feed: restoring")],
    ),
    (
        events.StateChanged(
            previous=State.OPEN, current=State.BACKOFF, because=LOST, retry_in=1.5
        ),
        [
            (
                "INFO",
                "feed: backoff, next attempt in 1.50 s because: The link was cut.",
            )
        ],
    ),
    (
        events.AttemptFailed(attempt=1, endpoint="ws://a/", because=LOST, elapsed=1),
        [("WARNING", "feed: attempt 1 failed: The link was cut.")],
    ),
    (
        events.AttemptFailed(
            attempt=2, endpoint="ws://a/", because=KeyError(SECRET), elapsed=1
        ),
        [("WARNING", "feed: attempt 2 failed: on_open raised KeyError")],
    ),
    (
        events.AttemptQueued(attempt=3, ahead=7),
        [("INFO", "feed: attempt 3 is waiting for the limiter, with 7 ahead")],
    ),
    (opened(None), []),
    (
        opened(12.34),
        [("INFO", "feed: back after 12.3 s and 0 failed attempts, connection 2")],
    ),
    (events.ConnectionStable(epoch=2), [("DEBUG", "feed: ConnectionStable, epoch 2")]),
    (
        events.ConnectionDropped(
            epoch=2, because=LOST, close=None, uptime=5, clean=False, unconfirmed=3
        ),
        [("WARNING", "feed: connection 2 was lost after 5.0 s: The link was cut.")],
    ),
    (
        events.ConnectionReplaced(epoch=2, reason="a\nb", close=None, uptime=5),
        [("INFO", "feed: connection 2 was replaced after 5.0 s: a\\nb")],
    ),
    (
        events.ConnectionTimedOut(kind="ping", after=40),
        [("DEBUG", "feed: ConnectionTimedOut, after 40")],
    ),
    (
        events.ServerTerminated(code=1001, reason=SECRET, meaning="going away"),
        [("DEBUG", "feed: ServerTerminated, code 1001")],
    ),
    (
        events.RetryScheduled(delay=2, attempt=3, because=LOST, source="wait"),
        [("DEBUG", "feed: RetryScheduled, delay 2, attempt 3")],
    ),
    (
        events.PongReceived(latency=0.25),
        [("DEBUG", "feed: PongReceived, latency 0.25, count 1")],
    ),
    (
        events.LoopLagged(by=3),
        [("INFO", "feed: the event loop was blocked for 3.0 s")],
    ),
    (
        events.OutboxOverflowed(overflow="drop_oldest", discarded=4),
        [
            (
                "WARNING",
                (
                    "feed: the outbox was full (overflow='drop_oldest'): "
                    "4 messages were discarded"
                ),
            )
        ],
    ),
    (
        events.InboxOverflowed(overflow="drop_newest", discarded=4),
        [
            (
                "WARNING",
                (
                    "feed: the inbox was full (overflow='drop_newest'): "
                    "4 messages were discarded"
                ),
            )
        ],
    ),
    (
        events.InboxOverflowed(overflow="pause", discarded=0),
        [
            (
                "WARNING",
                (
                    "feed: the inbox was full (overflow='pause'): "
                    "read faster, or set overflow='drop_oldest'"
                ),
            )
        ],
    ),
    (
        events.DeliveryFailed(state=DeliveryState.EXPIRED, message_id=SECRET),
        [("WARNING", "feed: the delivery of an accepted message ended as expired")],
    ),
    (
        events.DeliveryFailed(
            state=DeliveryState.FAILED, message_id=SECRET, maybe_delivered=True
        ),
        [
            (
                "WARNING",
                (
                    "feed: the delivery of an accepted message ended as failed; "
                    "the peer may have received it"
                ),
            )
        ],
    ),
    (
        events.ConfirmationOverdue(after=20, unconfirmed=3),
        [("WARNING", "feed: 3 messages are not confirmed, the oldest for 20.0 s")],
    ),
    (
        events.StoreFailed(because=StoreError("The disk is full.")),
        [("WARNING", "feed: the store of the outbox failed: The disk is full.")],
    ),
    (
        events.HandlerFailed(handler="f", event="Pong", because=KeyError(SECRET)),
        [("DEBUG", "feed: HandlerFailed")],
    ),
    (events.SessionClosed(), []),
    (
        events.SessionClosed(failure=LOST, dropped=2),
        [
            ("WARNING", "feed: 2 messages were never sent"),
            ("WARNING", "feed: the session ended: The link was cut."),
        ],
    ),
]


@pytest.mark.parametrize(("event", "written"), TABLE)
def test_each_line_of_the_table(
    book: Book, event: Event, written: list[tuple[str, str]]
) -> None:
    assert book.after(event) == written


def test_the_table_holds_every_event_but_messages() -> None:
    kinds = {
        value
        for value in vars(events).values()
        if isinstance(value, type) and issubclass(value, Event)
    }
    shown = {type(event) for event, _ in TABLE}
    assert shown == kinds - {Event, events.MessageReceived}
    assert set(EventLog.LINES) < shown


def test_every_record_carries_session_epoch_and_endpoint(book: Book) -> None:
    book.log.set_endpoint("ws://a/")
    for event, _ in TABLE:
        book.after(event)
        for record in book.caplog.records:
            about = vars(record)
            assert (about["session"], about["epoch"], about["endpoint"]) == (
                "feed",
                1,
                "ws://a/",
            )


OFTEN = [
    TABLE[place][0]
    for place, (event, lines) in enumerate(TABLE)
    if lines
    and lines[0][0] == "WARNING"
    and not isinstance(event, events.ConnectionDropped | events.SessionClosed)
]


@pytest.mark.parametrize("event", OFTEN)
def test_what_may_come_often_is_written_once_a_minute_with_a_count(
    book: Book, event: Event
) -> None:
    assert len(book.after(event)) == 1
    for second in range(1, 60):
        book.now = second
        assert book.after(event) == []
    book.now = 60
    ((_, text),) = book.after(event)
    assert text.endswith(" (59 more since the last such line)")
    book.now = 120
    ((_, text),) = book.after(event)
    assert "more like it" not in text


def test_before_the_first_open_each_failed_attempt_is_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = Book(caplog, epoch=0)
    failed = events.AttemptFailed(attempt=1, endpoint="a", because=LOST, elapsed=1)
    assert [len(book.after(failed)) for _ in range(20)] == [1] * 20


def test_after_an_open_connection_the_first_failed_attempt_is_news(book: Book) -> None:
    failed = events.AttemptFailed(attempt=1, endpoint="a", because=LOST, elapsed=1)
    assert [len(book.after(failed)) for _ in range(3)] == [1, 0, 0]
    ((_, text),) = book.after(opened(2))
    assert "3 failed attempts" in text
    assert len(book.after(failed)) == 1


def test_a_callable_that_fails_each_time_is_told_at_length_once(book: Book) -> None:
    for second in range(181):
        book.now = second
        book.log.say_raised("is_answer", KeyError(SECRET))
    records = book.caplog.records
    assert [r.exc_info is not None for r in records].count(True) == 1
    assert records[0].exc_info
    assert 3 <= len(records) <= 5
    assert {r.getMessage().split(" (")[0] for r in records} == {
        "feed: is_answer raised KeyError"
    }


def test_classes_made_without_end_take_no_memory(book: Book) -> None:
    for number in range(1000):
        book.log.say_raised("hook", type(f"Made{number}", (Exception,), {})())
    assert len(book.caplog.records) < 110


def test_debug_costs_nothing_where_it_is_off(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.caplog.set_level(logging.INFO, logger="resilient_ws")

    def asked(_: object) -> Any:
        raise AssertionError

    monkeypatch.setattr(attrs, "fields_dict", asked)
    assert book.after(events.PongReceived(latency=1)) == []


# --- sessions ------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == level]


async def test_an_hour_of_503_is_told_once_a_minute(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="resilient_ws")
    async with resilient_ws.connect(server.url(), name="feed") as session:
        await asyncio.sleep(20)
        server.play(rejecting(503))
        await server.peers[-1].reset()
        await asyncio.sleep(3600)
        server.play(hold)
        await until(lambda: session.state is State.OPEN)
    warnings = lines(caplog, logging.WARNING)
    assert "feed: connection 1 was lost after 20.0 s" in warnings[0]
    attempts = [text for text in warnings if "attempt" in text]
    # None is further from the one before than the longest wait allows.
    assert 30 <= len(attempts) <= 61
    assert len(warnings) == 1 + len(attempts)
    assert all("503" in text for text in attempts)
    kept = sum(int(n) for text in attempts for n in re.findall(r"\((\d+) more", text))
    failed = len(server.dials) - 2
    assert failed - 5 <= kept + len(attempts) <= failed
    (back,) = (t for t in lines(caplog, logging.INFO) if "back after" in t)
    assert f"{failed} failed attempts, connection 2" in back
    for record in caplog.records:
        about = vars(record)
        assert about["session"] == "feed"
        assert about["epoch"] in {0, 1, 2}
        assert about["endpoint"] in {"feed", f"{server.url()}/"}


async def test_what_is_dropped_at_the_end_is_told(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.play(rejecting(503))
    session = resilient_ws.connect(server.url(), wait_open=False)
    async with session:
        await session.send("1")
    assert ": 1 message was never sent" in caplog.text


# --- silence after a reconnect ------------------------------------------------------


REMEDY = "subscribe in connect(on_open=...)"


async def subscribed(peer: Peer) -> None:
    """Send ticks once the client has subscribed, and go away after a while."""
    await peer.accept()
    await peer.receive()
    for _ in range(5):
        await peer.send("tick")
        await asyncio.sleep(1)
    await peer.close(1012)


def silent(server: ScriptedServer, **options: Any) -> Session:
    policy = Reconnect(wait=wait_fixed(1))
    return resilient_ws.connect(server.url(), reconnect=policy, **options)


async def test_who_forgets_to_subscribe_again_is_told_once(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.play(subscribed, closing(1001, after=100), hold)
    async with silent(server) as session:
        await session.send("subscribe")
        await until(lambda: session.epoch == 2)
        await asyncio.sleep(59)
        assert REMEDY not in caplog.text
        await asyncio.sleep(2)
        assert caplog.text.count(REMEDY) == 1
        await until(lambda: session.epoch == 3)
        await asyncio.sleep(100)
    assert caplog.text.count(REMEDY) == 1
    (record,) = (r for r in caplog.records if REMEDY in r.getMessage())
    assert (record.levelname, vars(record)["epoch"]) == ("WARNING", 2)


async def greeting(peer: Peer) -> None:
    await peer.accept()
    await peer.send("welcome")
    await peer.ended()


@pytest.mark.parametrize(
    ("later", "after"),
    [
        pytest.param(greeting, 60, id="the server greets"),
        pytest.param(closing(1001, after=25), 3 * 26, id="it hangs up before a minute"),
        pytest.param(closing(1008, "subscribe first", after=2), 700, id="at once"),
    ],
)
async def test_neither_a_greeting_nor_short_lives_hide_a_lost_subscription(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, later: Any, after: float
) -> None:
    server.play(subscribed, later)
    # An end at once counts as a failed attempt, which 1008 would make a fatal one.
    policy = Reconnect(wait=wait_fixed(1), classify=lambda _: resilient_ws.RETRY)
    async with resilient_ws.connect(server.url(), reconnect=policy) as session:
        await session.send("subscribe")
        await until(lambda: session.epoch == 2)
        await asyncio.sleep(50)
        assert REMEDY not in caplog.text
        await asyncio.sleep(after - 50 + 11)
    assert caplog.text.count(REMEDY) == 1


async def ticking(peer: Peer) -> None:
    await peer.accept()
    await asyncio.sleep(30)
    await peer.send("tick")
    await peer.ended()


async def test_a_sensor_that_goes_on_sending_has_not_forgotten(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.play(subscribed, greeting)
    async with silent(server) as session:
        for reading in range(20):
            await session.send(f"{reading}")
            await asyncio.sleep(10)
        assert session.epoch == 2
    assert REMEDY not in caplog.text


async def cut(peer: Peer) -> None:
    await asyncio.sleep(5)
    await peer.reset()


async def on_open(connection: resilient_ws.Connection) -> None:
    await connection.send("subscribe")


@pytest.mark.parametrize(
    ("scripts", "options", "sends"),
    [
        ([subscribed, hold], {"on_open": on_open}, False),
        ([feeding("tick", then=cut), hold], {}, False),
        ([closing(1001, after=5), hold], {}, True),
        ([subscribed, ticking], {}, True),
        ([hold], {}, True),
    ],
    ids=[
        "it has on_open",
        "it never sent",
        "nothing ever came",
        "messages come",
        "no reconnect",
    ],
)
async def test_no_other_silence_is_told(
    server: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    scripts: list[Any],
    options: dict[str, Any],
    sends: bool,
) -> None:
    server.play(*scripts)
    async with silent(server, **options) as session:
        if sends:
            await session.send("subscribe")
        await asyncio.sleep(200)
        assert session.state is State.OPEN
    assert REMEDY not in caplog.text


async def test_a_full_inbox_is_not_taken_for_silence(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(peer: Peer) -> None:
        await peer.accept()
        await peer.receive()
        await peer.send(*"12345")
        await asyncio.sleep(1)
        await peer.reset()

    async def more(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(1)
        await peer.send("6")
        await peer.ended()

    server.play(full, more)
    inbox = resilient_ws.Inbox(max_messages=5)
    async with silent(server, inbox=inbox) as session:
        await session.send("subscribe")
        await until(lambda: session.epoch == 2)
        await asyncio.sleep(100)
        assert session.statistics().messages_received == 5
    assert REMEDY not in caplog.text


# --- what callables raise ------------------------------------------------------------


async def test_a_callback_that_fails_on_each_message_does_not_fill_the_log(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.play(feeding(*(str(number) for number in range(500))))
    session = resilient_ws.connect(server.url())
    seen: list[object] = []

    @session.on(resilient_ws.MessageReceived)
    def broken(event: resilient_ws.MessageReceived) -> None:
        seen.append(event.data)
        raise ValueError(f"no {event.data!r} here")

    @session.on(resilient_ws.ConnectionStable)
    def broken_too(_: resilient_ws.ConnectionStable) -> None:
        raise KeyError("price")

    async with session:
        await asyncio.sleep(20)
    assert len(seen) == 500
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    first, second, third = errors
    assert "broken for MessageReceived raised ValueError" in first.getMessage()
    assert first.exc_info is not None
    assert "broken for MessageReceived raised ValueError" in second.getMessage()
    assert second.exc_info is None
    assert "broken_too for ConnectionStable raised KeyError" in third.getMessage()
    assert third.exc_info is not None


# --- names ---------------------------------------------------------------------------


async def test_a_name_stands_in_the_log_and_in_repr(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="resilient_ws")
    async with resilient_ws.connect(server.url(), name="sensor 7 100%d") as session:
        assert f"'sensor 7 100%d' open, epoch 1, {server.url()}" in repr(session)
    assert lines(caplog, logging.INFO)[0] == "sensor 7 100%d: connecting"


async def test_events_name_their_session(server: ScriptedServer) -> None:
    server.play(feeding("1"))
    told: list[Event] = []
    async with (
        resilient_ws.connect(server.url(), name="kitchen") as kitchen,
        resilient_ws.connect(server.url()) as other,
    ):
        for session in (kitchen, other):
            session.on(Event, told.append)
            session.on(resilient_ws.MessageReceived, told.append)
        await asyncio.sleep(1)
    for kind in (resilient_ws.MessageReceived, resilient_ws.SessionClosed):
        names = {event.session for event in told if isinstance(event, kind)}
        assert names == {"kitchen", f"{server.url()}/"}
