"""The counters of a session that outlive its connections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from resilient_ws.state import State
from resilient_ws.statistics import Statistics


if TYPE_CHECKING:
    from resilient_ws.inbox import InboxQueue
    from resilient_ws.outbox.queue import OutboxQueue
    from resilient_ws.supervisor.dispatcher import Dispatcher
    from resilient_ws.supervisor.lifecycle import Lifecycle
    from resilient_ws.transport.wire import Wire


@attrs.define
class Tally:
    """The counters that outlive a connection."""

    attempts: int = 0
    opened: int = 0
    drops: int = 0
    messages_received: int = 0
    messages_sent: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    #: In Unix seconds.
    opened_at: float | None = None
    last_message_at: float | None = None
    # When the newest message before the machine slept came: on the loop's clock, which
    # stops during sleep, and in Unix seconds.
    _before_sleep: tuple[float, float] | None = None

    def add(self, wire: Wire, now: float) -> None:
        """Add the counters of an ended connection; ``now`` is on the loop's clock."""
        self.last_message_at = self._last_message_at(wire, now)
        self._before_sleep = None
        self.messages_received += wire.incoming.messages_received
        self.messages_sent += wire.outgoing.messages_written
        self.bytes_received += wire.incoming.bytes_received
        self.bytes_sent += wire.outgoing.bytes_sent

    def slept(self, wire: Wire, now: float, seconds: float) -> None:
        """Keep the time of the newest message, because the loop's clock stood still."""
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

    def snapshot(
        self,
        wire: Wire | None,
        life: Lifecycle,
        inbox: InboxQueue,
        outbox: OutboxQueue,
        dispatcher: Dispatcher,
    ) -> Statistics:
        """Return all counters, including those of the current connection."""
        total = attrs.evolve(self)
        if wire is not None:
            total.add(wire, life.now())
        backoff = life.seconds_in(State.BACKOFF)
        oldest_at = outbox.oldest_accepted_at
        return Statistics(
            opened_at=total.opened_at,
            last_message_at=total.last_message_at,
            outage_seconds=backoff
            + life.seconds_in(State.CONNECTING)
            + life.seconds_in(State.RESTORING),
            backoff_seconds=backoff,
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
            events_discarded=dispatcher.discarded + inbox.drops_discarded,
        )
