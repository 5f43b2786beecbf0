"""The whole inbox against a model: one flat list of what was received.

Hypothesis draws what a wire delivers and how a consumer mixes the ways of taking. Pages
and limits are small, so that runs are split, and messages discarded, all the time.
After each step the counts of messages and bytes are compared with a naive recount.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from resilient_ws import (
    ConnectionDropped,
    ConnectionLost,
    Event,
    Inbox,
    InboxOverflowed,
    Interruption,
)
from resilient_ws.inbox import InboxQueue, queue, runs, unread
from resilient_ws.protocol.message import Message, size_of


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resilient_ws.testing import VirtualLoop


Item: TypeAlias = Message | Interruption | ConnectionDropped

MAX_PAGE: Final = 3
MAX_AT_ONCE: Final = 5
MAX_DROPS: Final = 2

FILLER: Final = st.sampled_from(["", "", "é", "x" * 9])
CHUNK: Final = st.lists(st.tuples(FILLER, st.booleans()), min_size=1, max_size=6)
HOW: Final = st.sampled_from(["pop", "message", "message or hole", "item", "run"])
#: What comes with each kind of step.
DETAILS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "arrive": CHUNK,
    "take": HOW,
    # What on_open of the new connection left for the inbox.
    "reconnect": st.one_of(st.just([]), CHUNK),
    "replace": st.one_of(st.just([]), CHUNK),
    "keep drops": st.none(),
}
KIND: Final = st.sampled_from([*DETAILS, *["arrive"] * 4, *["take"] * 8])
STEP: Final = KIND.flatmap(lambda kind: st.tuples(st.just(kind), DETAILS[kind]))
INBOX: Final = st.builds(
    Inbox,
    max_messages=st.sampled_from([1, 8, 30, 30]),
    max_bytes=st.sampled_from([1, 20, 1000, 1000]),
    overflow=st.sampled_from(["pause", "drop_oldest", "drop_newest"]),
)


@pytest.fixture(scope="module", autouse=True)
def small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unread, "MAX_PAGE", MAX_PAGE)
        patch.setattr(queue, "MAX_AT_ONCE", MAX_AT_ONCE)
        patch.setattr(runs, "MAX_DROPS", MAX_DROPS)
        yield


def is_message(item: Item) -> bool:
    return isinstance(item, str | bytes)


def total(items: list[Any]) -> int:
    return sum(size_of(item) for item in items if is_message(item))


@attrs.define
class Model:
    """Everything that waits, in order, and what discarding and reading do to it."""

    policy: Inbox
    items: list[Any] = attrs.field(factory=list)
    epoch: int = 1
    message_epoch: int = 1
    max_drops: int = 1
    drops_discarded: int = 0
    discarded: int = 0
    #: Bytes that were popped from a page that is not read to its end.
    popped: int = 0

    @property
    def messages(self) -> list[Message]:
        return [item for item in self.items if is_message(item)]

    def over(self) -> bool:
        most, size = self.policy.max_messages, self.policy.max_bytes
        return len(self.messages) > most or total(self.items) > size

    # What arrives.

    def arrive(self, messages: list[Message]) -> None:
        self.items += messages
        if self.policy.overflow == "pause":
            return
        # Bytes of a page count until it is read, or until room is needed.
        if self.over() or total(self.items) + self.popped > self.policy.max_bytes:
            self.popped = 0
        count = 0
        passed: list[Any] = []
        while self.over():
            count += 1
            if self.policy.overflow == "drop_newest":
                self.items.pop()
                continue
            while not is_message(item := self.items.pop(0)):
                passed.append(item)
        if count:
            self.discarded += count
            self._mark(count, passed)

    def _mark(self, count: int, passed: list[Any]) -> None:
        epoch = self.epoch
        if self.policy.overflow == "drop_oldest":
            gaps = [*passed, *self.items]
            later = [item for item in gaps if isinstance(item, Interruption)]
            epoch = later[0].epoch - later[0].drops if later else epoch
        hole = Interruption(
            cause=None, since=0.0, until=0.0, epoch=epoch, discarded=count
        )
        if self.policy.overflow == "drop_newest":
            self.append_hole(hole)
            return
        while self.items and not is_message(self.items[0]):
            passed.append(self.items.pop(0))
        self.items[:0] = merged([hole, *passed])

    def append_hole(self, hole: Interruption) -> None:
        self.epoch = hole.epoch
        last: list[Any] = [hole]
        while self.items and not is_message(self.items[-1]):
            last.insert(0, self.items.pop())
        self.items += merged(last)

    def append_drop(self, dropped: ConnectionDropped) -> None:
        self.items.append(dropped)
        drops = [item for item in self.items if isinstance(item, ConnectionDropped)]
        if len(drops) > self.max_drops:
            self.items.remove(drops[0])
            self.drops_discarded += self.max_drops > 1

    # What a consumer takes.

    def take(self, how: str) -> list[Any]:
        if how == "run":
            self._pass(lambda item: not is_message(item))
            run: list[Any] = []
            while self.items and is_message(self.items[0]):
                run.append(self.items.pop(0))
            return run
        if how == "message":
            self._pass(lambda item: not is_message(item))
        elif how == "message or hole":
            self._pass(lambda item: isinstance(item, ConnectionDropped))
        return self._pass(lambda _: True, most=1)

    def _pass(
        self, unwanted: Callable[[Item], bool], most: int = sys.maxsize
    ) -> list[Any]:
        passed: list[Any] = []
        while self.items and len(passed) < most and unwanted(self.items[0]):
            passed.append(item := self.items.pop(0))
            if isinstance(item, Interruption):
                self.message_epoch = item.epoch
        return passed


def merged(gap: list[Any]) -> list[Any]:
    """Drops in their order, then one hole for all holes between two messages."""
    drops = [item for item in gap if isinstance(item, ConnectionDropped)]
    hole, *later = (item for item in gap if isinstance(item, Interruption))
    for other in later:
        hole = hole.merged(other)
    return [*drops, hole]


class Wire:
    """Delivers as much as there is room for; the rest waits until there is more."""

    def __init__(self, inbox: InboxQueue, model: Model) -> None:
        self.inbox = inbox
        self.model = model
        self.unparsed: list[Message] = []
        self.paused = False
        self.ended = False
        self.pauses = 0

    def receive(self, messages: list[Message]) -> None:
        self.unparsed += messages
        if not self.paused:
            self._deliver()

    def end(self) -> None:
        """Deliver all that was received, room or not, as the stream is over."""
        self.ended = True
        self._hand_over(len(self.unparsed))

    def _deliver(self) -> None:
        while self.unparsed:
            room = self.inbox.room()
            if room <= 0:
                self.pauses += not self.paused
                self.paused = True
                self.inbox.reading_paused(self._on_room)
                return
            assert self.inbox.space() > 0
            self._hand_over(room)

    def _hand_over(self, most: int) -> None:
        if chunk := self.unparsed[:most]:
            del self.unparsed[:most]
            self.model.arrive(chunk)
            for message in chunk:
                self.inbox.deliver(message)
            assert self.inbox.arrived(total(chunk)) == (
                self.model.policy.overflow == "pause"
                and self.inbox.unread.size >= self.model.policy.max_bytes
            )

    def _on_room(self) -> None:
        assert not self.ended, "called for a connection that ended"
        assert self.paused
        assert self.inbox.room() > 0
        self._deliver()
        if not self.unparsed and self.inbox.room() > 0:
            self.paused = False
            self.inbox.reading_resumed()


class Life:
    """An inbox and its model, which live through the same steps."""

    def __init__(self, policy: Inbox, loop: asyncio.AbstractEventLoop) -> None:
        self.policy = policy
        self.events: list[Event] = []
        self.inbox = InboxQueue(
            policy, loop=loop, wall=lambda: 0.0, report=self.events.append
        )
        self.inbox.begin(1)
        self.model = Model(policy)
        self.wires = [Wire(self.inbox, self.model)]
        self.sent = 0

    def messages(self, chunk: list[tuple[str, bool]]) -> list[Message]:
        made: list[Message] = []
        for filler, binary in chunk:
            text = f"{self.sent}{filler}"
            made.append(text.encode() if binary else text)
            self.sent += 1
        return made

    def step(self, what: str, detail: Any) -> None:
        if what == "arrive":
            self.wires[-1].receive(self.messages(detail))
        elif what == "take":
            self.take(detail)
        elif what == "keep drops":
            self.inbox.unread.keep_drops()
            self.model.max_drops = MAX_DROPS
        else:
            self.end_connection(lost=what == "reconnect")
            self.open_connection(self.messages(detail))
        self.check()

    def end_connection(self, *, lost: bool) -> None:
        self.wires[-1].end()
        if lost:
            because = ConnectionLost("The connection was lost.", how="close")
            dropped = ConnectionDropped(
                epoch=len(self.wires),
                because=because,
                close=None,
                uptime=1.0,
                clean=False,
                unconfirmed=0,
            )
            self.model.append_drop(dropped)
            self.inbox.append_end(dropped)

    def open_connection(self, restored: list[Message]) -> None:
        epoch = len(self.wires) + 1
        self.model.append_hole(
            Interruption(cause=None, since=1.0, until=2.0, epoch=epoch, drops=1)
        )
        self.inbox.interrupt(None, since=1.0, until=2.0, epoch=epoch)
        self.wires.append(Wire(self.inbox, self.model))
        if restored:
            self.model.arrive(restored)
            self.inbox.extend(restored, total(restored))

    def take(self, how: str) -> None:
        page = self.inbox.unread.page
        if how == "pop":
            # What receive() and iteration do while there are several.
            if len(page) < 2:
                return
            expected = self.model.take("message")
            self.model.popped += total(expected)
            taken = [page.pop()]
        else:
            expected = self.model.take(how)
            before, self.model.popped = self.model.popped, 0
            taken = self.taken(how)
            if self.inbox.unread.page:
                self.model.popped = before + total(expected)
        assert taken == expected
        assert len(self.inbox.unread.page) <= MAX_PAGE

    def taken(self, how: str) -> list[Any]:
        if how == "run":
            return self.inbox.unread.take_run() or []
        take: Any = {
            "message": self.inbox.unread.take_message,
            "message or hole": self.inbox.unread.take_message_or_hole,
            "item": self.inbox.unread.take_item,
        }[how]
        item = take()
        return [] if item is None else [item]

    def check(self) -> None:
        inbox, model = self.inbox, self.model
        size = total(model.items) + model.popped
        waiting = len(model.messages)
        assert inbox.unread.size == size
        assert len(inbox) == waiting
        assert inbox.unread.message_epoch == model.message_epoch
        assert inbox.unread.drops_discarded == model.drops_discarded
        if self.policy.overflow == "pause":
            room = 0 if size >= self.policy.max_bytes else self.policy.max_messages
            assert inbox.room() == (room - waiting if room else 0)
            assert inbox.space() == self.policy.max_bytes - size
        else:
            assert not model.over()
            assert inbox.room() == sys.maxsize - waiting
            assert inbox.space() == max(self.policy.max_bytes - size, 1)
        wire = self.wires[-1]
        assert wire.paused or not wire.unparsed
        # Otherwise nobody would ever make room.
        assert waiting or not wire.paused
        self.check_reports()

    def check_reports(self) -> None:
        """Each pause and each discarded message was reported once."""
        reports = [e for e in self.events if isinstance(e, InboxOverflowed)]
        assert self.inbox.discarded == self.model.discarded
        assert sum(report.discarded for report in reports) == self.model.discarded
        pauses = [report for report in reports if not report.discarded]
        assert len(pauses) == sum(wire.pauses for wire in self.wires)


@settings(max_examples=150, deadline=None)
@given(policy=INBOX, steps=st.lists(STEP, min_size=20, max_size=80), last=HOW)
def test_whatever_is_mixed_nothing_is_lost_and_every_byte_is_counted(
    loop: VirtualLoop, policy: Inbox, steps: list[tuple[str, Any]], last: str
) -> None:
    life = Life(policy, loop)
    for what, detail in steps:
        life.step(what, detail)
    while life.model.items:
        life.step("take", "item" if last == "pop" else last)
    assert (len(life.inbox), life.inbox.unread.size) == (0, 0)
    assert not life.wires[-1].unparsed
