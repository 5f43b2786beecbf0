"""Metrics of sessions: for Prometheus, and for OpenTelemetry.

::

    import prometheus_client
    from resilient_ws.instruments.prometheus import SessionCollector

    async def main() -> None:
        async with resilient_ws.connect(url, name="trades") as session:
            prometheus_client.REGISTRY.register(SessionCollector(session))
            prometheus_client.start_http_server(9100, addr="127.0.0.1")
            ...

``SessionCollector`` is in ``resilient_ws.instruments.prometheus`` (extra
``prometheus``), ``SessionMeter`` in ``resilient_ws.instruments.otel`` (extra ``otel``).
Both are made of the table ``METRICS``. Counters and ages are read when somebody asks
for them, from ``Session.statistics()`` and ``Channel.statistics()``, so a message costs
nothing more. Durations are taken from events. docs/observability.md has the table, a
dashboard and the rules of alerts.
"""

from resilient_ws.instruments.failure_types import ERROR_TYPES
from resilient_ws.instruments.metric import Kind, Metric
from resilient_ws.instruments.metrics import METRICS
from resilient_ws.instruments.watching import Watched


__all__ = ["ERROR_TYPES", "METRICS", "Kind", "Metric", "Watched"]

for _name in ("Kind", "Metric"):
    globals()[_name].__module__ = __name__
del _name
