"""Both stores against a model of a few lines, step by step, in every order.

The steps: send, confirm, drop, reconnect, expire, overflow, close, crash.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import attrs
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from resilient_ws import (
    Close,
    ConnectionLost,
    DeliveryFailed,
    DeliveryState,
    Outbox,
    SQLiteStore,
)
from resilient_ws.outbox.queue import OutboxQueue
from resilient_ws.testing import VirtualLoop
from tests.outbox.conftest import EPOCH
from tests.outbox.sending import Link, send
from tests.outbox.stores import STORES, crashed, new_store, pending


if TYPE_CHECKING:
    from collections.abc import Coroutine

    from resilient_ws import Delivery, Event

ROOM, WINDOW, TIMES, TTL = 4, 3, 2, 100.0

TOO_BIG = Close(code=1009, reason="", initiator="peer", clean=True)
#: How a connection may end: by us, without a word, or with a code that accuses.
ENDS = {
    "ours": None,
    "reset": ConnectionLost("reset", how="reset"),
    "named": ConnectionLost("too big", how="close", close=TOO_BIG),
}


@attrs.define(eq=False)
class Message:
    """What the model knows of a message."""

    name: str
    state: str = "QUEUED"
    times: int = 0
    accused: int = 0
    expires_at: float | None = None


class Model:
    """What an outbox is."""

    def __init__(self, *, resend: bool) -> None:
        self.resend = resend
        # Suspicion: whether it goes slowly, how far, and what it knows of the peer.
        self.slow, self.window = False, WINDOW
        self.reads, self.confirms, self.since = False, False, 0
        self.waiting: list[Message] = []
        self.flying: list[Message] = []
        self.wire: list[str] = []
        self.open = False

    @property
    def full(self) -> bool:
        held = self.flying if self.resend else []
        return len(self.waiting) + len(held) >= ROOM

    def send(self, message: Message) -> None:
        if self.full:
            self.waiting.pop(0).state = "DROPPED"
        self.waiting.append(message)

    def connect(self) -> None:
        self.open, self.window = True, 0 if self.slow else WINDOW
        self.reads, self.confirms, self.since = False, False, 0

    def pong(self) -> None:
        self.reads, self.window = True, max(self.window, 1)

    def write(self) -> None:
        while self.open and self.waiting and len(self.flying) < self.window:
            message = self.waiting.pop(0)
            self.since += 1
            message.state, message.times = "WRITTEN", message.times + 1
            self.flying.append(message)
            self.wire.append(message.name)

    def confirm(self, count: int) -> None:
        for message in self.flying[:count]:
            message.state = "CONFIRMED"
        del self.flying[:count]
        self.pong()
        self.confirms, self.since = True, len(self.flying)
        if self.slow:
            self.window = min(WINDOW, self.window + count)
            self.slow = self.window < WINDOW

    def suspect(self, *, named: bool) -> None:
        if self.flying and (named or self.slow or not self.confirms):
            self.slow = True
            if len(self.flying) == self.since == 1 and (named or self.reads):
                self.flying[0].accused += 1

    def drop(self) -> None:
        again = [m for m in self.flying if self.resend and m.accused < TIMES]
        for message in self.flying:
            message.state = "QUEUED" if message in again else "FAILED"
        self.open, self.flying, self.waiting = False, [], again + self.waiting

    def expire(self, now: float) -> None:
        for message in [m for m in self.waiting if (m.expires_at or now + 1) <= now]:
            message.state = "EXPIRED"
            self.waiting.remove(message)


class OutboxMachine(RuleBasedStateMachine):
    """The outbox and the model, side by side."""

    kind = "memory"

    @initialize(resend=st.booleans())
    def begin(self, resend: bool) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        self.clock = mock.patch.object(time, "time", self.wall)
        self.clock.start()
        self.store = new_store(self.kind, self.folder, synchronous="NORMAL")
        self.model = Model(resend=resend)
        self.messages: dict[str, Message] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.wire: list[str] = []
        self.link: Link | None = None
        self.former: Link | None = None
        self.crashes = self.epochs = 0
        self.restart()

    def wall(self) -> float:
        return EPOCH + self.loop.time()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def restart(self) -> None:
        self.events: list[Event] = []
        self.queue = OutboxQueue(
            Outbox(
                confirm="pong",
                resend=self.model.resend,
                store=self.store,
                max_messages=ROOM,
                max_in_flight=WINDOW,
                max_transmissions=TIMES,
                overflow="drop_oldest",
                # No head is written because a pong is late.
                confirm_timeout=1e6,
            ),
            loop=self.loop,
            report=self.events.append,
            check_waiting=lambda: None,
        )
        self.run(self.queue.open())
        self.settle()
        for delivery in self.queue.outstanding():
            assert delivery.message_id is not None
            self.deliveries[delivery.message_id] = delivery

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        self.run(asyncio.sleep(0.5))
        if self.link is not None:
            self.wire += self.link.sent
            self.link.sent.clear()

    @precondition(lambda self: not (self.model.open and self.model.full))
    @rule(mortal=st.booleans())
    def send(self, mortal: bool) -> None:
        name = str(len(self.messages))
        now = self.loop.time()
        message = Message(name, expires_at=now + TTL if mortal else None)
        self.messages[name] = message
        self.model.send(message)
        self.deliveries[name] = self.run(
            send(self.queue, name, ttl=TTL if mortal else None, message_id=name)
        )

    @precondition(lambda self: self.model.flying)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, len(self.model.flying)))
        assert self.link is not None
        done = self.link.messages_written - len(self.model.flying) + count
        self.model.confirm(count)
        self.queue.note_pong(self.link, done)

    @precondition(lambda self: self.former is not None)
    @rule()
    def stale_pong(self) -> None:
        """Too late, and from another connection: it confirms nothing."""
        assert self.former is not None
        self.queue.note_pong(self.former, 1000)

    @precondition(lambda self: self.model.open)
    @rule()
    def pong(self) -> None:
        """One that passed nothing: the peer reads."""
        assert self.link is not None
        self.model.pong()
        self.queue.note_pong(self.link, 0)

    @precondition(lambda self: self.model.open)
    @rule(how=st.sampled_from(sorted(ENDS)))
    def drop(self, how: str) -> None:
        if how != "ours":
            self.model.suspect(named=how == "named")
        self.model.drop()
        self.former = self.link
        self.queue.detach(self.link, ENDS[how])
        self.link = None

    @precondition(lambda self: not self.model.open)
    @rule()
    def reconnect(self) -> None:
        self.model.connect()
        self.link = Link()
        self.epochs += 1
        self.queue.attach(self.link, lambda: None, epoch=self.epochs)

    @rule()
    def expire(self) -> None:
        self.run(asyncio.sleep(TTL + 1))
        self.model.expire(self.loop.time())

    @rule()
    def close(self) -> None:
        """Close, and go on with a new session on the same store."""
        self.model.drop()
        self.link = None
        self.run(self.queue.close())
        self.lives_on(crashed=False)
        self.restart()

    @rule()
    def crash(self) -> None:
        """Be killed at this moment: what a copy of the file holds is all there is."""
        self.crashes += 1
        before = self.store
        if isinstance(before, SQLiteStore):
            self.store = crashed(before.path, self.folder / f"{self.crashes}.db")
        for message in self.model.flying:
            message.state = "QUEUED"
        self.model.waiting = self.model.flying + self.model.waiting
        self.model.flying, self.model.open, self.link = [], False, None
        self.lives_on(crashed=True)
        self.run(self.queue.close())
        # What was on its way, and may not be sent again, the next session tells of.
        told = [m for m in self.model.waiting if m.times and not self.model.resend]
        for message in told:
            message.state = "FAILED"
            self.model.waiting.remove(message)
        self.restart()
        # What expired while it was on its way expires now, as the states will show.
        failed = [
            event.message_id
            for event in self.events
            if isinstance(event, DeliveryFailed) and event.state is DeliveryState.FAILED
        ]
        assert failed == [m.name for m in told]

    def lives_on(self, *, crashed: bool) -> None:
        """What waits goes on with the store; the rest of this life is not compared."""
        if not isinstance(self.store, SQLiteStore):
            for message in self.model.waiting:
                message.state = "DROPPED"
            self.model.waiting = []
        # A new session knows what was written, and not what became of it.
        self.model.slow = any(message.times for message in self.model.waiting)
        if not crashed:
            self.compare_states(self.model.waiting)
        self.deliveries.clear()

    def compare_states(self, stored: list[Message]) -> None:
        failed = {
            event.message_id: event.state
            for event in self.events
            if isinstance(event, DeliveryFailed)
        }
        for name, delivery in self.deliveries.items():
            message = self.messages[name]
            if message in stored:
                assert delivery.stored
                continue
            assert delivery.state.name == message.state, name
            assert delivery.transmissions == message.times
            lost = message.state in {"DROPPED", "EXPIRED", "FAILED"}
            assert delivery.maybe_delivered is (lost and message.times > 0)
            assert (name in failed) is lost

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "queue"):
            return
        self.model.expire(self.loop.time())
        self.model.write()
        self.settle()
        assert self.wire == self.model.wire
        names = [delivery.message_id for delivery in self.queue.outstanding()]
        assert names == [m.name for m in self.model.flying + self.model.waiting]
        assert len(self.queue) == len(self.model.waiting)
        self.compare_states([])
        if isinstance(self.store, SQLiteStore):
            expected = [m.name for m in self.model.flying + self.model.waiting]
            assert [m.message_id for m in pending(self.store)] == expected

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.run(self.queue.close())
            self.loop.close()
            asyncio.set_event_loop(None)
            self.clock.stop()
            shutil.rmtree(self.folder)


@pytest.mark.parametrize("store_kind", STORES)
def test_the_outbox_is_what_the_model_says(store_kind: str) -> None:
    class Machine(OutboxMachine):
        kind = store_kind

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=100 if store_kind == "memory" else 30,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_states_of_the_model_are_those_of_a_delivery() -> None:
    assert {state.name for state in DeliveryState} == {
        "QUEUED",
        "WRITTEN",
        "CONFIRMED",
        "EXPIRED",
        "DROPPED",
        "FAILED",
    }
