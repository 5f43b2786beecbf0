"""The metrics of sessions, for prometheus-client.

Rules: a scrape reads the sessions between two turns of their loop, and puts the text
together in its own thread. Durations are kept in histograms of prometheus-client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.instruments.durations import durations_of
from resilient_ws.instruments.metric import WHERE, Kind, Metric, label
from resilient_ws.instruments.metrics import READ, TOLD
from resilient_ws.instruments.watching import Key, SessionWatch


try:
    from prometheus_client import Histogram
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "resilient_ws.instruments.prometheus needs prometheus-client: "
        "pip install 'resilient-ws[prometheus]'.",
        name=missing.name,
    ) from None

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric as Family

    from resilient_ws import Event
    from resilient_ws.instruments.watching import Measurable, Watched, Where


__all__ = ["SessionCollector"]

_UNITS: Final = {"s": "seconds", "By": "bytes"}


class SessionCollector(Collector):
    """Collects metrics of sessions: ``REGISTRY.register(SessionCollector(session))``.

    Make it on the event loop of the sessions, inside or outside their ``async with``.
    It may be scraped from any thread. It does not keep sessions alive, and measures
    each until it is gone. Sessions of the same name and address share their time
    series, so give a ``name`` to those that are to be told apart.

    Args:
        watched: A session, a channel or a JSON-RPC client; or several; or a callable
            that returns those that there are, and is asked at each scrape, on the loop.

    Raises:
        RuntimeError: No event loop is running, or a session belongs to another one.
        TypeError: ``watched`` is none of these.
    """

    def __init__(self, watched: Watched = ()) -> None:
        self._histograms = {metric: _histogram(metric) for metric in TOLD}
        # The time series in them, by the session's attributes.
        self._children: dict[Where, dict[tuple[Metric, tuple[str, ...]], Histogram]]
        self._children = {}
        self._watch = SessionWatch(
            watched, on_event=self._on_event, on_gone=self._on_gone
        )

    def add(self, *measured: Measurable) -> None:
        """Measure more sessions, channels or clients.

        Raises:
            RuntimeError: A session belongs to another event loop.
            TypeError: One is none of these.
        """
        self._watch.add(*measured)

    def close(self) -> None:
        """Measure no session any more. Call it on their event loop."""
        self._watch.close()

    def describe(self) -> Iterable[Family]:
        """Return the metrics without values, for the registry to know their names."""
        yield from (_family(metric) for metric in READ)
        for histogram in self._histograms.values():
            yield from histogram.describe()

    def collect(self) -> Iterable[Family]:
        """Return the metrics with their values; the registry calls this at a scrape.

        Raises:
            Exception: What the callable raised that was given.
        """
        for metric, series in self._watch.read().items():
            family = _family(metric)
            for key, value in series.items():
                family.add_metric(_texts(key), value)
            yield family
        for histogram in self._histograms.values():
            yield from histogram.collect()

    def _on_event(self, event: Event, where: Where) -> None:
        children = self._children.setdefault(where, {})
        for metric, seconds, own in durations_of(event):
            child = children.get((metric, own))
            if child is None:
                child = self._histograms[metric].labels(*_texts((*where, *own)))
                children[metric, own] = child
            child.observe(seconds)

    def _on_gone(self, where: Where) -> None:
        for metric, own in self._children.pop(where, {}):
            self._histograms[metric].remove(*_texts((*where, *own)))


def _texts(key: Key) -> list[str]:
    """Return the values of labels; an empty one is as good as none."""
    return ["" if value is None else str(value) for value in key]


def _labels(metric: Metric) -> list[str]:
    return [label(attribute) for attribute in (*WHERE, *metric.attributes)]


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    name = metric.prometheus_name.removesuffix("_total")
    unit = _UNITS.get(metric.unit, "")
    return kind(name, metric.summary, labels=_labels(metric), unit=unit)


def _histogram(metric: Metric) -> Histogram:
    return Histogram(
        metric.prometheus_name,
        metric.summary,
        labelnames=_labels(metric),
        unit=_UNITS[metric.unit],
        buckets=metric.buckets,
        registry=None,
    )
