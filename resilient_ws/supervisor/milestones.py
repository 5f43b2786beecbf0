"""What falls due while a connection is open: it becomes stable, old, or too quiet.

Rules: a connection is stable after ``stable_after``. At ``max_age`` it is replaced. If
a subscription seems to have ended with an earlier connection, the log says so, once in
a session.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from resilient_ws.policy.reconnect import jittered_age
from resilient_ws.supervisor.commands import Replace


if TYPE_CHECKING:
    from resilient_ws.policy.reconnect import Reconnect
    from resilient_ws.policy.recovery import Recovery
    from resilient_ws.policy.silence import Silence
    from resilient_ws.supervisor.commands import Commands
    from resilient_ws.supervisor.journal import Journal
    from resilient_ws.transport.wire import Wire


class Milestones:
    """The milestones of one open connection, from its opening to its end.

    Call ``pass_due`` at the times that it returns, and ``end`` at the end.
    """

    __slots__ = (
        "_commands",
        "_journal",
        "_quiet_at",
        "_recovery",
        "_retire_at",
        "_silence",
        "_stable_at",
        "opened_at",
        "wire",
    )

    def __init__(
        self,
        wire: Wire,
        policy: Reconnect,
        silence: Silence,
        *,
        commands: Commands,
        journal: Journal,
        recovery: Recovery,
        now: float,
    ) -> None:
        #: The wire of the connection.
        self.wire = wire
        self._silence = silence
        self._commands = commands
        self._journal = journal
        self._recovery = recovery
        #: When the connection opened, on the loop's clock.
        self.opened_at = now
        # When each milestone is due; infinity if it has passed or never comes.
        self._stable_at = now + policy.stable_after
        self._retire_at = math.inf
        if policy.max_age is not None:
            self._retire_at = now + jittered_age(policy.max_age, policy.rng)
        before = journal.counters
        self._quiet_at = now + silence.begin(
            sent=before.messages_sent, received=before.messages_received
        )

    def pass_due(self, *, now: float) -> float | None:
        """Do what is due now.

        Returns:
            The seconds until the next milestone, ``None`` if there is none.
        """
        if now >= self._stable_at:
            self._stable_at = math.inf
            self._recovery.note_stable()
            self._journal.report_stable()
        if now >= self._retire_at:
            self._retire_at = math.inf
            self._commands.give(Replace(reason="it has reached max_age"))
        if now >= self._quiet_at:
            self._quiet_at = now + self._check_silence()
        due = min(self._stable_at, self._retire_at, self._quiet_at)
        return None if due == math.inf else due - now

    def _check_silence(self) -> float:
        """Warn if a subscription seems to have ended with an earlier connection.

        Returns:
            The seconds until the next check, or infinity.
        """
        incoming = self.wire.incoming
        seconds = self._silence.check(
            sent=self.wire.outgoing.messages_written,
            received=incoming.messages_received,
            paused=incoming.paused,
        )
        if seconds == 0.0:
            self._journal.warn_of_silence()
            return math.inf
        return seconds

    def end(self, *, now: float) -> None:
        """Note that the connection has ended, or is about to be ended."""
        self._silence.end(
            received=self.wire.incoming.messages_received,
            uptime=now - self.opened_at,
        )
