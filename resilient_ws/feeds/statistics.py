"""The counters of a channel, as its user sees them."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class ChannelStatistics:
    """A snapshot of a channel's counters, from ``Channel.statistics()``.

    Those of subscriptions are sums over all of them, the ended ones included.

    Attributes:
        subscriptions: Subscriptions and listeners that have not ended.
        live: Those of them whose items go straight to the consumer.
        items: Items received, for whomever.
        waiting: Items that wait to be read.
        repeats: Items that came more than once, and were yielded once.
        gaps: Holes that could not be filled, and were yielded as a ``Gap``.
        dropped: Items that were left because their consumer was too slow, and are in a
            ``Gap``.
        unknown: Items for nobody.
        malformed: Messages that the protocol does not allow.
        unexpected: Answers, and ends of subscriptions, that nobody waited for.
        calls_in_flight: Requests that wait for their answer.
        outgoing_dropped: Acknowledgements, answers to the server and heartbeats that
            were not sent: their connection had ended, or the server did not read.
    """

    subscriptions: int = 0
    live: int = 0
    items: int = 0
    waiting: int = 0
    repeats: int = 0
    gaps: int = 0
    dropped: int = 0
    unknown: int = 0
    malformed: int = 0
    unexpected: int = 0
    calls_in_flight: int = 0
    outgoing_dropped: int = 0
