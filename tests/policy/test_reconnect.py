"""The policy of reconnecting: its checks, and the random numbers in it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import tenacity
from hypothesis import given, strategies as st

from resilient_ws.policy.reconnect import (
    FullJitter,
    Reconnect,
    jittered_age,
    member_gap,
)


if TYPE_CHECKING:
    from tenacity import RetryCallState


# --- the default wait ----------------------------------------------------------------


def state_at(attempt: int) -> RetryCallState:
    state = tenacity.RetryCallState(tenacity.AsyncRetrying(), None, (), {})
    state.attempt_number = attempt
    return state


@given(attempt=st.integers(1, 10**6), seed=st.integers())
def test_full_jitter_stays_below_a_bound_that_doubles(attempt: int, seed: int) -> None:
    wait = FullJitter(rng=random.Random(seed))
    assert 0 <= wait(state_at(attempt)) <= min(60, 2.0 ** min(attempt - 1, 10))


@pytest.mark.parametrize(
    ("attempt", "bound"), [(1, 1), (2, 2), (4, 8), (7, 60), (50, 60)]
)
def test_full_jitter_uses_its_whole_interval(attempt: int, bound: float) -> None:
    wait = FullJitter(rng=random.Random(1))
    drawn = [wait(state_at(attempt)) for _ in range(2000)]
    assert min(drawn) < 0.01 * bound
    assert 0.99 * bound < max(drawn) <= bound


# --- small draws ---------------------------------------------------------------------


@given(st.integers())
def test_jitter_of_ages_and_gaps(seed: int) -> None:
    rng = random.Random(seed)
    assert 900 <= jittered_age(1000, rng) <= 1000
    assert 0 <= member_gap(rng) <= 0.5


# --- validation ----------------------------------------------------------------------


async def asynchronous(_: object) -> Any: ...


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"wait": asynchronous},
            TypeError,
            "Reconnect.wait must be a plain function, not a coroutine function (async def).",
        ),
        ({"stop": asynchronous}, TypeError, "Reconnect.stop must be a plain function"),
        (
            {"classify": asynchronous},
            TypeError,
            "Reconnect.classify must be a plain function",
        ),
        (
            {"wait": 5},
            TypeError,
            "Reconnect.wait must be a callable, not a value of type int.",
        ),
        ({"stop": None}, TypeError, "Reconnect.stop must be a callable, not None."),
        ({"stable_after": 0}, ValueError, "Reconnect.stable_after must be a positive"),
        ({"max_outage": -1}, ValueError, "Reconnect.max_outage must be a positive"),
        (
            {"max_age": "1h"},
            TypeError,
            "Reconnect.max_age must be a positive number of seconds, not a value of type str.",
        ),
        (
            {"retry_after_cap": -1},
            ValueError,
            "Reconnect.retry_after_cap must be a number of seconds, 0 or more, not -1.",
        ),
        (
            {"fatal_after": -0.1},
            ValueError,
            "Reconnect.fatal_after must be a number of seconds, 0 or more, not -0.1.",
        ),
        ({"fatal_after": None}, TypeError, "Reconnect.fatal_after must be a number of"),
        ({"rng": 4}, TypeError, "rng"),
    ],
)
def test_a_policy_checks_itself(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        Reconnect(**arguments)
    assert message in str(caught.value)


def test_the_defaults_are_those_of_the_design() -> None:
    policy = Reconnect(rng=None, max_outage=None, retry_after_cap=0)
    assert policy.stable_after == 10
    assert policy.retry_after_cap == 0
    assert Reconnect().retry_after_cap == 900
    assert (Reconnect().fatal_after, Reconnect(fatal_after=0).fatal_after) == (900, 0)
    assert (policy.max_outage, policy.max_age, policy.classify) == (None, None, None)
