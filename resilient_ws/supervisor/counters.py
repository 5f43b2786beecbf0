"""Counts what a session's connections carried, and makes its ``Statistics``.

Rules: the counters here cover the connections that have ended. A connection counts for
itself while it lives, and is added when it has ended.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from resilient_ws.state import State
from resilient_ws.statistics import Statistics


if TYPE_CHECKING:
    from resilient_ws.inbox import InboxQueue
    from resilient_ws.outbox.queue import OutboxQueue
    from resilient_ws.transport.wire import Wire


@attrs.define
class Counters:
    """The counters of a session that outlive its connections.

    They have the names that they have in ``Statistics``.
    """

    attempts: int = 0
    opened: int = 0
    drops: int = 0
    messages_received: int = 0
    messages_sent: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    #: Seconds without an open connection, and the part of them between two attempts.
    outage_seconds: float = 0.0
    backoff_seconds: float = 0.0
    # When the session moved to its current state, on the loop's clock.
    _moved_at: float = 0.0
    #: When the session last left ``OPEN``, or was entered, on the loop's clock.
    down_at: float = 0.0
    #: When the newest message of an ended connection came, or the session was entered,
    #: on the loop's clock.
    quiet_at: float = 0.0
    #: In Unix seconds.
    opened_at: float | None = None
    last_message_at: float | None = None
    # When the newest message before the machine slept came: on the loop's clock, which
    # stops during sleep, and in Unix seconds.
    _before_sleep: tuple[float, float] | None = None

    def count_attempt(self) -> None:
        """Count an attempt that begins."""
        self.attempts += 1

    def count_open(self) -> None:
        """Count a connection that opens now."""
        self.opened += 1
        self.opened_at = time.time()

    def count_drop(self) -> None:
        """Count the loss of an open connection."""
        self.drops += 1

    def left(self, state: State, now: float) -> None:
        """Add the seconds since the last move; the session leaves ``state`` now."""
        seconds = now - self._moved_at
        self._moved_at = now
        if state is State.IDLE:
            self.down_at = self.quiet_at = now
        elif state is State.OPEN:
            self.down_at = now
        if state.entered and state is not State.OPEN:
            self.outage_seconds += seconds
        if state is State.BACKOFF:
            self.backoff_seconds += seconds

    def add(self, wire: Wire, now: float) -> None:
        """Add the counters of an ended connection; ``now`` is on the loop's clock."""
        self.last_message_at = self._last_message_at(wire, now)
        self._before_sleep = None
        if wire.incoming.message_at is not None:
            self.quiet_at = wire.incoming.message_at
        self.messages_received += wire.incoming.messages_received
        self.messages_sent += wire.outgoing.messages_written
        self.bytes_received += wire.incoming.bytes_received
        self.bytes_sent += wire.outgoing.bytes_sent

    def note_sleep(self, wire: Wire, now: float, seconds: float) -> None:
        """Keep when the newest message came: the loop's clock stood still meanwhile.

        Args:
            wire: The present connection.
            now: The time, on the loop's clock.
            seconds: How long the machine slept.
        """
        at = wire.incoming.message_at
        came = self._last_message_at(wire, now)
        known = self._before_sleep
        if at is not None and came is not None and (known is None or known[0] != at):
            self._before_sleep = at, came - seconds

    def _last_message_at(self, wire: Wire, now: float) -> float | None:
        at = wire.incoming.message_at
        if at is None:
            return self.last_message_at
        if self._before_sleep is not None and self._before_sleep[0] == at:
            return self._before_sleep[1]
        # Reading the wall clock here saves reading it for each message.
        return time.time() - (now - at)

    def statistics(
        self,
        state: State,
        *,
        now: float,
        wire: Wire | None,
        inbox: InboxQueue,
        outbox: OutboxQueue,
        events_discarded: int,
    ) -> Statistics:
        """Return a snapshot, with the wire and the state counted up to ``now``."""
        total = attrs.evolve(self)
        total.left(state, now)
        if wire is not None:
            total.add(wire, now)
        oldest_at = outbox.oldest_accepted_at
        runs = state.entered
        return Statistics(
            opened_at=total.opened_at,
            last_message_at=total.last_message_at,
            outage_seconds=total.outage_seconds,
            outage_age=now - total.down_at if runs else 0.0,
            backoff_seconds=total.backoff_seconds,
            silence_age=now - total.quiet_at if runs else 0.0,
            attempts=total.attempts,
            opened=total.opened,
            drops=total.drops,
            messages_received=total.messages_received,
            messages_sent=total.messages_sent,
            bytes_received=total.bytes_received,
            bytes_sent=total.bytes_sent,
            inbox_messages=len(inbox),
            inbox_discarded=inbox.discarded,
            outbox_messages=len(outbox),
            outbox_bytes=outbox.size,
            outbox_oldest_age=0.0
            if oldest_at is None
            else max(0.0, time.time() - oldest_at),
            outbox_unconfirmed=outbox.unconfirmed,
            outbox_lost=outbox.lost,
            events_discarded=events_discarded + inbox.unread.drops_discarded,
        )
