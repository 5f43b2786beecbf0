"""The parts of docs/observability.md that a command writes."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import pathlib
import platform
import re
import subprocess
import sys
import textwrap
from typing import Any, Final

import yaml

from benchmarks.instruments.cost import INTERVAL, ROUNDS
from benchmarks.instruments.logs import WAYS
from resilient_ws.instruments import ERROR_TYPES, METRICS
from resilient_ws.instruments.metric import label


ROOT: Final = pathlib.Path(__file__).parent.parent.parent
PAGE: Final = ROOT / "docs" / "observability.md"
ALERTS: Final = ROOT / "docs" / "observability" / "alerts.yml"
PACKAGES: Final = ("prometheus-client", "opentelemetry-sdk", "structlog")


def block(name: str, text: str, page: str) -> str:
    """Put a text between the marks of a block of the page."""
    marked = re.compile(
        rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL
    )
    changed, count = marked.subn(
        lambda found: f"{found[1]}\n{text.strip()}\n\n{found[2]}", page
    )
    if count != 1:
        raise ValueError(f"{PAGE} has {count} blocks that are called {name}")
    return changed


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def metrics() -> str:
    """Return the table of the metrics."""
    heads = ["OpenTelemetry", "Prometheus", "kind", "unit", "what", "read from"]
    rows = [
        [
            f"`{metric.name}`",
            f"`{metric.prometheus_name}`",
            metric.kind.value,
            f"`{metric.unit}`",
            metric.summary + _more(metric.attributes),
            f"`{metric.source}`",
        ]
        for metric in METRICS
    ]
    return table(heads, rows)


def _more(attributes: tuple[str, ...]) -> str:
    if not attributes:
        return ""
    return " By " + " and ".join(f"`{label(one)}`" for one in attributes) + "."


def errors() -> str:
    rows = [[f"`{word}`", meaning] for word, meaning in ERROR_TYPES.items()]
    return table(["`error.type`", "what it means"], rows)


def alerts() -> str:
    """Return the table of the alerts."""
    rules = [
        rule
        for group in yaml.safe_load(ALERTS.read_text())["groups"]
        for rule in group["rules"]
    ]
    rows = [
        [
            f"`{rule['alert']}`",
            "`" + rule["expr"].replace("|", "\\|") + "`",
            rule.get("for", ""),
            rule["labels"]["severity"],
            rule["annotations"]["description"],
        ]
        for rule in rules
    ]
    return table(["alert", "fires while", "for", "severity", "what then"], rows)


def log(way: str) -> str:
    """Return how a log is set up, and what came of it."""
    source = inspect.getsource(WAYS[way]).split("\n", 1)[1]
    written = subprocess.run(
        [sys.executable, "-m", "benchmarks.instruments.logs", way],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stderr
    setup = f"```python\n{textwrap.dedent(source).strip()}\n```"
    return f"{setup}\n\n```text\n{written.strip()}\n```"


def cost(figures: list[dict[str, Any]]) -> str:
    """Return the table of what a reading costs."""
    heads = ["sessions", "time series", "on the loop", "loop late", "in the thread"]
    heads += ["text", "OpenTelemetry: in the thread", "loop late", "of a core"]
    heads += ["memory for a session", "garbage"]
    rows = [
        [
            f"{one['count']:,}" + (", after `gc.freeze()`" if one["frozen"] else ""),
            f"{one['series']:,}",
            f"{one['loop']['cpu']:.2f} ms",
            f"{one['prometheus']['late']:.0f} ms",
            f"{one['prometheus']['cpu']:.1f} ms",
            f"{one['bytes'] / 1024:,.0f} KiB",
            f"{one['otel']['cpu']:.1f} ms",
            f"{one['otel']['late']:.0f} ms",
            f"{_share(one):.2f} %",
            f"{one['memory'] / 1024:.1f} KiB",
            f"{one['garbage']['cpu']:.0f} ms",
        ]
        for one in figures
    ]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    how = (
        f"Written by `make bench-instruments`: medians of {ROUNDS} rounds, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, load average "
        f"{os.getloadavg()[0]:.1f}; {', '.join(versions)}. Times are of the CPU, but "
        "*loop late*: that is how late a task came, at the most, that wanted to run "
        "each millisecond, because the thread held the interpreter, or another program "
        f"the core. *Of a core*: a scrape by Prometheus every {INTERVAL:.0f} s, thread "
        "and loop. *Memory* is what a `SessionCollector` adds: callbacks, their task, "
        "and histograms. *Garbage*: how long Python stands still when it looks at each "
        "object there is, which the many objects of a scrape bring on now and then; "
        "`gc.freeze()`, called once the sessions are open, makes that short."
    )
    return f"{how}\n\n{table(heads, rows)}"


def _share(one: dict[str, Any]) -> float:
    """Return the share of a core that scraping takes, in percent."""
    milliseconds: float = one["prometheus"]["cpu"] + one["loop"]["cpu"]
    return milliseconds / (INTERVAL * 1e3) * 100


def written(page: str, figures: list[dict[str, Any]] | None) -> str:
    """Return the page with its blocks made anew; without figures, the tables alone."""
    page = block("metrics", metrics(), page)
    page = block("errors", errors(), page)
    page = block("alerts", alerts(), page)
    if figures is not None:
        for way in WAYS:
            page = block(f"log {way}", log(way), page)
        page = block("cost", cost(figures), page)
    return page
