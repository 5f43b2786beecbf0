"""Who may dial next: never above the rate, in order, and nobody is forgotten."""

from __future__ import annotations

import itertools
from typing import Any, Final

import attrs
import pytest
from hypothesis import given, strategies as st

from resilient_ws import ConnectLimiter
from resilient_ws.policy.dial_queue import DialQueue


#: What befalls one attempt: seconds until it joins after the one before it, seconds of
#: patience in line (None for endless), and the lengths of its dials, one for each hop;
#: no dial at all when a callable failed.
ATTEMPTS = st.tuples(
    st.sampled_from([0.0, 0.0, 0.1, 1.0]) | st.floats(0.0, 3.0),
    st.none() | st.floats(0.0, 5.0),
    st.lists(st.sampled_from([0.0, 0.01]) | st.floats(0.0, 4.0), max_size=3),
)

LONG: Final = 1e6


@attrs.define
class World:
    """Attempts that go through a queue, in simulated time."""

    queue: DialQueue[int]
    now: float = 0.0
    #: What is to happen, and when, in the order in which it was planned.
    plans: list[tuple[float, int, str, int]] = attrs.Factory(list)
    hops: dict[int, list[float]] = attrs.Factory(dict)
    #: Every dial: who, when it began, and when it ended.
    dials: list[tuple[int, float, float]] = attrs.Factory(list)
    joined: list[int] = attrs.Factory(list)
    left_in_line: set[int] = attrs.Factory(set)
    admitted: list[int] = attrs.Factory(list)
    most: int = 0
    _order: itertools.count[int] = attrs.Factory(itertools.count)

    def plan(self, when: float, what: str, who: int) -> None:
        self.plans.append((when, next(self._order), what, who))

    def run(self) -> None:
        """Let happen what is planned, until nothing is."""
        while True:
            due = self.queue.due()
            if due is not None:
                assert due > self.now, "it has just been asked"
            planned = min(self.plans, default=None)
            if planned is not None and (due is None or planned[0] <= due):
                self.plans.remove(planned)
                self.now = max(self.now, planned[0])
                getattr(self, planned[2])(planned[3])
                self.admit()
            elif due is not None:
                self.now = due
                assert self.admit() > 0, "nobody was due"
            else:
                return

    def admit(self) -> int:
        count = 0
        while (who := self.queue.admit(self.now)) is not None:
            count += 1
            if who not in self.admitted:
                self.admitted.append(who)
            self.dial(who)
        self.most = max(self.most, self.queue.under_way)
        return count

    def dial(self, who: int) -> None:
        if not self.hops[who]:
            self.queue.leave(who, self.now, dialled=False)
            return
        end = self.now + self.hops[who].pop(0)
        self.dials.append((who, self.now, end))
        self.plan(end, "end" if not self.hops[who] else "redirect", who)

    def join(self, who: int) -> None:
        self.joined.append(who)
        self.queue.join(who)

    def tire(self, who: int) -> None:
        if who not in self.admitted:
            self.left_in_line.add(who)
            self.queue.leave(who, self.now, dialled=False)

    def redirect(self, who: int) -> None:
        self.queue.dial_again(who, self.now)

    def end(self, who: int) -> None:
        self.queue.leave(who, self.now, dialled=True)


@given(
    rate=st.integers(1, 5),
    per=st.sampled_from([0.5, 1.0, 10.0]),
    concurrency=st.none() | st.integers(1, 4),
    attempts=st.lists(ATTEMPTS, max_size=30),
)
def test_the_rate_holds_in_every_window_and_all_come_in_order(
    rate: int, per: float, concurrency: int | None, attempts: list[Any]
) -> None:
    world = World(DialQueue(rate=rate, per=per, concurrency=concurrency))
    when = 0.0
    for who, (gap, patience, hops) in enumerate(attempts):
        when += gap
        world.hops[who] = list(hops)
        world.plan(when, "join", who)
        if patience is not None:
            world.plan(when + patience, "tire", who)
    world.run()
    # A dial reaches the server at any moment from its beginning to its end: pick the
    # worst for each window, which are the end of the first and the beginning of the
    # last. The window is closed at both ends.
    began = sorted((start, end) for _, start, end in world.dials)
    ended = sorted(end for _, _, end in world.dials)
    for earliest, (start, _) in zip(ended, began[rate:], strict=False):
        assert start - earliest > per
    assert world.most <= (concurrency or rate)
    # In order, and nobody is forgotten, who did not leave.
    assert world.admitted == [w for w in world.joined if w not in world.left_in_line]
    assert len(world.dials) == sum(len(attempts[who][2]) for who in world.admitted)
    assert (world.queue.waiting, world.queue.under_way) == (0, 0)
    assert world.queue.due() is None


def test_a_dial_counts_from_its_end() -> None:
    queue: DialQueue[str] = DialQueue(rate=1, per=10.0, concurrency=None)
    queue.join("a")
    queue.join("b")
    assert queue.admit(0.0) == "a"
    assert queue.admit(LONG) is None
    # Nobody knows when the first dial will have ended.
    assert queue.due() is None
    queue.leave("a", 5.0, dialled=True)
    due = queue.due()
    assert due == pytest.approx(15.0, abs=0.01)
    assert due is not None
    assert due > 15.0
    assert queue.admit(15.0) is None
    assert queue.admit(due) == "b"


def test_what_was_not_dialled_does_not_count() -> None:
    queue: DialQueue[str] = DialQueue(rate=1, per=10.0, concurrency=None)
    queue.join("a")
    queue.join("b")
    assert queue.admit(0.0) == "a"
    queue.leave("a", 1.0, dialled=False)
    assert queue.admit(1.0) == "b"


def test_a_redirect_keeps_its_place_and_goes_first() -> None:
    queue: DialQueue[str] = DialQueue(rate=2, per=10.0, concurrency=1)
    for who in ("a", "b"):
        queue.join(who)
    assert queue.admit(0.0) == "a"
    queue.dial_again("a", 1.0)
    assert (queue.waiting, queue.under_way) == (2, 1)
    assert queue.admit(1.0) == "a"
    assert queue.admit(1.0) is None
    queue.leave("a", 2.0, dialled=True)
    # Both of its dials count.
    assert queue.admit(2.0) is None
    due = queue.due()
    assert due == pytest.approx(11.0, abs=0.01)


def test_who_leaves_makes_room_wherever_they_stand() -> None:
    queue: DialQueue[str] = DialQueue(rate=5, per=1.0, concurrency=1)
    for who in ("a", "b", "c"):
        queue.join(who)
    assert queue.admit(0.0) == "a"
    queue.leave("b", 0.0, dialled=False)
    queue.leave("a", 0.0, dialled=True)
    assert queue.admit(0.0) == "c"
    queue.dial_again("c", 0.0)
    queue.leave("c", 0.0, dialled=False)
    # Twice does no harm.
    queue.leave("c", 0.0, dialled=True)
    assert (queue.waiting, queue.under_way) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0, 1), ValueError, "rate must be a positive whole number, not 0."),
        ((0.5, 1), TypeError, "rate must be a positive whole number"),
        ((True, 1), TypeError, "rate must be a positive whole number"),
        (("5", 1), TypeError, "rate must be a positive whole number"),
        ((5, 0), ValueError, "per must be a positive number of seconds, not 0."),
        ((5, float("inf")), ValueError, "per must be a positive number of seconds"),
        ((5, None), TypeError, "per must be a positive number of seconds"),
        ((5, 1, 0), ValueError, "concurrency must be a positive whole number, not 0."),
        ((5, 1, 1.5), TypeError, "concurrency must be a positive whole number"),
    ],
)
def test_a_limit_that_is_none_is_refused_by_name(
    arguments: tuple[Any, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        ConnectLimiter(*arguments)
    assert str(caught.value).startswith(f"ConnectLimiter.{words}")


def test_a_limiter_shows_itself_and_does_not_change() -> None:
    limiter = ConnectLimiter(rate=300, per=300, concurrency=10)
    assert repr(limiter) == (
        "<ConnectLimiter 300 per 300 s, 10 at once: 0 waiting, 0 in use>"
    )
    assert repr(ConnectLimiter(5, 0.5)) == (
        "<ConnectLimiter 5 per 0.5 s: 0 waiting, 0 in use>"
    )
    for name in ("rate", "per", "concurrency"):
        with pytest.raises(attrs.exceptions.FrozenAttributeError):
            setattr(limiter, name, 1)
