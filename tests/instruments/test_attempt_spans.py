"""A span is one attempt; a connection that lasts for weeks has none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Connection, Reconnect
from resilient_ws.instruments.otel import SessionMeter
from resilient_ws.testing.scripts import closing, hold, rejecting
from tests.record import until


if TYPE_CHECKING:
    from resilient_ws.testing import ScriptedServer


async def test_each_attempt_is_a_span(server: ScriptedServer) -> None:
    async def restore(_: Connection) -> None:
        await asyncio.sleep(2)

    server.play(rejecting(503), closing(1001, after=1000), hold)
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    session = resilient_ws.connect(
        server.url("/?key=s3cr3t"),
        name="bot",
        on_open=restore,
        reconnect=Reconnect(wait=wait_fixed(1)),
    )
    # Where the session was made does not matter.
    with provider.get_tracer("test").start_as_current_span("of the program"):
        meter = SessionMeter(session, tracer_provider=provider)
        async with session:
            await until(lambda: session.epoch == 2, within=2000)
            await asyncio.sleep(100_000)
    meter.close()
    failed, first, second, _ = exporter.get_finished_spans()
    where = {
        "resilient_ws.session.name": "bot",
        "server.address": "127.0.0.1",
        "server.port": server.port,
    }
    assert dict(failed.attributes or {}) == {
        **where,
        "error.type": "503",
        "http.response.status_code": 503,
        "resilient_ws.attempt.number": 1,
    }
    assert failed.status.status_code is StatusCode.ERROR
    for epoch, span in enumerate((first, second), start=1):
        epoch_of = {"resilient_ws.connection.epoch": epoch}
        assert dict(span.attributes or {}) == {**where, **epoch_of}
        assert span.status.status_code is StatusCode.UNSET
        assert span.start_time is not None
        assert span.end_time is not None
        seconds = (span.end_time - span.start_time) / 1e9
        # With on_open, and not a moment longer.
        assert 1.99 < seconds < 2.5
    for span in (failed, first, second):
        assert (span.name, span.kind) == ("resilient_ws.connect", SpanKind.CLIENT)
        assert span.parent is None
        assert "s3cr3t" not in span.to_json()
