"""The table of what is measured, from which the metrics of every system are made.

Rules: a row says what is measured once, for Prometheus, for OpenTelemetry and for the
documentation. Sessions that have the same attributes share their time series: counts
are added up, and of an age the greatest is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.instruments.metric import (
    ERROR_TYPE,
    ODDITY,
    STATE,
    Kind,
    Metric,
    both_ways,
    duration,
    of_feed,
    of_session,
)


if TYPE_CHECKING:
    from resilient_ws.instruments.metric import Snapshot, Values


def _states(snapshot: Snapshot) -> Values:
    return ((1, (snapshot.state.value, snapshot.error_type)),)


_ODDITIES: Final = ("malformed", "unexpected", "unknown")


def _odd(snapshot: Snapshot) -> Values:
    feed = snapshot.feed
    return () if feed is None else [(getattr(feed, one), (one,)) for one in _ODDITIES]


_COUNTER, _UP_DOWN, _GAUGE = Kind.COUNTER, Kind.UP_DOWN_COUNTER, Kind.GAUGE
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

PING: Final = duration(
    "ping.duration",
    "PongReceived.latency",
    "How long the server took to answer a ping.",
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ATTEMPT: Final = duration(
    "attempt.duration",
    "ConnectionOpened.elapsed, AttemptFailed.elapsed",
    "How long an attempt took to open a connection, or to fail.",
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    attributes=(ERROR_TYPE,),
)
CONNECTION: Final = duration(
    "connection.duration",
    "ConnectionDropped.uptime, ConnectionReplaced.uptime",
    "How long a connection was open that was lost or replaced.",
    *(1, 10, _MINUTE, 10 * _MINUTE, _HOUR, 6 * _HOUR, _DAY, 7 * _DAY),
    attributes=(ERROR_TYPE,),
)
OUTAGE: Final = duration(
    "outage.duration",
    "ConnectionOpened.resumed_after",
    "How long a session was without an open connection, told when it is back.",
    *(0.1, 0.5, 1, 2.5, 5, 10, 30, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, _DAY),
)
LAG: Final = duration(
    "loop.lag",
    "LoopLagged.by",
    "For how long the event loop was blocked, so that a verdict had to wait.",
    *(0.1, 0.5, 1, 2.5, 5, 10, 30, 60),
)

#: Every metric, in the order in which it is shown.
METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        name="resilient_ws.session.state",
        kind=_UP_DOWN,
        unit="{session}",
        summary="Sessions in each state; `error.type` says why one gave up.",
        source="Session.state, Session.failure",
        attributes=(STATE, ERROR_TYPE),
        values=_states,
    ),
    of_session(
        _GAUGE,
        "outage.age",
        "s",
        "outage_age",
        "For how long the session has had no open connection; 0 while one is open.",
    ),
    of_session(
        _GAUGE,
        "silence.age",
        "s",
        "silence_age",
        "How long ago the newest message came.",
    ),
    of_session(
        _GAUGE,
        "outbox.oldest.age",
        "s",
        "outbox_oldest_age",
        "The age of the oldest message that is neither delivered nor lost.",
    ),
    of_session(
        _COUNTER,
        "connection.attempts",
        "{attempt}",
        "attempts",
        "Connections attempted.",
    ),
    of_session(
        _COUNTER,
        "connection.opened",
        "{connection}",
        "opened",
        "Connections that became open.",
    ),
    of_session(
        _COUNTER,
        "connection.drops",
        "{connection}",
        "drops",
        "Open connections that were lost.",
    ),
    of_session(
        _COUNTER,
        "outage.time",
        "s",
        "outage_seconds",
        "Time without an open connection.",
    ),
    of_session(
        _COUNTER,
        "backoff.time",
        "s",
        "backoff_seconds",
        "The part of that time that was spent waiting for the next attempt.",
    ),
    both_ways("messages", "{message}", "messages", "Messages received and sent."),
    both_ways(
        "network.io", "By", "bytes", "Bytes received and sent, with frame headers."
    ),
    of_session(
        _UP_DOWN,
        "inbox.length",
        "{message}",
        "inbox_messages",
        "Messages that wait to be read.",
    ),
    of_session(
        _COUNTER,
        "inbox.discarded",
        "{message}",
        "inbox_discarded",
        "Messages that were received and discarded, because the inbox was full.",
    ),
    of_session(
        _UP_DOWN,
        "outbox.length",
        "{message}",
        "outbox_messages",
        "Messages that wait to be sent.",
    ),
    of_session(
        _UP_DOWN,
        "outbox.size",
        "By",
        "outbox_bytes",
        "The payload bytes of those messages.",
    ),
    of_session(
        _UP_DOWN,
        "outbox.unconfirmed",
        "{message}",
        "outbox_unconfirmed",
        "Messages that were written and are not confirmed.",
    ),
    of_session(
        _COUNTER,
        "outbox.lost",
        "{message}",
        "outbox_lost",
        "Messages that were accepted and will not be sent (again).",
    ),
    of_session(
        _COUNTER,
        "events.discarded",
        "{event}",
        "events_discarded",
        "Events that were discarded because callbacks were too slow.",
    ),
    ATTEMPT,
    CONNECTION,
    OUTAGE,
    PING,
    LAG,
    of_feed(
        _UP_DOWN,
        "subscription.active",
        "{subscription}",
        "subscriptions",
        "Subscriptions and listeners that have not ended.",
    ),
    of_feed(
        _UP_DOWN,
        "subscription.live",
        "{subscription}",
        "live",
        "Those of them whose items go straight to the consumer.",
    ),
    of_feed(_COUNTER, "items", "{item}", "items", "Items received, for whomever."),
    of_feed(_UP_DOWN, "length", "{item}", "waiting", "Items that wait to be read."),
    of_feed(
        _COUNTER,
        "gaps",
        "{gap}",
        "gaps",
        "Holes that could not be filled, and were told.",
    ),
    of_feed(
        _COUNTER,
        "repeats",
        "{item}",
        "repeats",
        "Items that came more than once, and were yielded once.",
    ),
    of_feed(
        _COUNTER,
        "dropped",
        "{item}",
        "dropped",
        "Items that were left because their consumer was too slow.",
    ),
    Metric(
        name="resilient_ws.feed.odd",
        kind=_COUNTER,
        unit="{message}",
        summary="Messages of the server that were of no use.",
        source="ChannelStatistics.malformed, unexpected, unknown",
        attributes=(ODDITY,),
        values=_odd,
    ),
    of_feed(
        _UP_DOWN,
        "calls.in_flight",
        "{request}",
        "calls_in_flight",
        "Requests that wait for their answer.",
    ),
    of_feed(
        _COUNTER,
        "outgoing.dropped",
        "{message}",
        "outgoing_dropped",
        "Acknowledgements, answers and heartbeats that were not sent.",
    ),
)

#: Those that are read, and those that events tell.
READ: Final = tuple(one for one in METRICS if one.kind is not Kind.HISTOGRAM)
TOLD: Final = tuple(one for one in METRICS if one.kind is Kind.HISTOGRAM)
