"""Events and messages are told to callbacks in one order: that of what happened.

Hypothesis draws what a server sends in each connection and how it ends it, how slow
the callbacks are and what the inbox does when it is full; it is all played in virtual
time, and what the callbacks were told is compared with the server's script.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from hypothesis import HealthCheck, given, note, settings, strategies as st
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import (
    Connection,
    ConnectionDropped,
    ConnectionOpened,
    Event,
    HandlerFailed,
    Inbox,
    InboxOverflowed,
    Liveness,
    MessageReceived,
    Reconnect,
    SessionClosed,
)
from resilient_ws.testing import ScriptedServer, VirtualLoop, assert_no_leaks
from resilient_ws.testing.frames import message
from resilient_ws.testing.scripts import SOON
from tests.record import until


if TYPE_CHECKING:
    from collections.abc import Iterator

    from resilient_ws import Session
    from resilient_ws.testing import Peer


@attrs.frozen(kw_only=True)
class Life:
    """One connection: messages behind the 101, others after a while each, the end."""

    tail: int
    bursts: list[tuple[float, int]]
    lingers: float
    end: str


@attrs.frozen(kw_only=True)
class Listener:
    """How long callbacks take; ``None`` is a plain function. Some of them fail."""

    message: float | None
    event: float | None
    fails_on: int


SHORT: Final = st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.5])
COUNT: Final = st.sampled_from([0, 1, 2, 3, 8])
LIFE: Final = st.builds(
    Life,
    tail=COUNT,
    bursts=st.lists(st.tuples(SHORT, COUNT), max_size=3),
    lingers=st.sampled_from([0.0, SOON]),
    end=st.sampled_from(["close", "drop"]),
)
PACE: Final = st.sampled_from([None, 0.0, 0.001, 0.02, 0.3])
LISTENER: Final = st.builds(
    Listener, message=PACE, event=PACE, fails_on=st.sampled_from([0, 1, 3])
)
INBOX: Final = st.builds(
    Inbox,
    max_messages=st.sampled_from([1, 2, 5, 1024]),
    overflow=st.sampled_from(["pause", "drop_oldest", "drop_newest"]),
)


class Server:
    """Plays the lives, and then a connection that stays; notes what it sent."""

    def __init__(self, lives: list[Life], *, least: float) -> None:
        self.lives = lives
        self.least = least
        self.sent: dict[int, list[str]] = {}

    def next(self, epoch: int, count: int) -> list[str]:
        sent = self.sent.setdefault(epoch, [])
        new = [f"{epoch}:{len(sent) + number}" for number in range(count)]
        sent.extend(new)
        return new

    async def __call__(self, peer: Peer) -> None:
        epoch = peer.number
        if epoch > len(self.lives):
            await peer.accept(tail=message(*self.next(epoch, 1)))
            await peer.ended()
            return
        life = self.lives[epoch - 1]
        tail = self.next(epoch, life.tail)
        await peer.accept(tail=b"".join(map(message, tail)))
        for pause, count in life.bursts:
            await asyncio.sleep(pause)
            await peer.send(*self.next(epoch, count))
        await asyncio.sleep(max(life.lingers, self.least))
        await (peer.close(1001) if life.end == "close" else peer.drop())


class Told:
    """What callbacks were told, in order: each before anything else of it runs."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.events: list[Event] = []

    @property
    def messages(self) -> list[MessageReceived]:
        return [e for e in self.events if isinstance(e, MessageReceived)]

    def opened(self) -> int:
        return len([e for e in self.events if isinstance(e, ConnectionOpened)])

    def listen(self, session: Session) -> None:
        for kind in (MessageReceived, Event):
            is_message = kind is MessageReceived
            pace = self.listener.message if is_message else self.listener.event
            session.on(kind, self.plain if pace is None else self.slow(pace))

    def plain(self, event: Event) -> None:
        self.events.append(event)
        fails_on = self.listener.fails_on if isinstance(event, MessageReceived) else 0
        if fails_on and len(self.messages) % fails_on == 0:
            raise ZeroDivisionError

    def slow(self, pace: float) -> Any:
        async def callback(event: Event) -> None:
            self.plain(event)
            await asyncio.sleep(pace)

        return callback


@pytest.fixture(scope="module", autouse=True)
def silence() -> Iterator[None]:
    """Thousands of callbacks raise here, and each is logged with its traceback."""
    logger = logging.getLogger("resilient_ws")
    logger.disabled = True
    yield
    logger.disabled = False


def play(
    lives: list[Life], listener: Listener, inbox: Inbox, *, restores: bool
) -> tuple[Server, Told, int]:
    """Return what the server sent, what was told, and how much was discarded."""
    script = Server(lives, least=SOON if restores else 0.0)
    told = Told(listener)

    async def on_open(_: Connection) -> None:
        await asyncio.sleep(SOON / 2)

    async def both() -> int:
        async with assert_no_leaks(turns=10), ScriptedServer(script) as server:
            session = resilient_ws.connect(
                server.url(),
                reconnect=Reconnect(wait=wait_fixed(0)),
                liveness=Liveness(ping_interval=0.3),
                inbox=inbox,
                on_open=on_open if restores else None,
            )
            told.listen(session)
            async with session:
                await until(lambda: session.epoch > len(lives))

                def taken() -> bool:
                    sent = sum(map(len, script.sent.values()))
                    discarded = session.statistics().inbox_discarded
                    return len(told.messages) + discarded == sent

                await until(taken, within=120)
                await until(lambda: told.opened() > len(lives), within=120)
                # Slow callbacks have all the time they need for the rest.
                await asyncio.sleep(30)
                return session.statistics().inbox_discarded

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return script, told, runner.run(both())


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    lives=st.lists(LIFE, min_size=1, max_size=4),
    listener=LISTENER,
    inbox=INBOX,
    restores=st.booleans(),
)
def test_what_is_told_is_in_the_order_of_what_happened(
    lives: list[Life], listener: Listener, inbox: Inbox, restores: bool
) -> None:
    script, told, discarded = play(lives, listener, inbox, restores=restores)
    for event in told.events:
        note(repr(event))
    judge(script, told, discarded)


def judge(script: Server, told: Told, discarded: int) -> None:
    # Nothing twice, nothing out of order, nothing missing that is not counted.
    texts = [event.data for event in told.messages]
    sent = [text for epoch in sorted(script.sent) for text in script.sent[epoch]]
    places = [sent.index(str(text)) for text in texts]
    assert places == sorted(set(places))
    assert len(sent) - len(texts) == discarded
    overflows = [e for e in told.events if isinstance(e, InboxOverflowed)]
    assert sum(event.discarded for event in overflows) == discarded
    # A connection opens, brings its messages, and is dropped; then the next.
    outline: list[str] = []
    for event in told.events:
        if isinstance(event, MessageReceived):
            assert str(event.data).startswith(f"{event.epoch}:")
            outline.append(f"{event.epoch} message")
        elif isinstance(event, ConnectionOpened | ConnectionDropped):
            outline.append(f"{event.epoch} {type(event).__name__}")
    epochs = len(script.lives) + 1
    expected = []
    for epoch in range(1, epochs + 1):
        expected.append(f"{epoch} ConnectionOpened")
        if any(event.epoch == epoch for event in told.messages):
            expected.append(f"{epoch} message")
        if epoch < epochs:
            expected.append(f"{epoch} ConnectionDropped")
    assert [line for line, _ in groupby(outline)] == expected
    # A failure is told before the next message, the end last.
    messages = 0
    for event in told.events:
        messages += isinstance(event, MessageReceived)
        if isinstance(event, HandlerFailed):
            assert messages % told.listener.fails_on == 0
    assert isinstance(told.events[-1], SessionClosed)
