"""The table of what is measured, from which the metrics of every system are made.

Rules: names, units and attributes follow the conventions of OpenTelemetry; Prometheus
gets the names that OpenTelemetry's own exporters would make of them. Sessions that have
the same attributes share their time series: counts are added up, and of an age the
greatest is told.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import attrs

from resilient_ws import State, Statistics
from resilient_ws.feeds import ChannelStatistics


#: The attributes of every metric. ``server.address`` and ``server.port`` are of the
#: first URL given to ``connect``, and missing where ``url`` is a callable.
WHERE: Final = ("resilient_ws.session.name", "server.address", "server.port")

DIRECTION: Final = "network.io.direction"
ERROR_TYPE: Final = "error.type"
STATE: Final = "resilient_ws.session.state"
ODDITY: Final = "resilient_ws.feed.oddity"


@attrs.frozen(kw_only=True)
class Snapshot:
    """What was read of one session at one time.

    Attributes:
        state: Its state.
        error_type: What ended it, in a word; empty if nothing did.
        session: Its counters.
        feed: The counters of its channel, if it has one.
    """

    state: State
    error_type: str
    session: Statistics
    feed: ChannelStatistics | None


#: The values of a metric in a snapshot, each with those of its own attributes.
Values: TypeAlias = Iterable[tuple[float, tuple[str, ...]]]


class Kind(enum.Enum):
    """What a number means, in the words of OpenTelemetry."""

    #: It only grows.
    COUNTER = "counter"
    #: It grows and shrinks, and those of several sessions can be added up.
    UP_DOWN_COUNTER = "updowncounter"
    #: It cannot be added up: of several, the greatest counts.
    GAUGE = "gauge"
    #: Many durations.
    HISTOGRAM = "histogram"


def _none(_: Snapshot) -> Values:
    return ()


@attrs.frozen(kw_only=True, eq=False)
class Metric:
    """One row of the table.

    Attributes:
        name: The name, as OpenTelemetry has it.
        kind: What its numbers mean.
        unit: The unit, in UCUM: ``s``, ``By``, or what is counted in braces.
        summary: One sentence about it.
        source: Where it is read.
        attributes: The attributes that it has besides those of the session.
        buckets: The bounds of a histogram, in its unit.
        values: Returns what a snapshot says of it; nothing, for a histogram.
    """

    name: str
    kind: Kind
    unit: str
    summary: str
    source: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    values: Callable[[Snapshot], Values] = _none

    @property
    def prometheus_name(self) -> str:
        """What Prometheus calls it, without the suffixes of a histogram's series."""
        suffix = {"s": "_seconds", "By": "_bytes"}.get(self.unit, "")
        total = "_total" if self.kind is Kind.COUNTER else ""
        return self.name.replace(".", "_") + suffix + total


def label(attribute: str) -> str:
    """Return what Prometheus calls an attribute."""
    return attribute.replace(".", "_")


# How a row of the table is read.


def _of_session(kind: Kind, name: str, unit: str, field: str, summary: str) -> Metric:
    def values(snapshot: Snapshot) -> Values:
        return ((getattr(snapshot.session, field), ()),)

    return Metric(
        name=f"resilient_ws.{name}",
        kind=kind,
        unit=unit,
        summary=summary,
        source=f"Statistics.{field}",
        values=values,
    )


def _both_ways(name: str, unit: str, field: str, summary: str) -> Metric:
    """Return a counter of what is received and sent, told apart by an attribute."""
    fields = (f"{field}_received", ("receive",)), (f"{field}_sent", ("transmit",))

    def values(snapshot: Snapshot) -> Values:
        return [(getattr(snapshot.session, one), way) for one, way in fields]

    return Metric(
        name=f"resilient_ws.{name}",
        kind=Kind.COUNTER,
        unit=unit,
        summary=summary,
        source=f"Statistics.{field}_received, {field}_sent",
        attributes=(DIRECTION,),
        values=values,
    )


def _of_feed(kind: Kind, name: str, unit: str, field: str, summary: str) -> Metric:
    def values(snapshot: Snapshot) -> Values:
        feed = snapshot.feed
        return () if feed is None else ((getattr(feed, field), ()),)

    return Metric(
        name=f"resilient_ws.feed.{name}",
        kind=kind,
        unit=unit,
        summary=summary,
        source=f"ChannelStatistics.{field}",
        values=values,
    )


def _duration(
    name: str,
    source: str,
    summary: str,
    *buckets: float,
    attributes: tuple[str, ...] = (),
) -> Metric:
    return Metric(
        name=f"resilient_ws.{name}",
        kind=Kind.HISTOGRAM,
        unit="s",
        summary=summary,
        source=source,
        attributes=attributes,
        buckets=buckets,
    )


def _states(snapshot: Snapshot) -> Values:
    return ((1, (snapshot.state.value, snapshot.error_type)),)


_ODDITIES: Final = ("malformed", "unexpected", "unknown")


def _odd(snapshot: Snapshot) -> Values:
    feed = snapshot.feed
    return () if feed is None else [(getattr(feed, one), (one,)) for one in _ODDITIES]


_COUNTER, _UP_DOWN, _GAUGE = Kind.COUNTER, Kind.UP_DOWN_COUNTER, Kind.GAUGE
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

PING: Final = _duration(
    "ping.duration",
    "PongReceived.latency",
    "How long the server took to answer a ping.",
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ATTEMPT: Final = _duration(
    "attempt.duration",
    "ConnectionOpened.elapsed, AttemptFailed.elapsed",
    "How long an attempt took to open a connection, or to fail.",
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    attributes=(ERROR_TYPE,),
)
CONNECTION: Final = _duration(
    "connection.duration",
    "ConnectionDropped.uptime, ConnectionReplaced.uptime",
    "How long a connection was open that was lost or replaced.",
    *(1, 10, _MINUTE, 10 * _MINUTE, _HOUR, 6 * _HOUR, _DAY, 7 * _DAY),
    attributes=(ERROR_TYPE,),
)
OUTAGE: Final = _duration(
    "outage.duration",
    "ConnectionOpened.resumed_after",
    "How long a session was without an open connection, told when it is back.",
    *(0.1, 0.5, 1, 2.5, 5, 10, 30, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, _DAY),
)
LAG: Final = _duration(
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
    _of_session(
        _GAUGE,
        "outage.age",
        "s",
        "outage_age",
        "For how long the session has had no open connection; 0 while one is open.",
    ),
    _of_session(
        _GAUGE,
        "silence.age",
        "s",
        "silence_age",
        "How long ago the newest message came.",
    ),
    _of_session(
        _GAUGE,
        "outbox.oldest.age",
        "s",
        "outbox_oldest_age",
        "The age of the oldest message that is neither delivered nor lost.",
    ),
    _of_session(
        _COUNTER,
        "connection.attempts",
        "{attempt}",
        "attempts",
        "Connections attempted.",
    ),
    _of_session(
        _COUNTER,
        "connection.opened",
        "{connection}",
        "opened",
        "Connections that became open.",
    ),
    _of_session(
        _COUNTER,
        "connection.drops",
        "{connection}",
        "drops",
        "Open connections that were lost.",
    ),
    _of_session(
        _COUNTER,
        "outage.time",
        "s",
        "outage_seconds",
        "Time without an open connection.",
    ),
    _of_session(
        _COUNTER,
        "backoff.time",
        "s",
        "backoff_seconds",
        "The part of that time that was spent waiting for the next attempt.",
    ),
    _both_ways("messages", "{message}", "messages", "Messages received and sent."),
    _both_ways(
        "network.io", "By", "bytes", "Bytes received and sent, with frame headers."
    ),
    _of_session(
        _UP_DOWN,
        "inbox.length",
        "{message}",
        "inbox_messages",
        "Messages that wait to be read.",
    ),
    _of_session(
        _COUNTER,
        "inbox.discarded",
        "{message}",
        "inbox_discarded",
        "Messages that were received and discarded, because the inbox was full.",
    ),
    _of_session(
        _UP_DOWN,
        "outbox.length",
        "{message}",
        "outbox_messages",
        "Messages that wait to be sent.",
    ),
    _of_session(
        _UP_DOWN,
        "outbox.size",
        "By",
        "outbox_bytes",
        "The payload bytes of those messages.",
    ),
    _of_session(
        _UP_DOWN,
        "outbox.unconfirmed",
        "{message}",
        "outbox_unconfirmed",
        "Messages that were written and are not confirmed.",
    ),
    _of_session(
        _COUNTER,
        "outbox.lost",
        "{message}",
        "outbox_lost",
        "Messages that were accepted and will not be sent (again).",
    ),
    _of_session(
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
    _of_feed(
        _UP_DOWN,
        "subscription.active",
        "{subscription}",
        "subscriptions",
        "Subscriptions and listeners that have not ended.",
    ),
    _of_feed(
        _UP_DOWN,
        "subscription.live",
        "{subscription}",
        "live",
        "Those of them whose items go straight to the consumer.",
    ),
    _of_feed(_COUNTER, "items", "{item}", "items", "Items received, for whomever."),
    _of_feed(_UP_DOWN, "length", "{item}", "waiting", "Items that wait to be read."),
    _of_feed(
        _COUNTER,
        "gaps",
        "{gap}",
        "gaps",
        "Holes that could not be filled, and were told.",
    ),
    _of_feed(
        _COUNTER,
        "repeats",
        "{item}",
        "repeats",
        "Items that came more than once, and were yielded once.",
    ),
    _of_feed(
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
    _of_feed(
        _UP_DOWN,
        "calls.in_flight",
        "{request}",
        "calls_in_flight",
        "Requests that wait for their answer.",
    ),
    _of_feed(
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
