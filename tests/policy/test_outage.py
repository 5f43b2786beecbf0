"""The pace of retries, and the end of them."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import statistics
from typing import TYPE_CHECKING, Any

import pytest
import tenacity
from tenacity import (
    stop_after_attempt,
    stop_after_delay,
    stop_before_delay,
    stop_when_event_set,
    wait_chain,
    wait_fixed,
    wait_incrementing,
    wait_none,
    wait_random_exponential,
)
from tenacity.wait import wait_base

from resilient_ws.errors import ConnectFailed, ConnectionLost, GaveUp
from resilient_ws.policy.outage import Outage, longest_wait
from resilient_ws.policy.reconnect import FullJitter, Reconnect, member_gap
from resilient_ws.policy.retry_delay import NO_EXTRA, RetryDelay


if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState


LOST = ConnectionLost("The connection was reset.", how="reset")


class WaitByFailure(wait_base):
    """A wait that looks at the failure, as tenacity's newest have one."""

    def __init__(self, wait_of: Callable[[BaseException | None], float]) -> None:
        self._wait_of = wait_of

    def __call__(self, retry_state: RetryCallState) -> float:
        assert retry_state.outcome is not None
        return self._wait_of(retry_state.outcome.exception())


def failed(
    outage: Outage,
    now: float = 0.0,
    *,
    because: Exception = LOST,
    extra: RetryDelay = NO_EXTRA,
) -> RetryDelay | GaveUp:
    """Count a failed attempt, and say what follows."""
    outage.count(because)
    return outage.next_wait(because, extra, now=now)


def delay_of(step: RetryDelay | GaveUp) -> float:
    assert isinstance(step, RetryDelay)
    return step.seconds


# --- the default wait ----------------------------------------------------------------


def test_full_jitter_does_not_listen_to_a_seeded_global_random() -> None:
    drawn = []
    for _ in range(2):
        random.seed(7)
        drawn.append(delay_of(failed(Outage(Reconnect(), 0.0))))
    assert drawn[0] != drawn[1]


def test_full_jitter_is_part_of_tenacitys_algebra() -> None:
    wait = wait_fixed(3) + FullJitter(initial=2, maximum=4, rng=random.Random(1))
    policy = Reconnect(wait=wait)
    assert 3 <= delay_of(failed(Outage(policy, 0.0))) <= 5
    state = tenacity.RetryCallState(tenacity.AsyncRetrying(), None, (), {})
    assert FullJitter()(state) <= 1


def test_a_given_rng_makes_the_default_repeatable() -> None:
    runs = []
    for _ in range(2):
        outage = Outage(Reconnect(rng=random.Random(3)), 0.0)
        runs.append([delay_of(failed(outage)) for _ in range(9)])
    assert runs[0] == runs[1]


# --- storms --------------------------------------------------------------------------


def dials_in_a_minute(seed: int, extra: RetryDelay = NO_EXTRA) -> int:
    """Dials of a server that accepts and then closes at once."""
    outage = Outage(Reconnect(rng=random.Random(seed)), 0.0)
    now, dials = 0.0, 0
    while now < 60:
        dials += 1
        now += delay_of(failed(outage, now, extra=extra))
    return dials


def test_a_server_that_accepts_and_closes_is_never_stormed() -> None:
    dials = [dials_in_a_minute(seed) for seed in range(1000)]
    assert statistics.median(dials) <= 9
    assert max(dials) <= 15


def test_an_extra_delay_slows_it_down_further() -> None:
    dials = [dials_in_a_minute(seed, RetryDelay(5, "floor")) for seed in range(1000)]
    assert max(dials) <= 10
    assert statistics.median(dials) <= 6


# --- one outage ----------------------------------------------------------------------


def test_attempts_and_history_are_counted_in_the_run() -> None:
    outage = Outage(Reconnect(wait=wait_none()), 0.0)
    errors = [ConnectionLost(str(n), how="eof") for n in range(25)]
    for error in errors:
        failed(outage, because=error)
    assert outage.attempts == 25
    assert outage.history == tuple(errors[5:])


@pytest.mark.parametrize(
    ("wait", "delays"),
    [
        (wait_fixed(2), [2, 2, 2]),
        (wait_fixed(2) + wait_fixed(1), [3, 3, 3]),
        (wait_chain(wait_fixed(1), wait_fixed(5)), [1, 5, 5]),
        (wait_incrementing(start=1, increment=2), [1, 3, 5]),
        (WaitByFailure(lambda error: 4.0 if error is LOST else 0.0), [4, 4, 4]),
        (lambda state: state.attempt_number * 10, [10, 20, 30]),
        (lambda state: state.seconds_since_start, [0, 7, 14]),
        (lambda state: state.idle_for + 1, [1, 2, 4]),
    ],
)
def test_any_synchronous_wait_is_evaluated_on_our_clock(
    wait: Callable[[RetryCallState], float], delays: list[float]
) -> None:
    outage = Outage(Reconnect(wait=wait), 100.0)
    steps = [failed(outage, 100.0 + 7 * n) for n in range(3)]
    assert steps == [RetryDelay(delay, "wait") for delay in delays]


def test_the_retry_object_is_a_real_one() -> None:
    seen: list[object] = []

    def wait(state: RetryCallState) -> float:
        seen.append(state.retry_object)
        return 0

    failed(Outage(Reconnect(wait=wait), 0.0))
    assert isinstance(seen[0], tenacity.AsyncRetrying)


@pytest.mark.parametrize("answer", [-1, float("nan"), float("inf"), None, "1", True])
def test_a_wait_that_answers_nonsense_is_named(answer: Any) -> None:
    policy = Reconnect(wait=lambda _: answer)
    with pytest.raises(ValueError, match=r"^Reconnect\.wait must return a finite"):
        failed(Outage(policy, 0.0))


def test_a_wait_that_hides_a_coroutine_is_named_without_a_warning() -> None:
    async def coroutine() -> float:
        return 1.0

    policy = Reconnect(wait=lambda _: coroutine())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not coroutine"):
        failed(Outage(policy, 0.0))


def test_an_extra_delay_is_added_to_the_wait_and_named() -> None:
    outage = Outage(Reconnect(wait=wait_fixed(2)), 0.0)
    step = failed(outage, extra=RetryDelay(30, "retry_after"))
    assert step == RetryDelay(32, "retry_after")


def test_a_gap_replaces_the_wait() -> None:
    outage = Outage(Reconnect(wait=wait_fixed(2), rng=random.Random(1)), 0.0)
    gap = member_gap(random.Random(1))
    assert outage.next_gap(LOST, now=0.0) == RetryDelay(gap, "failover")


def test_the_loss_of_a_stable_connection_is_no_failed_attempt() -> None:
    policy = Reconnect(wait=wait_fixed(2), stop=stop_after_attempt(1))
    outage = Outage(policy, 0.0, lost=LOST)
    assert outage.next_wait(LOST, now=0.0) == RetryDelay(2, "wait")
    assert (outage.attempts, outage.history) == (0, (LOST,))
    assert isinstance(failed(outage, 2.0), GaveUp)


# --- giving up -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "attempts"),
    [
        (stop_after_attempt(3), 3),
        (stop_after_delay(10), 3),  # at 0, 5 and 10
        (stop_before_delay(10), 2),  # at 5 the wait would reach 10
        (stop_after_attempt(9) | stop_after_delay(10), 3),
        (stop_after_attempt(4) & stop_after_delay(1), 4),
        (lambda state: state.attempt_number == 2, 2),
    ],
)
def test_any_synchronous_stop_is_evaluated_on_our_clock(
    stop: Callable[[RetryCallState], bool], attempts: int
) -> None:
    outage = Outage(Reconnect(wait=wait_fixed(5), stop=stop), 1000.0)
    steps = (failed(outage, 1000.0 + 5 * n) for n in itertools.count())
    error = next(step for step in steps if isinstance(step, GaveUp))
    assert error.attempts == attempts
    assert error.elapsed == 5 * (attempts - 1)


def test_an_event_stops() -> None:
    event = asyncio.Event()
    policy = Reconnect(wait=wait_none(), stop=stop_when_event_set(event))  # type: ignore[arg-type]
    outage = Outage(policy, 0.0)
    assert isinstance(failed(outage), RetryDelay)
    event.set()
    assert isinstance(failed(outage), GaveUp)


@pytest.mark.parametrize(
    ("now", "extra", "gives_up"),
    [(0, 0, False), (54, 0, False), (55, 0, True), (60, 0, True), (0, 55, True)],
)
def test_max_outage_ends_it_when_the_next_attempt_would_be_too_late(
    now: float, extra: float, gives_up: bool
) -> None:
    outage = Outage(Reconnect(wait=wait_fixed(5), max_outage=60), 0.0)
    step = failed(outage, now, extra=RetryDelay(extra, "floor"))
    assert isinstance(step, GaveUp) is gives_up
    if isinstance(step, GaveUp):
        assert "Reconnect.max_outage (60 s)" in str(step)


def test_gave_up_tells_the_whole_story() -> None:
    outage = Outage(Reconnect(stop=stop_after_attempt(2)), 0.0)
    first = ConnectFailed("No address for example.com.", stage="resolve")
    failed(outage, 1.0, because=first)
    error = failed(outage, 2.5)
    assert isinstance(error, GaveUp)
    assert str(error) == (
        "Gave up after 2 failed attempts in 2.5 s, because Reconnect.stop said so. "
        "The last failure: The connection was reset."
    )
    assert error.history == (first, LOST)
    assert error.__cause__ is LOST


def test_the_text_of_a_foreign_exception_stays_out() -> None:
    outage = Outage(Reconnect(stop=stop_after_attempt(1)), 0.0)
    error = failed(outage, because=RuntimeError("token=s3cret"))
    assert str(error).endswith(
        "1 failed attempt in 0.0 s, because Reconnect.stop said so. The last failure: RuntimeError."
    )


# --- the longest wait ----------------------------------------------------------------


def unanswering(_: RetryCallState) -> float:
    raise LookupError


@pytest.mark.parametrize(
    ("wait", "longest"),
    [
        (None, 60),
        (wait_fixed(3), 3),
        (wait_fixed(3600), 60),
        (wait_incrementing(increment=0.1), 9.9),
        (WaitByFailure(lambda _: 8.0), 8),
        # One that shrinks is longest at the first attempt.
        (wait_incrementing(start=40, increment=-10), 40),
        # One written for a few attempts says nothing beyond them.
        (lambda state: [1, 2, 4, 9][state.attempt_number - 1], 9),
        (lambda state: 1.5**state.attempt_number**9, 60),
        # One that never answers is taken for the longest of ours.
        (lambda _: math.inf, 60),
        (unanswering, 60),
    ],
)
def test_the_longest_wait(
    wait: Callable[[RetryCallState], float] | None, longest: float
) -> None:
    assert longest_wait(Reconnect(wait=wait)) == pytest.approx(longest)


def test_the_longest_of_a_random_wait_is_not_one_unlucky_draw() -> None:
    policy = Reconnect(wait=wait_random_exponential(max=60))
    longest = [longest_wait(policy) for _ in range(50)]
    assert statistics.median(longest) > 45


def test_the_longest_wait_may_depend_on_the_failure() -> None:
    policy = Reconnect(wait=WaitByFailure(lambda e: 5.0 if e is LOST else 1.0))
    assert longest_wait(policy, LOST) == 5
    assert longest_wait(policy) == 1
