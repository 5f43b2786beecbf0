"""A flow beside a naive model: whatever happens, nothing is silent, and all in order."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings, strategies as st

from resilient_ws.feeds import ConsumerTooSlow, Gap, Stage
from resilient_ws.testing import VirtualLoop
from tests.feeds.stream import ANSWERS, BAD, LIES, Shape, Stream


STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 12)),
    st.tuples(st.just("lose"), st.integers(1, 4)),
    st.tuples(st.just("repeat"), st.integers(0, 5)),
    st.tuples(st.just("spoil"), st.just(0)),
    st.tuples(st.just("drop"), st.integers(0, 6)),
    st.tuples(st.just("drop at once"), st.integers(0, 3)),
    st.tuples(st.just("overflow"), st.integers(0, 4)),
    st.tuples(st.just("take"), st.integers(1, 6)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 15, 700, 3000])),
)
SHAPES = st.builds(
    Shape,
    follows=st.booleans(),
    backfill=st.booleans(),
    identity=st.booleans(),
    refill=st.booleans(),
    size=st.integers(1, 5),
    after=st.booleans(),
).filter(lambda shape: shape.follows or shape.identity or not shape.backfill)


class Play:
    """Plays a list of steps on a stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.flow = stream.flow

    async def step(self, what: str, count: int) -> None:
        done = getattr(self, what.replace(" ", "_"))(count)
        if asyncio.iscoroutine(done):
            await done
        self.stream.check_bounds()

    def send(self, count: int) -> None:
        for _ in range(count):
            self.stream.send()
            self.stream.check_bounds()

    def lose(self, count: int) -> None:
        # Without follows, nobody could know.
        if self.stream.shape.follows:
            self.stream.newest += count

    def repeat(self, count: int) -> None:
        stream = self.stream
        number = max(1, stream.newest - count)
        # Without follows, only identity can tell, and only what it has seen.
        knows = stream.shape.identity and number in stream.sent
        if (stream.shape.follows and stream.newest) or knows:
            self.flow.deliver(number)

    def spoil(self, _: int) -> None:
        self.stream.newest += 1
        self.flow.deliver("?")

    async def drop(self, count: int) -> None:
        self.flow.suspend()
        self.stream.newest += count
        await asyncio.sleep(0.02)
        self.flow.resume()

    def drop_at_once(self, count: int) -> None:
        self.flow.suspend()
        self.stream.newest += count
        self.flow.resume()

    def overflow(self, count: int) -> None:
        self.stream.newest += count
        self.flow.interrupted()

    async def take(self, count: int) -> None:
        for _ in range(count):
            await self.stream.take()

    async def wait(self, count: int) -> None:
        await asyncio.sleep(count / 1000)


def run(shape: Shape, steps: list[tuple[str, int]], answers: list[str]) -> Stream:
    """Play, then let the server behave, and judge."""
    if not shape.follows:
        # Nobody could know that it keeps items back.
        answers = [answer for answer in answers if answer not in LIES | {"too much"}]

    async def main() -> Stream:
        stream = Stream(shape)
        stream.answers.extend(answers)
        stream.flow.resume()
        play = Play(stream)
        for what, count in steps:
            await play.step(what, count)
        # From now on the server behaves.
        stream.answers.clear()
        await play.step("drop", 0)
        await stream.settle()
        assert stream.flow.stage is Stage.LIVE, stream.flow.stage
        for _ in range(3):
            stream.send()
            await stream.settle()
        assert stream.flow.stage is Stage.LIVE
        stream.flow.finish()
        await asyncio.gather(*stream.tasks, return_exceptions=True)
        return stream

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        stream = runner.run(main())
    stream.check_order()
    return stream


@settings(max_examples=300, deadline=None)
@given(
    SHAPES, st.lists(STEPS, max_size=25), st.lists(st.sampled_from(ANSWERS), max_size=8)
)
def test_each_item_comes_once_and_in_order_or_is_named_by_a_gap(
    shape: Shape, steps: list[tuple[str, int]], answers: list[str]
) -> None:
    stream = run(shape, steps, answers)
    assert stream.numbers[-3:] == list(range(stream.newest - 2, stream.newest + 1))
    assert stream.flow.order.gaps == len(stream.gaps)


@settings(max_examples=200, deadline=None)
@given(SHAPES, st.lists(STEPS, max_size=15))
def test_what_had_come_before_the_end_comes_before_it(
    shape: Shape, steps: list[tuple[str, int]]
) -> None:
    async def main() -> Stream:
        stream = Stream(shape)
        stream.flow.resume()
        play = Play(stream)
        for what, count in steps:
            await play.step(what, count)
        stream.flow.finish()
        while len(stream.buffer):
            stream.taken.append(await stream.buffer.take())
        await asyncio.gather(*stream.tasks, return_exceptions=True)
        return stream

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        stream = runner.run(main())
    stream.check_order()
    # What came and was not yielded is in a gap.
    newest = max(stream.sent, default=0)
    if newest > max(stream.numbers, default=0):
        gaps = [item for item in stream.taken if isinstance(item, Gap)]
        assert any(gap.until is None or gap.until >= newest for gap in gaps)
    assert len(stream.flow._held) == 0


@settings(max_examples=300, deadline=None)
@given(
    SHAPES.filter(lambda shape: shape.backfill and shape.refill),
    st.lists(STEPS.filter(lambda step: step[0] != "spoil"), max_size=25),
    st.lists(
        st.sampled_from(
            [a for a in ANSWERS if a not in BAD and a not in {"lost", "timeout"}]
        ),
        max_size=8,
    ),
)
def test_with_a_history_that_answers_nothing_is_missing(
    shape: Shape, steps: list[tuple[str, int]], answers: list[str]
) -> None:
    stream = run(shape, [("send", 1), *steps], answers)
    assert stream.gaps == []
    assert stream.numbers == list(range(1, stream.newest + 1))


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 5),
    st.booleans(),
    st.lists(STEPS.filter(lambda step: step[0] != "spoil"), max_size=25),
)
def test_without_a_history_the_next_item_says_exactly_what_is_missing(
    size: int, identity: bool, steps: list[tuple[str, int]]
) -> None:
    shape = Shape(backfill=False, identity=identity, size=size)
    stream = run(shape, [("send", 1), ("take", 1), *steps], [])
    assert all(gap.first_missing <= gap.until for gap in stream.gaps)
    named = {n for gap in stream.gaps for n in range(gap.first_missing, gap.until + 1)}
    assert named == set(range(1, stream.newest + 1)) - set(stream.numbers)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 5),
    st.lists(STEPS.filter(lambda step: step[0] != "spoil"), max_size=25),
)
def test_who_wants_no_refill_loses_what_he_was_too_slow_for_and_no_more(
    size: int, steps: list[tuple[str, int]]
) -> None:
    stream = run(Shape(refill=False, size=size), [("send", 1), *steps], [])
    assert all(isinstance(gap.because, ConsumerTooSlow) for gap in stream.gaps)
    named = [n for gap in stream.gaps for n in range(gap.first_missing, gap.until + 1)]
    assert sorted(named + stream.numbers) == list(range(1, stream.newest + 1))
    assert stream.flow.dropped <= len(named)
