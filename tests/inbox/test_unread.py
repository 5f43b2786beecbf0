"""What stands between the messages of an inbox, against a model of a few lines.

The model keeps all that ever came, in order, and reads it as a consumer should: holes
with no message between them are one, losses are passed in order, and whatever was
discarded is counted by the hole in its place.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from hypothesis import example, given, strategies as st

from resilient_ws import ConnectionDropped, ConnectionLost, Inbox, Interruption
from resilient_ws.inbox import InboxQueue
from resilient_ws.inbox.runs import MAX_DROPS
from resilient_ws.inbox.unread import MAX_PAGE, UnreadStream
from resilient_ws.protocol.message import Message


if TYPE_CHECKING:
    from resilient_ws.testing import VirtualLoop


STEP: Final = st.one_of(
    st.integers(1, 4).map(lambda count: ("arrive", count)),
    st.just(("lose", 0)),
    st.sampled_from(["message", "message or hole", "item", "run"]).map(
        lambda how: ("take", how)
    ),
)


@attrs.define
class Life:
    """An inbox, and the connections that fill it."""

    inbox: InboxQueue
    epoch: int = 1
    sent: int = 0

    def arrive(self, count: int) -> None:
        texts = [f"{self.epoch}:{self.sent + number}" for number in range(count)]
        self.sent += count
        for text in texts:
            self.inbox.deliver(text)
        self.inbox.arrived(len("".join(texts)))

    def lose(self, _: int) -> None:
        because = ConnectionLost("The connection was lost.", how="close")
        self.inbox.append_end(
            ConnectionDropped(
                epoch=self.epoch,
                because=because,
                close=None,
                uptime=1.0,
                clean=False,
                unconfirmed=0,
            )
        )
        self.epoch += 1
        self.inbox.interrupt(because, since=0, until=0, epoch=self.epoch)

    def take(self, how: str) -> list[object]:
        """What a consumer takes: nothing, one item, or a run."""
        if how == "run":
            return [*(self.inbox.unread.take_run() or [])]
        take: Any = {
            "message": self.inbox.unread.take_message,
            "message or hole": self.inbox.unread.take_message_or_hole,
            "item": self.inbox.unread.take_item,
        }[how]
        item = take()
        return [] if item is None else [item]


def life_of(loop: asyncio.AbstractEventLoop, most: int, overflow: Any) -> Life:
    inbox = InboxQueue(
        Inbox(max_messages=most, overflow=overflow),
        loop=loop,
        wall=lambda: 0.0,
        report=lambda _: None,
    )
    inbox.begin(1)
    return Life(inbox)


@given(
    steps=st.lists(STEP, max_size=40),
    overflow=st.sampled_from(["pause", "drop_oldest", "drop_newest"]),
    most=st.integers(1, 6),
)
@example(
    # One message read, more of the same connection behind it, then its end.
    steps=[
        ("arrive", 2),
        ("take", "message"),
        ("arrive", 2),
        ("lose", 0),
        ("take", "run"),
    ],
    overflow="pause",
    most=6,
)
def test_every_message_is_taken_or_counted_in_its_place(
    loop: VirtualLoop, steps: list[tuple[str, Any]], overflow: str, most: int
) -> None:
    life = life_of(loop, most, overflow)
    inbox = life.inbox
    inbox.unread.keep_drops()
    taken: list[str] = []
    for what, detail in steps:
        if what == "take":
            for item in life.take(detail):
                if isinstance(item, str):
                    taken.append(item)
                    # Known without any cost for the message itself.
                    assert item.startswith(f"{inbox.unread.message_epoch}:")
        else:
            getattr(life, what)(detail)
    numbers = [int(text.partition(":")[2]) for text in taken]
    numbers += [int(str(text).partition(":")[2]) for text in rest_of(life, "message")]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + inbox.discarded == life.sent
    assert (len(inbox), inbox.space()) == (0, Inbox().max_bytes)


def rest_of(life: Life, how: str) -> list[object]:
    items: list[object] = []
    while found := life.take(how):
        items += found
    return items


@given(
    steps=st.lists(STEP.filter(lambda step: step[0] != "take"), max_size=40),
    overflow=st.sampled_from(["pause", "drop_oldest", "drop_newest"]),
    most=st.integers(1, 6),
)
def test_all_losses_are_yielded_and_between_two_messages_is_one_hole(
    loop: VirtualLoop, steps: list[tuple[str, Any]], overflow: str, most: int
) -> None:
    lives = [life_of(loop, most, overflow) for _ in range(2)]
    for life in lives:
        life.inbox.unread.keep_drops()
        for what, detail in steps:
            getattr(life, what)(detail)
    items, plain = (
        rest_of(life, how)
        for life, how in zip(lives, ("item", "message or hole"), strict=True)
    )
    # The same as without losses, but for the losses.
    others = [item for item in items if not isinstance(item, ConnectionDropped)]
    assert list(map(without_cause, others)) == list(map(without_cause, plain))
    losses = [i.epoch for i in items if isinstance(i, ConnectionDropped)]
    assert losses == list(range(1, lives[0].epoch))
    holes = [i for i in items if isinstance(i, Interruption)]
    assert sum(hole.drops for hole in holes) == len(losses)
    assert sum(hole.discarded for hole in holes) == lives[0].inbox.discarded
    # Every loss stands behind the messages of its connection, before the hole that
    # counts it, and no two holes stand side by side.
    epoch, pending, before = 1, 0, None
    for item in items:
        if isinstance(item, str):
            assert pending == 0
            assert item.startswith(f"{epoch}:")
        elif isinstance(item, ConnectionDropped):
            assert not isinstance(before, Interruption) or before.drops == 0
            pending += 1
        elif isinstance(item, Interruption):
            assert not isinstance(before, Interruption)
            assert item.drops == pending
            epoch, pending = item.epoch, 0
        before = item


def without_cause(item: object) -> object:
    # Exceptions are alike, and not equal.
    return attrs.evolve(item, cause=None) if isinstance(item, Interruption) else item


@pytest.mark.parametrize(("asked", "kept"), [(False, 1), (True, MAX_DROPS)])
def test_unread_losses_are_bounded(loop: VirtualLoop, asked: bool, kept: int) -> None:
    life = life_of(loop, 1024, "pause")
    if asked:
        life.inbox.unread.keep_drops()
    for _ in range(1000):
        life.arrive(1)
        life.lose(0)
    losses = [
        item.epoch
        for item in rest_of(life, "item")
        if isinstance(item, ConnectionDropped)
    ]
    assert losses == list(range(1001 - kept, 1001))
    assert life.inbox.unread.drops_discarded == (1000 - kept if asked else 0)


class Turned(list[Message]):
    """Messages that count how many of them were turned round."""

    touched = 0

    def reverse(self) -> None:
        Turned.touched += len(self)
        super().reverse()


@pytest.mark.parametrize("waiting", [300, 30_000])
def test_what_is_discarded_turns_what_waits_round_once(
    monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    monkeypatch.setattr(Turned, "touched", 0)
    unread = UnreadStream(lambda: None)
    unread.begin(1)
    unread._arriving = Turned(["x"] * waiting)
    unread.deliver = unread._arriving.append
    unread.size += waiting
    discarded = 0
    for _ in range(waiting // 2):
        unread.deliver("y")
        unread.size += 1
        discarded += unread.discard_oldest(lambda: len(unread) > waiting, 0.0)
    assert (len(unread), discarded) == (waiting, waiting // 2)
    # With the one that was too many; those that came later are none of it.
    assert Turned.touched == waiting + 1


def test_all_that_is_there_is_the_stream_s_own_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Turned, "touched", 0)
    unread = UnreadStream(lambda: None)
    run = unread._arriving = Turned(["x"] * 1000)
    unread.size += 1000
    assert unread.take_run() is run
    assert Turned.touched == 0
    assert (len(unread), unread.size) == (0, 0)
    assert unread.take_run() is None


def test_a_long_run_is_read_in_pages_and_bytes_are_freed_with_each() -> None:
    count, freed = 3 * MAX_PAGE + 10, 0

    def on_freed() -> None:
        nonlocal freed
        freed += 1

    unread = UnreadStream(on_freed)
    for number in range(count):
        unread.deliver(str(number))
    unread.size += sum(len(str(number)) for number in range(count))
    for number in range(count):
        assert unread.take_message() == str(number)
        assert len(unread.page) < MAX_PAGE
        assert len(unread) == count - 1 - number
    assert unread.take_message() is None
    assert (unread.size, freed) == (0, 4)


def test_all_that_is_there_is_joined_to_the_rest_of_its_pages() -> None:
    unread = UnreadStream(lambda: None)
    numbers = [str(number) for number in range(2 * MAX_PAGE + 10)]
    for number in numbers:
        unread.deliver(number)
    unread.size += sum(map(len, numbers))
    assert unread.take_message() == "0"
    unread.deliver("behind")
    unread.size += 6
    assert unread.take_run() == [*numbers[1:], "behind"]
    assert (len(unread), unread.size) == (0, 0)
    # A page that was begun counts once.
    assert unread.begun == len(numbers) + 1
