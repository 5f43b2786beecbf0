"""What a session has counted so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs


if TYPE_CHECKING:
    from resilient_ws.dispatch import Dispatcher
    from resilient_ws.inbox import InboxQueue
    from resilient_ws.outbox.queue import OutboxQueue
    from resilient_ws.transport.wire import Wire


@attrs.frozen(kw_only=True)
class Statistics:
    """A snapshot of a session's counters, from ``Session.statistics()``.

    Attributes:
        attempts: Connections attempted.
        opened: Connections that were open.
        drops: Open connections that were lost, not counting replacements.
        messages_received: Messages taken off the wire.
        messages_sent: Messages handed to a connection.
        bytes_received: Bytes read, frames and all, after TLS.
        bytes_sent: Bytes written, frames and all, before TLS.
        inbox_messages: Messages that wait to be read.
        inbox_discarded: Messages that were received and discarded.
        outbox_messages: Messages that wait to be sent.
        outbox_bytes: Their payload bytes.
        outbox_unconfirmed: Messages written and not confirmed, where ``Outbox.confirm``
            asks for more than ``"write"``.
        outbox_lost: Messages that were accepted and will not be sent (again).
        events_discarded: Events that no callback saw because callbacks were slow, and
            losses of connections that ``with_interruptions(drops=True)`` did not yield
            because nobody read on.
    """

    attempts: int = 0
    opened: int = 0
    drops: int = 0
    messages_received: int = 0
    messages_sent: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    inbox_messages: int = 0
    inbox_discarded: int = 0
    outbox_messages: int = 0
    outbox_bytes: int = 0
    outbox_unconfirmed: int = 0
    outbox_lost: int = 0
    events_discarded: int = 0


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

    def add(self, wire: Wire) -> None:
        """Add what a connection counted, once it has ended."""
        self.messages_received += wire.incoming.messages_received
        self.messages_sent += wire.outgoing.messages_written
        self.bytes_received += wire.incoming.bytes_received
        self.bytes_sent += wire.outgoing.bytes_sent

    def snapshot(
        self,
        wire: Wire | None,
        inbox: InboxQueue,
        outbox: OutboxQueue,
        dispatcher: Dispatcher,
    ) -> Statistics:
        """Return everything as it stands, the living connection included."""
        total = attrs.evolve(self)
        if wire is not None:
            total.add(wire)
        return Statistics(
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
            outbox_unconfirmed=outbox.unconfirmed,
            outbox_lost=outbox.lost,
            events_discarded=dispatcher.discarded + inbox.drops_discarded,
        )
