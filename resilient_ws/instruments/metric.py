"""What a metric is, and how the rows of the table are written.

Rules: names, units and attributes follow the conventions of OpenTelemetry. Prometheus
gets the names that OpenTelemetry's own exporters would make of them.
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


def of_session(kind: Kind, name: str, unit: str, field: str, summary: str) -> Metric:
    """Return a metric that is a field of ``Statistics``."""

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


def both_ways(name: str, unit: str, field: str, summary: str) -> Metric:
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


def of_feed(kind: Kind, name: str, unit: str, field: str, summary: str) -> Metric:
    """Return a metric that is a field of ``ChannelStatistics``."""

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


def duration(
    name: str,
    source: str,
    summary: str,
    *buckets: float,
    attributes: tuple[str, ...] = (),
) -> Metric:
    """Return a histogram of durations, with the bounds of its buckets in seconds."""
    return Metric(
        name=f"resilient_ws.{name}",
        kind=Kind.HISTOGRAM,
        unit="s",
        summary=summary,
        source=source,
        attributes=attributes,
        buckets=buckets,
    )
