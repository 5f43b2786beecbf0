"""What it costs to read the metrics of many sessions.

A server in a process of its own holds the other ends. Each round reads the sessions on
their loop, has Prometheus's text made in a thread, as a scrape does, and has the SDK of
OpenTelemetry collect in a thread. Meanwhile a task looks at how late the loop comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import time
import tracemalloc
from typing import TYPE_CHECKING, Any, Final

import prometheus_client
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import resilient_ws
from benchmarks.speed.compare import Process
from resilient_ws.instruments.otel import SessionMeter
from resilient_ws.instruments.prometheus import SessionCollector


if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS: Final = 21
#: Seconds between two scrapes, as Prometheus has it by default in its examples.
INTERVAL: Final = 15.0


class Lateness:
    """How late the loop came, at the most, since it was asked last."""

    def __init__(self) -> None:
        self._worst = 0.0

    async def watch(self) -> None:
        while True:
            due = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            self._worst = max(self._worst, time.perf_counter() - due)

    def take(self) -> float:
        worst, self._worst = self._worst, 0.0
        return worst


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Do it in this thread; return its CPU time here, in milliseconds."""
    began, wall = time.thread_time(), time.perf_counter()
    work()
    return {
        "cpu": (time.thread_time() - began) * 1e3,
        "wall": (time.perf_counter() - wall) * 1e3,
    }


async def measure(count: int, *, freeze: bool = False) -> dict[str, Any]:
    """Return the figures of so many sessions.

    With ``freeze``, the garbage collector leaves alone what is there by then.
    """
    with Process("crowd_server") as server:
        url = f"ws://127.0.0.1:{int(server.hear())}/"
        async with contextlib.AsyncExitStack() as stack:
            sessions = [
                resilient_ws.connect(url, name=f"session-{number}")
                for number in range(count)
            ]
            for session in sessions:
                await stack.enter_async_context(session)
            for session in sessions:
                await session.ping()
            if freeze:
                gc.collect()
                gc.freeze()
            try:
                return {**await _read(sessions), "frozen": freeze}
            finally:
                gc.unfreeze()


async def _read(sessions: list[resilient_ws.Session]) -> dict[str, Any]:
    registry = prometheus_client.CollectorRegistry()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    collector = SessionCollector(sessions)
    # Each has a task for callbacks from now on, and a time series of its pings.
    for session in sessions:
        await session.ping()
    gc.collect()
    memory = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    registry.register(collector)
    reader = InMemoryMetricReader()
    meter = SessionMeter(sessions, meter_provider=MeterProvider([reader]))
    for session in sessions:
        await session.ping()
    late = Lateness()
    watching = asyncio.create_task(late.watch())
    ways: dict[str, Callable[[], Any]] = {
        "prometheus": lambda: prometheus_client.generate_latest(registry),
        "otel": reader.get_metrics_data,
    }
    rounds: dict[str, list[dict[str, float]]] = {
        way: [] for way in ("loop", "garbage", *ways)
    }
    for _ in range(ROUNDS):
        rounds["loop"].append(timed(collector._watch._snapshots))
        rounds["garbage"].append(timed(gc.collect))
        # Long enough for the task to see that, and to forget it.
        await asyncio.sleep(0.05)
        late.take()
        for way, work in ways.items():
            figures = await asyncio.to_thread(timed, work)
            await asyncio.sleep(0.002)
            rounds[way].append({**figures, "late": late.take() * 1e3})
    watching.cancel()
    text: bytes = prometheus_client.generate_latest(registry)
    meter.close()
    collector.close()
    lines = [one for one in text.splitlines() if not one.startswith(b"#")]
    return {
        "count": len(sessions),
        "series": len(lines),
        "bytes": len(text),
        "memory": memory / len(sessions),
        **{way: _medians(taken) for way, taken in rounds.items()},
    }


def _medians(taken: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in taken) for name in taken[0]}
