"""What follows the end of a connection: a delay, or the end of the session.

Rules: an outage lasts from the loss of a stable connection (or the start of the
session) to the next stable one, which resets all its counters. A connection that was
open but not yet stable counts as a failed attempt. The session also waits before the
first dial after the loss of a stable connection, because a fleet that lost its server
would otherwise come back all at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from resilient_ws.errors import Fatal
from resilient_ws.policy.endpoints import Round
from resilient_ws.policy.judge import Judge
from resilient_ws.policy.outage import Outage
from resilient_ws.policy.tracebacks import without_frames
from resilient_ws.state import State


if TYPE_CHECKING:
    from resilient_ws.policy.failures import Ending
    from resilient_ws.policy.judge import Judgement
    from resilient_ws.policy.reconnect import Reconnect
    from resilient_ws.policy.retry_delay import RetryDelay


@attrs.frozen
class Surrender:
    """The decision not to dial again.

    Attributes:
        failure: The error that ends the session, ``None`` if it ends normally.
    """

    failure: Exception | None


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
        # The present outage, None while there is none.
        self._outage: Outage | None = Outage(policy, now)
        self._round = Round(self._members)
        #: Whether the next attempt needs a fresh URL and fresh headers.
        self.fresh = False
        #: What the last connection or attempt ended with.
        self.because: Exception | None = None

    @property
    def member(self) -> int:
        """The index of the endpoint to dial next."""
        return self._round.current

    @property
    def attempt(self) -> int:
        """The number of the next attempt in this outage, from 1."""
        return 1 if self._outage is None else self._outage.attempts + 1

    def note_open(self) -> None:
        """Note that a connection is open."""
        self._judge.note_open()

    def note_stable(self) -> None:
        """Note that a connection is stable: the outage is over."""
        self._judge.note_stable()
        self._outage = None
        self._round = Round(self._members)
        self.fresh = False
        self.because = None

    def note_replaced(self, because: Exception, *, now: float) -> None:
        """Note that an open connection is being replaced on request."""
        self.because = because
        if self._outage is None:
            self._outage = Outage(self._policy, now)

    def judge(self, ending: Ending, *, now: float, now_wall: float) -> Judgement:
        """Judge the end of a connection, or of the attempt at one.

        Args:
            ending: Why it ended.
            now: The time, on the caller's clock.
            now_wall: The wall clock, for a ``Retry-After`` that is a date.
        """
        judgement = self._judge.judge(
            ending, now=now, now_wall=now_wall, member=self.member
        )
        self.because = ending.because
        self.fresh = judgement.fresh
        return judgement

    def after(self, judgement: Judgement, *, now: float) -> RetryDelay | Surrender:
        """Return the delay until the next attempt, or the end of the session.

        Args:
            judgement: What ``judge`` has just returned.
            now: The time, on the caller's clock.

        Raises:
            Exception: ``Reconnect.wait`` or ``Reconnect.stop`` raised it.
        """
        ending = judgement.ending
        if self._policy.single and ending.state is State.OPEN:
            return Surrender(None if ending.goodbye else judgement.failure)
        delay = self._delay_or_failure(judgement, now)
        # A wait, a stop or a classify may have raised the error and caught it again.
        without_frames(ending.because)
        return Surrender(delay) if isinstance(delay, Exception) else delay

    def _delay_or_failure(
        self, judgement: Judgement, now: float
    ) -> RetryDelay | Exception:
        """Return the delay until the next attempt, or what ends the session."""
        because = judgement.failure
        if isinstance(because, Fatal):
            return because
        if self._outage is None:
            if not judgement.final:
                # A stable connection was lost: no attempt of this outage has failed.
                self._outage = Outage(self._policy, now, lost=because)
                return self._outage.next_wait(because, judgement.extra, now=now)
            self._outage = Outage(self._policy, now)
        extra = self._leave_member(judgement, now)
        if not self._round:
            return because
        self._outage.count(because)
        if extra is None:
            return self._outage.next_gap(because, now=now)
        return self._outage.next_wait(because, extra, now=now)

    def _leave_member(self, judgement: Judgement, now: float) -> RetryDelay | None:
        """Move on to the next endpoint; see ``Round`` for what this returns."""
        if judgement.final or self._policy.single:
            return self._round.drop(now=now)
        if judgement.stands:
            return self._round.rest(judgement.extra, now=now)
        return self._round.move_on(judgement.extra, now=now)
