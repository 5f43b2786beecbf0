"""The page of the figures: ``docs/feeds-speed.md``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from typing import Any, Final


US: Final = "feeds, msgspec"
HAND: Final = ("by hand over aiohttp, msgspec", "by hand over aiohttp, json")
PACKAGES: Final = ("aiohttp", "msgspec", "web3", "python-socketio")
#: Notifications a second, of trades with msgspec, and times what by hand does.
AIM: Final = 150_000
AIM_BY_HAND: Final = 2.0

HOW: Final = """\
A server in a process of its own answers one subscription and then sends the same
notifications to each client. Each client is a process of its own; they take turns, in
an order that alternates, so that what disturbs the machine disturbs all. Server and
client are held on a core each. What is shown is the CPU time of the client for each
item, from the answer to its subscription to the last item taken, the kernel's on its
behalf included: the median of the rounds, and between which figures they lay. *Items a
second* is how many of them a core would take that did nothing else. A ratio is the
median of those within a round.

*feeds* is `resilient_ws.feeds.jsonrpc.Client` as it comes: calls, keys, a bounded
buffer, and a look at the number of each item, so that a hole is filled or told. *Bare
session* decodes each message and looks at nothing. *By hand* is what a program has
that does it over aiohttp: calls by their ids, keys, a bounded queue, the numbers; it
does not reconnect, and fills nothing; with `json`, as most such programs are, and with
msgspec. web3.py makes bytes of each hash, and an object
of each log. python-socketio has a protocol and a server of its own, and starts a task
for each event; its items are as long.

Fair to all: no compression, the same bytes from the same server, one loop that takes
the items, garbage collected before each run. web3.py and python-socketio get fewer
items, because they take longer for each.
"""


def page(result: dict[str, Any]) -> str:
    """Return the page."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    load = ", ".join(f"{one:.1f}" for one in result["load"])
    written = (
        f"Written by `make bench-feeds ARGS='--rounds {result['rounds']} --scale "
        f"{result['scale']:g}'` in {result['seconds']:.0f} s: Python "
        f"{platform.python_version()}, "
        f"{os.cpu_count()} cores; {', '.join(versions)}. The load average of the "
        f"machine was {load} before it and after each section; above 2 it had other "
        "work than this, and the figures spread: times and delays most, CPU least.\n"
    )
    parts = ["# Speed of feeds\n", written, *verdicts(result), "## How\n", HOW]
    for kind, taken in result["throughput"].items():
        size = result["sizes"][kind]
        title = f"## Notifications into one subscription: a {kind} of {size} bytes\n"
        parts += [title, *table(taken)]
    parts += [
        f"## Delay, at {result['rate']:,} trades a second\n",
        *delays(result["delay"]),
    ]
    return "\n".join(parts)


def figures(taken: list[dict[str, float]], what: str) -> list[float]:
    return [figure[what] for figure in taken]


def ratio(taken: dict[str, list[dict[str, float]]], name: str) -> float:
    """How much more CPU a client takes than ours: the median of the rounds."""
    pairs = zip(figures(taken[name], "cpu"), figures(taken[US], "cpu"), strict=True)
    return statistics.median(theirs / ours for theirs, ours in pairs)


def verdicts(result: dict[str, Any]) -> list[str]:
    """Hold the aims against the figures."""
    trades = result["throughput"]["trade"]
    rate = 1e6 / statistics.median(figures(trades[US], "cpu"))
    lines = [_verdict(f"{rate:,.0f} notifications a second of CPU", AIM, rate)]
    for name in HAND:
        times = ratio(trades, name)
        lines.append(
            _verdict(f"{times:.2f} times as many as {name}", AIM_BY_HAND, times)
        )
    return [*lines, ""]


def _verdict(what: str, aim: float, is_: float) -> str:
    return f"- {'Reached' if is_ >= aim else '**Missed**'}: {what} (aim {aim:,g})."


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(taken: dict[str, list[dict[str, float]]]) -> list[str]:
    rows = [
        "| client | CPU, µs an item | items a second | time, µs an item | times ours |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, runs in taken.items():
        cpu = figures(runs, "cpu")
        rows.append(
            f"| {name} | {spread(cpu)} | {1e6 / statistics.median(cpu):,.0f} | "
            f"{spread(figures(runs, 'wall'))} | {ratio(taken, name):.2f} |"
        )
    return [*rows, ""]


def delays(taken: dict[str, list[dict[str, float]]]) -> list[str]:
    rows = [
        "From just before the server writes an item to the consumer that has it.\n",
        "| client | median, µs | 99 of 100 within, µs |",
        "| --- | ---: | ---: |",
    ]
    for name, runs in taken.items():
        p50, p99 = figures(runs, "p50"), figures(runs, "p99")
        rows.append(f"| {name} | {_whole(p50)} | {_whole(p99)} |")
    bare = figures(taken["bare session, msgspec"], "p99")
    ours = figures(taken[US], "p99")
    added = statistics.median(b - a for a, b in zip(bare, ours, strict=True))
    rows.append(
        f"\nFeeds add {added:.0f} µs to what 99 of 100 items take through the session "
        "alone: the median of the differences within a round."
    )
    return [*rows, ""]


def _whole(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"
