from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Reconnect, Session
from resilient_ws.feeds import Channel
from resilient_ws.instruments import METRICS, Kind
from resilient_ws.instruments.metric import WHERE
from resilient_ws.instruments.otel import SessionMeter
from resilient_ws.testing.scripts import closing, feeding, hold, rejecting
from tests.instruments.readings import point, points
from tests.record import turns, until


if TYPE_CHECKING:
    import pytest

    from resilient_ws.testing import ScriptedServer


def session_to(server: ScriptedServer, name: str = "bot") -> Session:
    return resilient_ws.connect(
        server.url(), name=name, reconnect=Reconnect(wait=wait_fixed(1))
    )


async def test_what_is_collected_is_what_the_table_says(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503), closing(1001, after=0), hold)
    session = session_to(server)
    reader = InMemoryMetricReader()
    meter = SessionMeter(session, meter_provider=MeterProvider([reader]))
    async with Channel(session) as channel:
        meter.add(channel)
        await until(lambda: session.epoch == 2)
        await session.ping()
        await turns()
        data = reader.get_metrics_data()
    assert data is not None
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "resilient_ws"
    seen = {metric.name: metric for metric in scope.metrics}
    table = {metric.name: metric for metric in METRICS}
    assert seen.keys() == table.keys() - {"resilient_ws.loop.lag"}
    types = {
        Kind.COUNTER: ("Sum", True),
        Kind.UP_DOWN_COUNTER: ("Sum", False),
        Kind.GAUGE: ("Gauge", None),
        Kind.HISTOGRAM: ("Histogram", None),
    }
    for name, metric in seen.items():
        row = table[name]
        assert (metric.unit, metric.description) == (row.unit, row.summary)
        monotonic = getattr(metric.data, "is_monotonic", None)
        assert (type(metric.data).__name__, monotonic) == types[row.kind]
        for one in metric.data.data_points:
            attributes = dict(one.attributes or {})
            assert attributes.keys() <= {*WHERE, *row.attributes}
            assert attributes["server.port"] == server.port
            assert all(value != "" for value in attributes.values())
            if row.kind is Kind.HISTOGRAM:
                assert getattr(one, "explicit_bounds") == row.buckets  # noqa: B009 - a union


async def test_a_failed_attempt_has_a_type_and_a_good_one_has_none(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503), hold)
    session = session_to(server)
    reader = InMemoryMetricReader()
    meter = SessionMeter(session, meter_provider=MeterProvider([reader]))
    async with session:
        await turns()
        by_type = {
            dict(key).get("error.type"): count
            for key, (count, _) in points(reader, "attempt.duration").items()
        }
        assert by_type == {"503": 1, None: 1}
    meter.close()


async def test_each_collection_reads_anew_and_once(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.play(feeding("1", "2"))
    session = session_to(server)
    readers = InMemoryMetricReader(), InMemoryMetricReader()
    meter = SessionMeter(session, meter_provider=MeterProvider(readers))
    reads = 0
    statistics = Session.statistics

    def counted(session: Session) -> resilient_ws.Statistics:
        nonlocal reads
        reads += 1
        return statistics(session)

    monkeypatch.setattr(Session, "statistics", counted)
    for number, reader in enumerate((*readers, *readers), start=1):
        assert point(reader, "session.state") == 1
        assert reads == number
    async with session:
        await session.receive()
        for reader in readers:
            received = point(reader, "messages", network__io__direction="receive")
            assert received == 2
    meter.close()
    assert points(readers[0], "outage.age") == {}


async def test_without_an_sdk_it_costs_nothing_and_fails_nothing(
    server: ScriptedServer,
) -> None:
    session = session_to(server)
    meter = SessionMeter(session)
    async with session:
        await session.ping()
        await turns()
    meter.close()


def test_without_the_package_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import resilient_ws.instruments\n"
        "try:\n    import resilient_ws.instruments.otel\n"
        "except ModuleNotFoundError as missing: print(missing)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert "pip install 'resilient-ws[otel]'" in said
