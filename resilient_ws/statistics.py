"""The counters of a session, as its user sees them."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Statistics:
    """A snapshot of a session's counters, from ``Session.statistics()``.

    Attributes:
        opened_at: When the newest connection opened, in Unix seconds, or ``None``.
        last_message_at: When the newest message came, in Unix seconds, or ``None``.
        outage_seconds: Seconds without an open connection since the session was
            entered, including the current outage; time asleep does not count.
        outage_age: Seconds since the session last had an open connection, or since it
            was entered; 0 while one is open, before it is entered and after it ended.
        backoff_seconds: The part of ``outage_seconds`` spent waiting for the next
            attempt.
        silence_age: Seconds since the newest message, or since the session was entered
            if there was none; 0 before that and after the session ended. Time asleep
            does not count.
        attempts: Connections attempted.
        opened: Connections that became open.
        drops: Open connections that were lost, not counting replacements.
        messages_received: Messages received on all connections.
        messages_sent: Messages handed to a connection.
        bytes_received: Bytes read, including frame headers, after TLS.
        bytes_sent: Bytes written, including frame headers, before TLS.
        inbox_messages: Messages that wait to be read.
        inbox_discarded: Messages that were received and discarded.
        outbox_messages: Messages that wait to be sent.
        outbox_bytes: The payload bytes of those messages.
        outbox_oldest_age: The age in seconds of the oldest accepted message that is
            neither delivered nor lost; 0 when there is none.
        outbox_unconfirmed: Messages written but not confirmed, if ``Outbox.confirm``
            asks for more than ``"write"``.
        outbox_lost: Messages that were accepted and will not be sent (again).
        events_discarded: Events that were discarded because callbacks were too slow,
            and drops that ``with_interruptions(drops=True)`` did not yield because
            nobody read them in time.
    """

    opened_at: float | None = None
    last_message_at: float | None = None
    outage_seconds: float = 0.0
    outage_age: float = 0.0
    backoff_seconds: float = 0.0
    silence_age: float = 0.0
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
    outbox_oldest_age: float = 0.0
    outbox_unconfirmed: int = 0
    outbox_lost: int = 0
    events_discarded: int = 0
