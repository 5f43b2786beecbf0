"""How a session comes back after a failure: its policy, and the random numbers in it.

``Reconnect`` is frozen and counts nothing; ``outage.py`` applies it to one outage.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
from tenacity.stop import StopBaseT, stop_never
from tenacity.wait import WaitBaseT, wait_base

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

#: The longest pause between two members of one round, in seconds.
_MAX_MEMBER_GAP: Final = 0.5
#: The smallest share of ``max_age`` at which a connection is replaced.
_MIN_AGE_FACTOR: Final = 0.9


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


def jittered_age(max_age: float, rng: random.Random) -> float:
    """Return the age at which to replace a connection: 0.9 to 1.0 of ``max_age``.

    Connections made at the same moment must not all be replaced at the same moment.
    """
    return max_age * rng.uniform(_MIN_AGE_FACTOR, 1.0)


def member_gap(rng: random.Random) -> float:
    """Return the pause between two members of one round: 0 to 0.5 s."""
    return rng.uniform(0.0, _MAX_MEMBER_GAP)
