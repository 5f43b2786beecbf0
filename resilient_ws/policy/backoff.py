"""When to dial again, and when to give up.

Rules: ``Reconnect`` is a frozen policy and counts nothing; an ``Outage`` is one run of
it, from the loss of a stable connection (or the first dial) until the next stable one.
Waits and stops are tenacity's. Every method is told ``now`` by its caller, who owns the
clock. Floors (``Retry-After`` and the like) are added to the jittered wait and never
replace it, or a fleet that was told "in 60 s" would come back in step.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import tenacity
from tenacity.stop import StopBaseT, stop_never
from tenacity.wait import WaitBaseT, wait_base

from resilient_ws.errors import ConnectionLost, GaveUp, ResilientWSError
from resilient_ws.events import RetrySource
from resilient_ws.policy._validate import (
    check_positive,
    instance_of,
    not_negative,
    positive,
    positive_or_none,
    seconds,
    seconds_or_none,
    synchronous,
    synchronous_or_none,
)
from resilient_ws.policy.failures import Ending, Verdict


if TYPE_CHECKING:
    from tenacity import RetryCallState

#: A user's verdict on an ending; ``None`` for the default.
Classify: TypeAlias = Callable[[Ending], Verdict | None]

#: Two dials to one endpoint never start closer together than this, whoever asks.
MIN_DIAL_SPACING: Final = 0.2

#: The longest delay that the library chooses by itself.
LONGEST_WAIT: Final = 60.0

#: How many of an outage's errors are kept for ``GaveUp.history``.
MAX_HISTORY: Final = 20

_MEMBER_GAP: Final = 0.5
_MIN_AGE_FACTOR: Final = 0.9
#: The attempts at which a wait is sampled to find its longest. Several, because some
#: waits shrink. By the last, every exponential wait has reached its maximum; it is
#: drawn 8 times, because the largest of a few draws is close to a random wait's bound.
_PROBED: Final = (1, 2, 4, 8, 16, 32, 64, *(8 * (100,)))


class FullJitter(wait_base):
    """Wait anything between 0 and a bound that doubles with each attempt.

    The default of ``Reconnect``. Full jitter spreads a fleet that lost its server at
    the same moment evenly over the whole interval. Unlike tenacity's own random waits
    it has its own generator: otherwise all copies of a bot that seeds the global
    ``random`` would dial in step.

    Args:
        initial: The bound for the first retry, in seconds.
        maximum: The largest bound, in seconds.
        rng: Where to draw from; by default the operating system.
    """

    def __init__(
        self,
        initial: float = 1.0,
        maximum: float = LONGEST_WAIT,
        *,
        rng: random.Random | None = None,
    ) -> None:
        check_positive("FullJitter.initial", initial)
        check_positive("FullJitter.maximum", maximum)
        self.initial = initial
        self.maximum = maximum
        self._rng = _rng(rng)

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds to wait after this attempt."""
        try:
            bound = math.ldexp(self.initial, retry_state.attempt_number - 1)
        except OverflowError:  # after weeks of outage, far beyond any maximum
            bound = self.maximum
        return self._rng.uniform(0.0, min(self.maximum, bound))


#: The operating system's generator. It has no state that forked workers could share,
#: so one instance serves every policy.
_SYSTEM: Final = random.SystemRandom()


def _rng(rng: random.Random | None) -> random.Random:
    return _SYSTEM if rng is None else rng


@attrs.frozen(kw_only=True)
class Reconnect:
    """How a session comes back after a failure, and when it stops trying.

    Attributes:
        wait: Any synchronous tenacity wait, or a callable that takes a
            ``RetryCallState`` and returns seconds. ``None`` is full jitter, 1 s
            doubling to 60 s.
        stop: Any synchronous tenacity stop; its clock starts with the outage.
        stable_after: Seconds a connection must stay open before the count of attempts
            starts again.
        max_outage: The longest outage, in seconds; then the session gives up.
        max_age: The age in seconds at which a connection is replaced, less a random
            tenth at most.
        classify: A callable that returns your verdict on an ending, or ``None`` for
            the default.
        fatal_after: Seconds for which a fatal verdict must stand before it ends a
            session that has been open. Until then it dials at the longest delay. Any
            other verdict, or a stable connection, starts the time again.
        retry_after_cap: The longest ``Retry-After`` that is obeyed, in seconds.
        single: Whether the session has exactly one connection: see ``once``.
        rng: The source of all jitter, to make a test repeatable.

    Raises:
        TypeError: A value of another type, or a coroutine function as a callable.
        ValueError: A number is out of range.
    """

    wait: WaitBaseT | None = attrs.field(default=None, validator=synchronous_or_none)
    stop: StopBaseT = attrs.field(default=stop_never, validator=synchronous)
    stable_after: float = attrs.field(
        default=10.0, converter=seconds, validator=positive
    )
    max_outage: float | None = attrs.field(
        default=None,
        converter=seconds_or_none,
        validator=positive_or_none,
    )
    max_age: float | None = attrs.field(
        default=None,
        converter=seconds_or_none,
        validator=positive_or_none,
    )
    classify: Classify | None = attrs.field(default=None, validator=synchronous_or_none)
    fatal_after: float = attrs.field(
        default=900.0, converter=seconds, validator=not_negative
    )
    retry_after_cap: float = attrs.field(
        default=900.0, converter=seconds, validator=not_negative
    )
    single: bool = attrs.field(
        default=False, validator=instance_of(bool, "True or False")
    )
    rng: random.Random = attrs.field(
        default=None,
        converter=_rng,
        validator=instance_of(random.Random, "a random.Random"),
        repr=False,
        eq=False,
    )

    def __attrs_post_init__(self) -> None:
        """Check values that are wrong only in combination.

        Raises:
            ValueError: ``max_age`` is set for a single connection.
        """
        if self.single and self.max_age is not None:
            raise ValueError(
                "Reconnect.max_age must be None with Reconnect.once(): there is no "
                "second connection to replace the first."
            )

    @classmethod
    def once(cls) -> Reconnect:
        """Return a policy for exactly one connection, without reconnecting.

        The session dials each URL once, until a connection is open. If none opens,
        entering the session raises the last error. The session ends with its
        connection, and iteration stops after the last message. If the server closed
        with 1000, 1001 or no code, ``failure`` is ``None``; otherwise iteration,
        ``wait_closed`` and ``send`` raise the error that ended the connection.
        """
        return cls(single=True)


@attrs.frozen(kw_only=True)
class Retry:
    """The decision to dial again.

    Attributes:
        delay: The seconds until the next attempt.
        source: What decided the delay.
    """

    delay: float
    source: RetrySource


class Outage:
    """One outage: counts its failed attempts and paces the next ones.

    Args:
        policy: What to follow.
        started: When the outage began, on the caller's clock.
    """

    __slots__ = ("_history", "_state", "attempts", "policy", "started")

    def __init__(self, policy: Reconnect, started: float) -> None:
        self.policy = policy
        self.started = started
        self.attempts = 0
        self._history: list[Exception] = []
        # Made with the first failure: most sessions begin without one.
        self._state: RetryCallState | None = None

    @property
    def history(self) -> tuple[Exception, ...]:
        """The errors of the last 20 attempts at most, the oldest first."""
        return tuple(self._history)

    def after_failure(
        self,
        because: Exception,
        now: float,
        *,
        floor: float = 0.0,
        source: RetrySource = "floor",
        gap: float | None = None,
        counted: bool = True,
    ) -> Retry | GaveUp:
        """Count a failure, and return when to dial again or the ``GaveUp``.

        Args:
            because: The error of the attempt.
            now: The time, on the clock of ``started``.
            floor: Seconds to add to the wait.
            source: What raised the floor.
            gap: The seconds before the next member of a round is dialled, instead of
                the policy's wait.
            counted: ``False`` for the loss of a stable connection, which begins an
                outage before any attempt has failed.

        Raises:
            ValueError: ``Reconnect.wait`` did not return a duration.
        """
        if counted:
            self.attempts += 1
            self._history.append(because)
            del self._history[:-MAX_HISTORY]
        state = self._state = self._state or _call_state(self.policy, self.started)
        _fill(state, because, attempt=max(1, self.attempts), now=now)
        wait = _waited(state) if gap is None else gap
        delay = wait + floor
        state.upcoming_sleep = delay
        # A wait looks at the retry ahead and knows no attempt 0. A stop counts failed
        # attempts: after a drop there are none, so stop_after_attempt(1) still allows
        # one attempt.
        state.attempt_number = self.attempts
        verdict = self._stopped(state, delay, now)
        if verdict is not None:
            return self._gave_up(verdict, because, now)
        state.idle_for += delay
        if floor > 0:
            return Retry(delay=delay, source=source)
        return Retry(delay=delay, source="wait" if gap is None else "failover")

    def _stopped(self, state: RetryCallState, delay: float, now: float) -> str | None:
        if self.policy.stop(state):
            return "Reconnect.stop said so"
        limit = self.policy.max_outage
        # Do not wait for an attempt that the limit would forbid.
        if limit is not None and now - self.started + delay >= limit:
            return f"Reconnect.max_outage ({limit:g} s) ends before the next attempt"
        return None

    def _gave_up(self, why: str, because: Exception, now: float) -> GaveUp:
        elapsed = now - self.started
        count = f"{self.attempts} failed attempt{'' if self.attempts == 1 else 's'}"
        # The text of an exception that is not ours may hold a secret.
        ours = isinstance(because, ResilientWSError)
        last = str(because) if ours else f"{type(because).__name__}."
        error = GaveUp(
            f"Gave up after {count} in {elapsed:.1f} s, because {why}. "
            f"The last failure: {last}",
            attempts=self.attempts,
            elapsed=elapsed,
            history=self.history,
        )
        error.__cause__ = because
        return error


def longest_wait(policy: Reconnect, because: Exception | None = None) -> float:
    """Return the longest wait of a policy, in seconds, at most 60.

    Args:
        policy: The policy whose wait is sampled.
        because: The last failure, for waits that look at it.
    """
    if policy.wait is None:
        return LONGEST_WAIT
    state = _call_state(policy, started=0.0)
    failure = because or ConnectionLost("The connection was lost.", how="eof")
    answers: list[float] = []
    for attempt in _PROBED:
        _fill(state, failure, attempt=attempt, now=0.0)
        # A wait that was written for a few attempts may raise for later ones, which a
        # session may never reach.
        with contextlib.suppress(Exception):
            answers.append(_waited(state))
    return min(LONGEST_WAIT, max(answers, default=LONGEST_WAIT))


def jittered_age(max_age: float, rng: random.Random) -> float:
    """Return the age at which to replace a connection: 0.9 to 1.0 of ``max_age``.

    Connections made at the same moment must not all be replaced at the same moment.
    """
    return max_age * rng.uniform(_MIN_AGE_FACTOR, 1.0)


def member_gap(rng: random.Random) -> float:
    """Return the pause between two members of one round: 0 to 0.5 s."""
    return rng.uniform(0.0, _MEMBER_GAP)


def _call_state(policy: Reconnect, started: float) -> RetryCallState:
    wait = policy.wait or FullJitter(rng=policy.rng)
    # A real retrying object, because waits and stops may look at it.
    retrying = tenacity.AsyncRetrying(wait=wait, stop=policy.stop, reraise=True)
    state = tenacity.RetryCallState(retrying, None, (), {})
    state.start_time = started
    return state


def _fill(state: RetryCallState, because: Exception, attempt: int, now: float) -> None:
    state.attempt_number = attempt
    state.set_exception((type(because), because, None))
    # After set_exception, which stamps tenacity's own clock on it.
    state.outcome_timestamp = now


def _waited(state: RetryCallState) -> float:
    return _checked(state.retry_object.wait(state))


def _checked(answer: object) -> float:
    if inspect.iscoroutine(answer):
        answer.close()  # it is never awaited, and Python would warn about that
    if (
        isinstance(answer, bool)
        or not isinstance(answer, int | float)
        or not math.isfinite(answer)
        or answer < 0
    ):
        got = answer if isinstance(answer, int | float) else type(answer).__name__
        raise ValueError(
            "Reconnect.wait must return a finite number of seconds, 0 or more, "
            f"not {got}."
        )
    return float(answer)
