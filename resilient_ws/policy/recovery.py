"""What follows the end of a connection: a pause, or the end of the session.

Rules: an outage lasts from the loss of a stable connection (or the start of the
session) to the next stable one, which resets all its counters. A connection that was
open but not yet stable counts as a failed attempt. The session also waits before the
first dial after the loss of a stable connection, or a fleet would come back at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from resilient_ws.errors import Fatal
from resilient_ws.events import RetrySource
from resilient_ws.policy.backoff import Outage, member_gap
from resilient_ws.policy.endpoints import Round
from resilient_ws.policy.judge import Judge
from resilient_ws.policy.tracebacks import without_frames
from resilient_ws.state import State


if TYPE_CHECKING:
    from resilient_ws.policy.backoff import Reconnect, Retry
    from resilient_ws.policy.failures import Ending
    from resilient_ws.policy.judge import Judgement


@attrs.frozen(kw_only=True)
class Pause:
    """Dial again after a delay.

    Attributes:
        delay: The seconds until the next attempt.
        source: What decided the delay.
        complaint: What went wrong in the user's ``classify``, to be reported.
    """

    delay: float
    source: RetrySource
    complaint: Exception | None = None


@attrs.frozen(kw_only=True)
class Surrender:
    """Do not dial again.

    Attributes:
        failure: The error that ends the session, ``None`` if its only connection ended
            normally.
        complaint: What went wrong in the user's ``classify``, to be reported.
    """

    failure: Exception | None
    complaint: Exception | None = None


class Recovery:
    """Decides, for the whole life of a session, what follows each ending.

    Args:
        policy: What to follow.
        members: How many endpoints there are to fail over between.
        now: When the session began, on the caller's clock.
    """

    __slots__ = (
        "_judge",
        "_members",
        "_outage",
        "_policy",
        "_round",
        "because",
        "fresh",
    )

    def __init__(self, policy: Reconnect, *, members: int, now: float) -> None:
        self._policy = policy
        self._members = range(members)
        self._judge = Judge(policy)
        self._outage: Outage | None = Outage(policy, now)
        self._round = Round(self._members)
        #: Whether the next attempt needs a fresh URL and fresh headers.
        self.fresh = False
        #: What the last connection or attempt ended with.
        self.because: Exception | None = None

    @property
    def member(self) -> int:
        """Which endpoint is to be dialled next."""
        return self._round.current

    @property
    def attempt(self) -> int:
        """The number of the next attempt in this outage, from 1."""
        return 1 if self._outage is None else self._outage.attempts + 1

    def opened(self) -> None:
        """Take note that a connection is open."""
        self._judge.opened()

    def stable(self) -> None:
        """Take note that a connection is stable: the outage is over."""
        self._judge.stable()
        self._outage = None
        self._round = Round(self._members)
        self.fresh = False
        self.because = None

    def replaced(self, because: Exception, now: float) -> None:
        """Take note that an open connection is being replaced on request."""
        self.because = because
        if self._outage is None:
            self._outage = Outage(self._policy, now)

    def after(
        self, ending: Ending, *, now: float, now_wall: float
    ) -> Pause | Surrender:
        """Say what follows an ending.

        Args:
            ending: Why the connection, or the attempt at one, ended.
            now: The time, on the caller's clock.
            now_wall: The wall clock, for a ``Retry-After`` that is a date.
        """
        judgement = self._judge.judge(
            ending, now=now, now_wall=now_wall, member=self.member
        )
        self.because = ending.because
        self.fresh = judgement.fresh
        if self._policy.single and ending.state is State.OPEN:
            failure = None if ending.goodbye else judgement.because
            return Surrender(failure=failure, complaint=judgement.complaint)
        answer = self._answer(judgement, now)
        # A wait, a stop or a classify may have raised the error and caught it again.
        without_frames(ending.because)
        if isinstance(answer, Exception):
            return Surrender(failure=answer, complaint=judgement.complaint)
        return Pause(
            delay=answer.delay, source=answer.source, complaint=judgement.complaint
        )

    def _answer(self, judgement: Judgement, now: float) -> Retry | Exception:
        """Return the next attempt's delay, or what ends the session."""
        because = judgement.because
        if isinstance(because, Fatal):
            return because
        if self._outage is None:
            # A stable connection was lost: no attempt has failed in this outage yet.
            self._outage = Outage(self._policy, now)
            if not judgement.final:
                return self._outage.after_failure(
                    because,
                    now,
                    floor=judgement.floor,
                    source=judgement.source,
                    counted=False,
                )
        turn = self._round.failed(
            fatal=judgement.final or self._policy.single,
            floor=judgement.floor,
            source=judgement.source,
            rests=judgement.stands,
            now=now,
        )
        if turn is None:
            return because
        return self._outage.after_failure(
            because,
            now,
            floor=turn.floor,
            source=turn.source,
            gap=None if turn.wraps else member_gap(self._policy.rng),
        )
