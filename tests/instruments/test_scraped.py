"""A real Prometheus, and OpenTelemetry's SDK, see a bot through an outage."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import prometheus_client
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Liveness, Reconnect, State
from resilient_ws.instruments.otel import SessionMeter
from resilient_ws.instruments.prometheus import SessionCollector
from tests.instruments.readings import point
from tests.instruments.test_documents import RULES
from tests.servers.prometheus import Prometheus


if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from tests.servers.process import ServerProcess

pytestmark = pytest.mark.wire


@contextlib.contextmanager
def exposed(registry: prometheus_client.CollectorRegistry) -> Iterator[int]:
    """Serve a registry from a thread, as programs do; yield the port."""
    server, thread = prometheus_client.start_http_server(
        0, addr="127.0.0.1", registry=registry
    )
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def hastened(rules: str) -> str:
    """Return the rules with an alert that fires after an outage of a second."""
    changed = rules.replace(
        "outage_age_seconds > 60\n        for: 1m",
        ("outage_age_seconds > 1\n        for: 1s"),
    )
    assert changed != rules
    return changed


async def test_the_alert_of_an_outage_fires_and_ends(
    tmp_path: pathlib.Path, websockets_server: ServerProcess
) -> None:
    reader = InMemoryMetricReader()
    registry = prometheus_client.CollectorRegistry()
    session = resilient_ws.connect(
        websockets_server.url,
        name="bot",
        reconnect=Reconnect(wait=wait_fixed(0.2)),
        liveness=Liveness(ping_interval=0.2),
    )
    registry.register(SessionCollector(session))
    meter = SessionMeter(session, meter_provider=MeterProvider([reader]))
    rules = hastened(RULES.read_text())
    bot = '{resilient_ws_session_name="bot"}'
    with exposed(registry) as port:
        async with session, Prometheus(tmp_path, port, rules) as prometheus:
            await prometheus.becomes(
                'resilient_ws_session_state{resilient_ws_session_state="open"}',
                lambda value: value == 1,
            )
            assert await prometheus.alerts() == {}
            assert point(reader, "outage.age") == 0

            await websockets_server.kill()
            alert = await prometheus.alerted("SessionDown")
            assert alert["labels"]["resilient_ws_session_name"] == "bot"
            assert alert["labels"]["server_port"] == str(websockets_server.port)
            assert (
                "bot has had no open connection for" in alert["annotations"]["summary"]
            )
            # OpenTelemetry says the same, at the same time.
            assert point(reader, "outage.age") > 1
            state = session.state.value
            assert point(reader, "session.state", resilient_ws__session__state=state)

            await websockets_server.start()
            await session.wait_until(State.OPEN)
            await prometheus.alerted("SessionDown", fires=False)
            await prometheus.becomes(
                f"resilient_ws_outage_duration_seconds_count{bot}",
                lambda value: value == 1,
            )
            await prometheus.becomes(
                f"resilient_ws_ping_duration_seconds_count{bot}", bool
            )
            seen = {
                name: await prometheus.value(f"resilient_ws_{name}{bot}")
                for name in (
                    "connection_drops_total",
                    "connection_opened_total",
                    "outage_duration_seconds_sum",
                    "outage_time_seconds_total",
                )
            }
            failed = await prometheus.value(
                'resilient_ws_attempt_duration_seconds_count{error_type="connect"}'
            )
            assert point(reader, "outage.age") == 0
            assert seen == {
                "connection_drops_total": point(reader, "connection.drops"),
                "connection_opened_total": point(reader, "connection.opened"),
                "outage_duration_seconds_sum": point(reader, "outage.duration")[1],
                "outage_time_seconds_total": point(reader, "outage.time"),
            }
            assert seen["connection_drops_total"] == 1
            count, _ = point(reader, "attempt.duration", error__type="connect")
            assert failed == count
            assert count > 3
    meter.close()
    assert (await asyncio.to_thread(reader.get_metrics_data)) is not None
