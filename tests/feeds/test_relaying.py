"""relay(): what was taken, in which order, what is tried again, what is saved when."""

from __future__ import annotations

import asyncio
import collections
import logging
import math
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given, settings, strategies as st
from tenacity import stop_after_attempt, stop_after_delay, wait_fixed

from resilient_ws import Fatal, SecurityError
from resilient_ws.feeds import (
    CursorFile,
    DeadLetter,
    FeedError,
    Gap,
    NotBackfillable,
    Redelivery,
    SinkBusy,
    SinkGone,
    Undeliverable,
    relay,
)
from resilient_ws.testing import VirtualLoop


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path


@attrs.frozen
class Reading:
    cursor: int
    key: str = ""


GAP = Gap(key="readings", because=NotBackfillable("no history"))
EACH_SECOND = Redelivery(wait=wait_fixed(1))


async def feed(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


class Receiver:
    """A sink that takes its time, and fails as it is told."""

    def __init__(self, *failures: Exception, seconds: float = 0.0) -> None:
        self.failures = collections.deque(failures)
        self.seconds = seconds
        self.taken: list[Any] = []
        self.tried: list[tuple[Any, str, float]] = []
        self.at_once = 0
        self.most = 0

    async def __call__(self, item: Any, name: str) -> None:
        self.tried.append((item, name, asyncio.get_running_loop().time()))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
            if self.failures:
                raise self.failures.popleft()
            self.taken.append(item)
        finally:
            self.at_once -= 1

    @property
    def times(self) -> list[float]:
        return [when for _, _, when in self.tried]


class Store:
    def __init__(self) -> None:
        self.saved: list[Any] = []

    async def save(self, cursor: Any, /) -> None:
        await asyncio.sleep(0.25)
        self.saved.append(cursor)


async def test_items_and_gaps_arrive_in_order_and_the_relay_ends_with_its_feed() -> (
    None
):
    receiver = Receiver()
    items = [Reading(1), GAP, Reading(2)]
    await relay(feed(items), receiver)
    assert receiver.taken == items


async def test_a_failure_is_tried_again_with_the_same_id_on_the_loops_clock() -> None:
    receiver = Receiver(OSError(), TimeoutError(), SinkBusy("later", retry_after=30))
    await relay(feed([Reading(1), Reading(2)]), receiver, retry=EACH_SECOND)
    assert receiver.taken == [Reading(1), Reading(2)]
    assert receiver.times == [0, 1, 2, 33, 33]
    ids = [name for _, name, _ in receiver.tried]
    assert len(set(ids[:4])) == 1
    assert ids[4] != ids[0]


async def test_what_the_receiver_asks_for_is_capped() -> None:
    receiver = Receiver(SinkBusy("later", retry_after=1e9))
    retry = Redelivery(wait=wait_fixed(1), retry_after_cap=10)
    await relay(feed([1]), receiver, retry=retry)
    assert receiver.times == [0, 11]


async def test_the_default_wait_grows_to_a_minute_and_jitters() -> None:
    receiver = Receiver(*[OSError() for _ in range(40)])
    await relay(feed([1]), receiver)
    waits = [b - a for a, b in zip(receiver.times, receiver.times[1:], strict=False)]
    assert waits[0] <= 1
    assert all(wait <= 60 for wait in waits)
    assert max(waits) > 15
    assert len(set(waits)) == 40


@pytest.mark.parametrize("stop", [stop_after_attempt(3), stop_after_delay(2)])
async def test_after_the_last_attempt_it_goes_to_the_dead_letter(stop: Any) -> None:
    receiver = Receiver(OSError("a"), OSError("b"), OSError("c"))
    letters: list[DeadLetter] = []

    async def bury(letter: DeadLetter) -> None:
        letters.append(letter)

    retry = Redelivery(wait=wait_fixed(1), stop=stop)
    await relay(feed([1, 2]), receiver, retry=retry, dead_letter=bury)
    assert receiver.taken == [2]
    (letter,) = letters
    assert (letter.item, letter.attempts) == (1, 3)
    assert letter.id == receiver.tried[0][1]
    assert isinstance(letter.because, Undeliverable)
    assert isinstance(letter.because.__cause__, OSError)


@pytest.mark.parametrize(
    "failure", [Undeliverable("no"), KeyError("bug"), ValueError()]
)
async def test_what_no_attempt_can_mend_is_not_tried_again(failure: Exception) -> None:
    store, receiver = Store(), Receiver(failure)
    with pytest.raises(Undeliverable) as caught:
        await relay(feed([Reading(1), Reading(2)]), receiver, cursor_store=store)
    assert caught.value.__cause__ is failure
    assert len(receiver.tried) == 1
    assert store.saved == [], "the cursor is past an item that was not delivered"


@pytest.mark.parametrize("failure", [SinkGone("410"), SecurityError("no"), Fatal("no")])
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_some_failures_end_the_relay_and_are_no_dead_letter(
    failure: Exception, concurrency: int
) -> None:
    async def bury(letter: DeadLetter) -> None:
        pytest.fail(f"{letter} was buried")

    with pytest.raises(type(failure)) as caught:
        await relay(
            feed(range(9)),
            Receiver(failure, seconds=1),
            concurrency=concurrency,
            dead_letter=bury,
        )
    assert caught.value is failure


async def test_no_text_of_a_foreign_exception_gets_into_a_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver = Receiver(*[OSError("token=hush") for _ in range(20)])
    await relay(feed([1]), receiver, retry=EACH_SECOND)
    told = [one for one in caplog.records if one.name == "resilient_ws.feeds"]
    assert "hush" not in caplog.text
    assert "OSError" in caplog.text
    # 1, 2, 4, 8, 16: a day of failures does not fill a log.
    assert sum(one.levelno == logging.WARNING for one in told) == 5


async def test_an_error_of_the_feed_ends_the_relay_after_what_it_gave() -> None:
    async def breaking() -> AsyncIterator[int]:
        yield 1
        raise FeedError("ended")

    for concurrency in (1, 4):
        receiver = Receiver()
        with pytest.raises(FeedError, match="ended"):
            await relay(breaking(), receiver, concurrency=concurrency)


async def test_a_wait_that_is_no_duration_is_refused() -> None:
    retry = Redelivery(wait=wait_fixed(float("inf")))
    with pytest.raises(ValueError, match="finite"):
        await relay(feed([1]), Receiver(OSError()), retry=retry)


async def test_concurrency_must_be_positive() -> None:
    with pytest.raises(ValueError, match="concurrency"):
        await relay(feed([]), Receiver(), concurrency=0)


async def later(_: Any) -> bool:
    return False


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"retry_after_cap": -1}, ValueError),
        ({"retry_after_cap": float("nan")}, ValueError),
        ({"again": later}, TypeError),
        ({"stop": later}, TypeError),
        ({"wait": 5}, TypeError),
    ],
)
def test_a_policy_is_checked_when_it_is_made(
    given: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="Redelivery"):
        Redelivery(**given)


# Cursors.


async def test_the_cursor_is_saved_after_the_sink_has_returned() -> None:
    told: list[str] = []

    class Told:
        async def save(self, cursor: Any, /) -> None:
            told.append(f"saved {cursor}")

    async def sink(item: Any, _: str) -> None:
        await asyncio.sleep(1)
        told.append(f"took {item.cursor}")

    await relay(feed([Reading(1), Reading(2)]), sink, cursor_store=Told())
    assert told == ["took 1", "saved 1", "took 2", "saved 2"]


async def test_a_gap_has_no_cursor_and_a_tuple_that_of_its_last_item() -> None:
    store = Store()
    items = [GAP, Reading(1), (Reading(2), Reading(3), GAP)]
    await relay(feed(items), Receiver(), cursor_store=store)
    assert store.saved == [1, 3]


@pytest.mark.parametrize("item", [{"cursor": 1}, "1", 1, ({"cursor": 1},)])
async def test_a_cursor_that_could_never_be_saved_is_missed_at_once(item: Any) -> None:
    receiver, store = Receiver(), Store()
    with pytest.raises(TypeError, match="cursor_of="):
        await relay(feed([item]), receiver, cursor_store=store)
    assert (receiver.taken, store.saved) == ([], [])
    await relay(feed([item]), receiver)


async def test_a_dead_letter_lets_the_cursor_pass_and_its_failure_does_not() -> None:
    async def bury(letter: DeadLetter) -> None:
        if letter.item.cursor == 2:
            raise OSError("the disk is full")

    store = Store()
    receiver = Receiver(Undeliverable("1"), Undeliverable("2"))
    with pytest.raises(OSError, match="disk is full"):
        await relay(
            feed([Reading(1), Reading(2), Reading(3)]),
            receiver,
            cursor_store=store,
            dead_letter=bury,
        )
    assert store.saved == [1]


async def test_a_store_that_fails_ends_the_relay() -> None:
    class Full:
        async def save(self, _: Any, /) -> None:
            raise OSError("full")

    for concurrency in (1, 2):
        with pytest.raises(OSError, match="full"):
            await relay(
                feed([Reading(1), Reading(2)]),
                Receiver(),
                concurrency=concurrency,
                cursor_store=Full(),
            )


async def test_a_file_keeps_the_cursor_for_the_next_run(tmp_path: Path) -> None:
    file = CursorFile(tmp_path / "cursor.json")
    assert await file.load() is None
    await relay(feed([Reading(1), Reading(7)]), Receiver(), cursor_store=file)
    assert await CursorFile(tmp_path / "cursor.json").load() == 7
    assert [path.name for path in tmp_path.iterdir()] == ["cursor.json"]


@pytest.mark.usefixtures("without_collection")
@pytest.mark.parametrize("text", ["", "[1", "[" * 100_000])
async def test_a_file_that_holds_something_else_is_said_so(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "cursor.json"
    path.write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - of the json module, or ours
        await CursorFile(path).load()


async def test_a_cancelled_save_is_finished_first(tmp_path: Path) -> None:
    file = CursorFile(tmp_path / "cursor.json")
    saving = asyncio.create_task(file.save([1, "two"]))
    await asyncio.sleep(0)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert await file.load() == [1, "two"]


async def test_what_json_cannot_hold_leaves_the_cursor_before(tmp_path: Path) -> None:
    file = CursorFile(tmp_path / "cursor.json")
    await file.save(1)
    with pytest.raises(TypeError):
        await file.save(object())
    assert await file.load() == 1


# Several at once.


async def test_several_are_on_their_way_but_no_more_than_allowed() -> None:
    receiver = Receiver(seconds=1)
    await relay(feed(range(12)), receiver, concurrency=4)
    assert receiver.most == 4
    assert sorted(receiver.taken) == list(range(12))
    assert asyncio.get_running_loop().time() == pytest.approx(3)


async def test_of_one_key_only_one_is_on_its_way() -> None:
    receiver = Receiver(seconds=1)
    items = [Reading(1, "a"), Reading(2, "b"), Reading(3, "a"), Reading(4, "c")]
    await relay(feed(items), receiver, concurrency=8, key_of=lambda one: one.key)
    assert receiver.times == [0, 0, 1, 1]


async def test_a_gap_is_alone() -> None:
    receiver = Receiver(seconds=1)
    await relay(feed([1, 2, GAP, 3, 4]), receiver, concurrency=8)
    assert receiver.times == [0, 0, 1, 2, 2]
    assert receiver.tried[2][0] is GAP


async def test_the_cursor_waits_for_the_slowest_before_it() -> None:
    async def sink(item: Any, _: str) -> None:
        await asyncio.sleep(10 if item.cursor == 1 else 1)

    store = Store()
    items = [Reading(number) for number in range(1, 6)]
    await relay(feed(items), sink, concurrency=5, cursor_store=store)
    assert store.saved == [5]


async def test_cancelling_leaves_the_cursor_before_what_is_on_its_way() -> None:
    for concurrency in (1, 3):
        receiver, store = Receiver(seconds=1), Store()
        items = [Reading(number) for number in range(1, 10)]
        running = asyncio.create_task(
            relay(feed(items), receiver, concurrency=concurrency, cursor_store=store)
        )
        await asyncio.sleep(2.6)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        taken = {item.cursor for item in receiver.taken}
        assert taken >= set(range(1, store.saved[-1] + 1))
        assert receiver.at_once == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=25),
    st.integers(1, 5),
    st.floats(0, 40),
    st.randoms(use_true_random=False),
)
def test_runs_cut_anywhere_deliver_all_in_the_order_of_each_key(
    plan: list[tuple[str, int]], concurrency: int, cut: float, rng: Any
) -> None:
    """Run, cancel, run from the saved cursor: nothing is missing, no key is reordered."""
    items = [Reading(number, key) for number, (key, _) in enumerate(plan, 1)]
    troubles = {number: times for number, (_, times) in enumerate(plan, 1)}
    taken: list[Reading] = []
    store = Store()

    async def sink(item: Any, _: str) -> None:
        await asyncio.sleep(rng.random())
        if troubles[item.cursor] > 0:
            troubles[item.cursor] -= 1
            raise OSError
        taken.append(item)

    async def run(after: int) -> None:
        await relay(
            feed(items[after:]),
            sink,
            concurrency=concurrency,
            key_of=lambda one: one.key,
            retry=EACH_SECOND,
            cursor_store=store,
        )

    async def main() -> None:
        try:
            async with asyncio.timeout(cut):
                await run(0)
        except TimeoutError:
            await run(store.saved[-1] if store.saved else 0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    assert set(taken) == set(items)
    assert store.saved == sorted(set(store.saved))
    for key in "abc":
        firsts = list(dict.fromkeys(one for one in taken if one.key == key))
        assert firsts == [one for one in items if one.key == key]


class Coroutine:
    """A callable whose result must be awaited."""

    async def __call__(self, item: Any) -> str:
        return str(item)


WRONG: tuple[tuple[str, Any, str], ...] = (
    ("items", [1, 2], "await channel.subscribe"),
    ("items", None, "an async iterator"),
    ("sink", "https://example.com/", "a callable"),
    ("sink", None, "a callable"),
    ("concurrency", 0, "a positive whole number"),
    ("concurrency", math.nan, "a positive whole number"),
    ("concurrency", 2.0, "a positive whole number"),
    ("concurrency", True, "a positive whole number"),
    ("concurrency", "2", "a positive whole number"),
    ("key_of", "key", "a callable"),
    ("key_of", Coroutine(), "a plain function"),
    ("cursor_of", None, "a callable"),
    ("cursor_of", Coroutine(), "a plain function"),
    ("id_of", 5, "a callable"),
    ("id_of", Coroutine(), "a plain function"),
    ("retry", 3, "a Redelivery"),
    ("retry", Redelivery, "a Redelivery"),
    ("cursor_store", "cursor.json", r"CursorFile\(path\)"),
    ("cursor_store", CursorFile, "not the class itself"),
    ("dead_letter", [], "a callable"),
)


@pytest.mark.parametrize(("name", "value", "remedy"), WRONG)
async def test_a_wrong_argument_is_refused_before_anything_is_read(
    name: str, value: Any, remedy: str
) -> None:
    read: list[int] = []
    receiver = Receiver()

    async def watched() -> AsyncIterator[Any]:
        read.append(1)
        yield Reading(1)

    arguments: dict[str, Any] = {"items": watched(), "sink": receiver, name: value}
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be .*{remedy}"):
        await relay(**arguments)
    assert read == []
    assert receiver.tried == []
