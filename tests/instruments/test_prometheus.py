from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import prometheus_client
import pytest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Reconnect, Session
from resilient_ws.feeds import Channel
from resilient_ws.instruments.prometheus import SessionCollector
from resilient_ws.testing.scripts import closing, hold, rejecting
from tests.instruments.exposed import LABELS, SAMPLES
from tests.record import turns, until
from tests.servers.process import daemon


if TYPE_CHECKING:
    from resilient_ws.testing import ScriptedServer


def untyped(function: Any) -> Any:
    """Return a function of prometheus-client that has no types."""
    return function


def registry_of(
    *watched: Any,
) -> tuple[prometheus_client.CollectorRegistry, SessionCollector]:
    registry = prometheus_client.CollectorRegistry(auto_describe=True)
    collector = SessionCollector(watched)
    registry.register(collector)
    return registry, collector


def session_to(server: ScriptedServer, name: str = "bot") -> Session:
    return resilient_ws.connect(
        server.url(), name=name, reconnect=Reconnect(wait=wait_fixed(1))
    )


def value(
    registry: prometheus_client.CollectorRegistry, name: str, **own: str
) -> float | None:
    """Return the one sample of a name that has these labels."""
    found = [
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"resilient_ws_{name}"
        and own.items() <= sample.labels.items()
    ]
    assert len(found) <= 1
    return found[0] if found else None


async def test_a_scrape_reads_sessions_and_tells_durations(
    server: ScriptedServer,
) -> None:
    server.play(rejecting(503), closing(1001, after=2), hold)
    session = session_to(server)
    registry, _ = registry_of(session)
    async with session:
        await until(lambda: session.epoch == 2)
        await session.ping()
        await turns()
        assert value(registry, "connection_attempts_total") == 3
        assert value(registry, "connection_drops_total") == 1
        assert value(registry, "session_state", resilient_ws_session_state="open") == 1
        assert value(registry, "attempt_duration_seconds_count", error_type="503") == 1
        assert value(registry, "attempt_duration_seconds_count", error_type="") == 2
        uptime = value(
            registry, "connection_duration_seconds_sum", error_type="close_1001"
        )
        assert uptime == pytest.approx(2, abs=0.1)
        outage = value(registry, "outage_duration_seconds_sum")
        assert outage == pytest.approx(1, abs=0.1)
        assert value(registry, "ping_duration_seconds_bucket", le="+Inf") == 1


async def test_what_is_exposed_is_what_the_table_says(server: ScriptedServer) -> None:
    server.play(rejecting(503), closing(1001, after=0), hold)
    session = session_to(server)
    registry, collector = registry_of(session)
    async with Channel(session) as channel:
        collector.add(channel)
        await until(lambda: session.epoch == 2)
        await session.ping()
        await turns()
        samples = [s for family in registry.collect() for s in family.samples]
    # One tells when its time series began.
    seen = {s.name for s in samples if not s.name.endswith("_created")}
    assert seen == SAMPLES - {
        f"resilient_ws_loop_lag_seconds_{what}" for what in ("bucket", "count", "sum")
    }
    assert {label for s in samples for label in s.labels} == LABELS | {"le"}


async def test_the_text_is_well_formed(server: ScriptedServer) -> None:
    session = session_to(server)
    registry, collector = registry_of(session)
    async with Channel(session) as channel:
        collector.add(channel)
        await session.ping()
        await turns()
        text = prometheus_client.generate_latest(registry)
        new = untyped(openmetrics.generate_latest)(registry)
    done = subprocess.run(
        [daemon("promtool", "prometheus"), "check", "metrics"],
        input=text,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    families = list(untyped(text_string_to_metric_families)(new.decode()))
    units = {family.name: family.unit for family in families}
    assert units["resilient_ws_network_io_bytes"] == "bytes"
    assert units["resilient_ws_ping_duration_seconds"] == "seconds"


async def test_two_collectors_in_one_registry_are_refused() -> None:
    registry, _ = registry_of()
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(SessionCollector())


async def test_time_series_go_with_their_session(server: ScriptedServer) -> None:
    registry, collector = registry_of()

    async def use(name: str) -> None:
        session = session_to(server, name)
        collector.add(session)
        async with session:
            await session.ping()
            await turns()
            assert value(registry, "ping_duration_seconds_count") == 1

    await use("passing")
    gc.collect()
    await turns()
    assert [s for family in registry.collect() for s in family.samples] == []
    assert collector._children == {}


async def test_it_may_be_scraped_on_the_loop_and_closed(
    server: ScriptedServer,
) -> None:
    session = session_to(server)
    registry, collector = registry_of(session)
    async with session:
        assert b"bot" in prometheus_client.generate_latest(registry)
        collector.close()
        assert b"bot" not in prometheus_client.generate_latest(registry)
        await asyncio.sleep(60)
        assert b"bot" not in prometheus_client.generate_latest(registry)


def test_without_the_package_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "import resilient_ws.instruments\n"
        "try:\n    import resilient_ws.instruments.prometheus\n"
        "except ModuleNotFoundError as missing: print(missing)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert "pip install 'resilient-ws[prometheus]'" in said
