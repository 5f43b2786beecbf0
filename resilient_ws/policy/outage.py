"""The waits of one outage, and when the session gives up.

Rules: an ``Outage`` is one run of a ``Reconnect``, from the loss of a stable connection
(or the first dial) until the next stable connection. Waits and stops are tenacity's,
evaluated on the caller's clock. What the server asks for (``Retry-After`` and the like)
is added to the jittered wait and never replaces it, because a fleet that was told "in
60 s" would otherwise come back in step.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from typing import TYPE_CHECKING, Final

import tenacity

from resilient_ws.errors import ConnectionLost, GaveUp, ResilientWSError
from resilient_ws.policy.reconnect import LONGEST_WAIT, FullJitter, member_gap
from resilient_ws.policy.retry_delay import NO_EXTRA, RetryDelay


if TYPE_CHECKING:
    from tenacity import RetryCallState

    from resilient_ws.policy.reconnect import Reconnect


#: How many of an outage's errors are kept for ``GaveUp.history``.
MAX_HISTORY: Final = 20

#: The attempts at which a wait is sampled to find its longest. Several, because some
#: waits shrink. By the last, every exponential wait has reached its maximum; it is
#: drawn 8 times, because the largest of a few draws is close to a random wait's bound.
_SAMPLED_ATTEMPTS: Final = (1, 2, 4, 8, 16, 32, 64, *(8 * (100,)))


class Outage:
    """Counts the failed attempts of one outage, and paces the next ones.

    Args:
        policy: What to follow.
        started: When the outage began, on the caller's clock.
        lost: What ended the stable connection before it, if there was one.
    """

    __slots__ = ("_history", "_policy", "_started", "_state", "attempts")

    def __init__(
        self, policy: Reconnect, started: float, *, lost: Exception | None = None
    ) -> None:
        self._policy = policy
        self._started = started
        #: The number of attempts that have failed.
        self.attempts = 0
        self._history: list[Exception] = [] if lost is None else [lost]
        # Made with the first failure: most sessions begin without one.
        self._state: RetryCallState | None = None

    @property
    def history(self) -> tuple[Exception, ...]:
        """What was lost and what failed since: the newest ``MAX_HISTORY``, in order."""
        return tuple(self._history)

    def count(self, because: Exception) -> None:
        """Count a failed attempt."""
        self.attempts += 1
        self._history.append(because)
        del self._history[:-MAX_HISTORY]

    def next_wait(
        self, because: Exception, extra: RetryDelay = NO_EXTRA, *, now: float
    ) -> RetryDelay | GaveUp:
        """Return the policy's wait before the next attempt, or give up.

        Args:
            because: What the last connection or attempt ended with.
            extra: The delay to add to the wait.
            now: The time, on the clock of ``started``.

        Raises:
            ValueError: ``Reconnect.wait`` did not return a duration.
        """
        state = self._filled_state(because, now)
        wait = _policy_wait(state) + extra.seconds
        return self._unless_stopped(state, RetryDelay(wait, extra.source), because, now)

    def next_gap(self, because: Exception, *, now: float) -> RetryDelay | GaveUp:
        """Return the short wait before the next member of a round, or give up.

        Args:
            because: What the last connection or attempt ended with.
            now: The time, on the clock of ``started``.
        """
        state = self._filled_state(because, now)
        gap = RetryDelay(member_gap(self._policy.rng), "failover")
        return self._unless_stopped(state, gap, because, now)

    def _filled_state(self, because: Exception, now: float) -> RetryCallState:
        """Return the state from which tenacity's waits and stops decide."""
        if self._state is None:
            self._state = _call_state(self._policy, self._started)
        # A wait looks at the attempt ahead and knows no attempt 0.
        _fill(self._state, because, attempt=max(1, self.attempts), now=now)
        return self._state

    def _unless_stopped(
        self, state: RetryCallState, delay: RetryDelay, because: Exception, now: float
    ) -> RetryDelay | GaveUp:
        """Return the delay, or the ``GaveUp`` if the policy allows no more attempts."""
        state.upcoming_sleep = delay.seconds
        # A stop counts failed attempts. After the loss of a stable connection there are
        # none, so stop_after_attempt(1) still allows one attempt.
        state.attempt_number = self.attempts
        why = self._why_stopped(state, delay.seconds, now)
        if why is not None:
            return self._gave_up(why, because, now)
        state.idle_for += delay.seconds
        return delay

    def _why_stopped(
        self, state: RetryCallState, wait: float, now: float
    ) -> str | None:
        """Return why the policy allows no more attempts, ``None`` if it does."""
        if self._policy.stop(state):
            return "Reconnect.stop said so"
        limit = self._policy.max_outage
        # Do not wait for an attempt that the limit would forbid.
        if limit is not None and now - self._started + wait >= limit:
            return f"Reconnect.max_outage ({limit:g} s) ends before the next attempt"
        return None

    def _gave_up(self, why: str, because: Exception, now: float) -> GaveUp:
        elapsed = now - self._started
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
    """Return the longest wait of a policy, in seconds, at most ``LONGEST_WAIT``.

    Args:
        policy: The policy whose wait is sampled.
        because: The last failure, for waits that look at it.
    """
    if policy.wait is None:
        return LONGEST_WAIT
    state = _call_state(policy, started=0.0)
    failure = because or ConnectionLost("The connection was lost.", how="eof")
    waits: list[float] = []
    for attempt in _SAMPLED_ATTEMPTS:
        _fill(state, failure, attempt=attempt, now=0.0)
        # A wait that was written for a few attempts may raise for later ones, which a
        # session may never reach.
        with contextlib.suppress(Exception):
            waits.append(_policy_wait(state))
    return min(LONGEST_WAIT, max(waits, default=LONGEST_WAIT))


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


def _policy_wait(state: RetryCallState) -> float:
    """Return the seconds that ``Reconnect.wait`` gives."""
    return _checked(state.retry_object.wait(state))


def _checked(wait: object) -> float:
    """Return what a wait returned, if it is a duration; raise ``ValueError`` if not."""
    if inspect.iscoroutine(wait):
        wait.close()  # it is never awaited, and Python would warn about that
    if (
        isinstance(wait, bool)
        or not isinstance(wait, int | float)
        or not math.isfinite(wait)
        or wait < 0
    ):
        got = wait if isinstance(wait, int | float) else type(wait).__name__
        raise ValueError(
            "Reconnect.wait must return a finite number of seconds, 0 or more, "
            f"not {got}."
        )
    return float(wait)
