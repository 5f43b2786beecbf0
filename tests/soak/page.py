"""The report of a run: for the screen, as JSON, and as a page of the documentation."""

from __future__ import annotations

import collections
import platform
from collections.abc import Sequence
from typing import Any

import attrs

from tests.soak.script import PING_INTERVAL, PING_TIMEOUT, Act
from tests.soak.verdict import Spread, Verdict


@attrs.frozen(kw_only=True)
class Report:
    """A run, and all that it came to. Memory is in MiB."""

    seed: int
    minutes: float
    sessions: list[str]
    script: Sequence[Act]
    verdict: Verdict
    leaked_tasks: int
    leaked_sockets: int
    memory: Sequence[float]

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return not self.verdict.violations

    def json(self) -> dict[str, Any]:
        """All of it, the script and every violation included."""
        return {
            **attrs.asdict(self, filter=lambda a, _: a.name != "script"),
            "passed": self.passed,
            "script": [str(act) for act in self.script],
        }


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f} s"


def _spread(spread: Spread) -> str:
    return (
        f"{_seconds(spread.median)} / {_seconds(spread.ninety_ninth)} / "
        f"{_seconds(spread.longest)} ({spread.count})"
    )


def _rows(report: Report) -> list[tuple[str, str]]:
    verdict, counts = report.verdict, report.verdict.counts
    how = ", ".join(f"{name} {n}" for name, n in sorted(verdict.how.items()))
    return [
        ("sessions, minutes", f"{len(report.sessions)}, {report.minutes:g}"),
        ("faults", f"{len(report.script)}"),
        ("outages (connections lost while open)", f"{verdict.outages}: {how}"),
        ("attempts that failed", f"{verdict.attempts_failed}"),
        (
            "silence noticed after, median / 99th / longest (count)",
            _spread(verdict.noticed),
        ),
        (
            "open again after the fault, median / 99th / longest (count)",
            _spread(verdict.recovered),
        ),
        ("false alarms", f"{verdict.false_alarms}"),
        ("event loop late (reported, no drop)", f"{verdict.loop_lags}"),
        ("messages sent", f"{counts.sent}"),
        ("arrived", f"{counts.arrived}"),
        ("echoed back to the session", f"{counts.echoed}"),
        ("`send` refused or cancelled", f"{counts.refused}"),
        ("reported unsent (expired, dropped)", f"{counts.told_lost}"),
        ("reported as perhaps delivered", f"{counts.told_maybe}"),
        ("written, not arrived, counted as `unconfirmed`", f"{counts.missing}"),
        (
            "confirmed by the endpoint, never taken by its application",
            f"{counts.confirmed_untaken}",
        ),
        ("echoes lost, each behind an `Interruption`", f"{counts.lost_inbound}"),
        ("repeated by `resend=True`", f"{counts.repeated}"),
        ("doubled", f"{counts.doubled}"),
        ("tasks, sockets left", f"{report.leaked_tasks}, {report.leaked_sockets}"),
        (
            "resident memory at each fifth of the run, MiB",
            ", ".join(f"{size:.1f}" for size in report.memory),
        ),
        ("promises broken", f"{len(verdict.violations)}"),
    ]


def text(report: Report) -> str:
    """For the screen."""
    rows = _rows(report)
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}  {value}" for name, value in rows]
    lines += [f"VIOLATION {what}" for what in report.verdict.violations]
    return "\n".join(lines)


def markdown(report: Report) -> str:
    """For the documentation."""
    table = "\n".join(f"| {name} | {value} |" for name, value in _rows(report))
    names = collections.Counter(act.name for act in report.script)
    faults = "\n".join(f"| {name} | {n} |" for name, n in sorted(names.items()))
    return f"""# Soak

Written by `make soak MINUTES={report.minutes:g} SEED={report.seed}` on Python
{platform.python_version()}; every figure is of that run. Sessions send numbered
messages to servers of other hands (`websockets`, aiohttp, node's `ws`), each through a
`resilient_ws.testing.FaultProxy` of its own, and read the echoes. Faults come at random
from the seed, to the proxies and to the servers. The servers log what arrived; both
sides are compared, number by number.

Of each server three sessions: `confirm="write"`, `confirm="pong"`, and
`confirm="pong"` with `resend=True`. Liveness is `ping_interval={PING_INTERVAL:g}`,
`ping_timeout={PING_TIMEOUT:g}`.

| | |
| --- | --- |
{table}

A *false alarm* is a connection lost that met no fault which may end one. Recovery is
counted from the loss, or from the end of the faults in the way if that is later, and
holds the random wait of the backoff.

A run is broken, and `make soak` fails, when a message is doubled (but by `resend`), out
of order, missing in the middle of a connection, missing and neither reported nor
counted, transmitted after it was reported unsent; when a link is lost without a fault,
or a silent one noticed late; when a session is not back, or does not close cleanly,
after the last fault; when a task or a socket is left; or when memory grows.

## The faults

*short* ones, delays, low rates and dribbling must be survived by every connection.

| fault | times |
| --- | --- |
{faults}
"""
