"""The metrics of sessions, and their attempts as spans, for OpenTelemetry.

Rules: counters and ages are observable instruments, read when a reader of the SDK
collects. A span is one attempt, begun and ended when the attempt is over: a connection
that lasts for weeks has no span.
"""

from __future__ import annotations

import importlib.metadata
from functools import partial
from typing import TYPE_CHECKING, Final

from resilient_ws.instruments.durations import durations_of
from resilient_ws.instruments.metric import WHERE, Kind, Metric
from resilient_ws.instruments.metrics import READ, TOLD
from resilient_ws.instruments.watching import Key, Readings, SessionWatch


try:
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import Observation

    from resilient_ws.instruments.attempt_spans import AttemptSpans
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "resilient_ws.instruments.otel needs opentelemetry-api: "
        "pip install 'resilient-ws[otel]'.",
        name=missing.name,
    ) from None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider
    from opentelemetry.trace import TracerProvider

    from resilient_ws import Event
    from resilient_ws.instruments.watching import Measurable, Watched, Where


__all__ = ["SessionMeter"]

#: The scope of the instruments and of the spans.
_SCOPE: Final = "resilient_ws"


class SessionMeter:
    """Measures sessions with OpenTelemetry: ``SessionMeter(session)``.

    Make it on the event loop of the sessions, inside or outside their ``async with``.
    It may be read from any thread. It does not keep sessions alive, and measures each
    until it is gone. Sessions of the same name and address share their time series, so
    give a ``name`` to those that are to be told apart. Keep it as long as you measure;
    one in a process is enough.

    Args:
        watched: A session, a channel or a JSON-RPC client; or several; or a callable
            that returns those that there are, and is asked at each reading, on the
            loop.
        meter_provider: Where the metrics go; by default the global one.
        tracer_provider: Where a span for each attempt goes; by default the global one.

    Raises:
        RuntimeError: No event loop is running, or a session belongs to another one.
        TypeError: ``watched`` is none of these.
    """

    def __init__(
        self,
        watched: Watched = (),
        *,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        version = importlib.metadata.version("resilient-ws")
        meter = metrics.get_meter(_SCOPE, version, meter_provider)
        tracer = trace.get_tracer(_SCOPE, version, tracer_provider)
        self._spans = AttemptSpans(tracer)
        self._histograms = {
            metric: meter.create_histogram(
                metric.name,
                metric.unit,
                metric.summary,
                explicit_bucket_boundaries_advisory=metric.buckets,
            )
            for metric in TOLD
        }
        # What was read last, and the metrics that have not been asked for since.
        self._readings: Readings = {}
        self._watch = SessionWatch(watched, on_event=self._on_event, on_gone=_nothing)
        for metric in READ:
            _create(meter, metric, partial(self._observe, metric))

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
        self._readings.clear()

    def _observe(self, metric: Metric, _: CallbackOptions) -> Iterable[Observation]:
        # The SDK asks for one metric after the other. When it comes to one that it has
        # had of the last reading, that is a new collection, and a new reading.
        series = self._readings.pop(metric, None)
        if series is None:
            self._readings = self._watch.read()
            series = self._readings.pop(metric)
        return [
            Observation(value, _attributes(metric, key))
            for key, value in series.items()
        ]

    def _on_event(self, event: Event, where: Where) -> None:
        for metric, seconds, own in durations_of(event):
            attributes = _attributes(metric, (*where, *own))
            self._histograms[metric].record(seconds, attributes)
        self._spans.tell(event, _named(WHERE, where))


def _nothing(_: Where) -> None:
    """Leave the time series of sessions that are gone to the SDK."""


def _attributes(metric: Metric, key: Key) -> dict[str, str | int]:
    return _named((*WHERE, *metric.attributes), key)


def _named(names: Iterable[str], values: Key) -> dict[str, str | int]:
    """Return attributes by their names, without those that have no value."""
    pairs = zip(names, values, strict=True)
    return {name: value for name, value in pairs if value is not None and value != ""}


def _create(
    meter: Meter,
    metric: Metric,
    observe: Callable[[CallbackOptions], Iterable[Observation]],
) -> None:
    create = {
        Kind.COUNTER: meter.create_observable_counter,
        Kind.UP_DOWN_COUNTER: meter.create_observable_up_down_counter,
        Kind.GAUGE: meter.create_observable_gauge,
    }[metric.kind]
    create(metric.name, [observe], metric.unit, metric.summary)
