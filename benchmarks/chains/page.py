"""The page of the figures: ``docs/chains-speed.md``."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
from typing import Any, Final


PACKAGES: Final = ("aiohttp", "msgspec", "web3", "websockets")

HOW: Final = """\
anvil has the chain, on the same machine. Each run is a process of its own; the clients
take turns, in an order that alternates, so that what disturbs the machine disturbs all.
*Blocks a second* and *CPU* (of the client) are medians of the rounds, with the range
they lay in. Calls are counted in a run of their own, through a proxy.

`evm.logs` comes as it is: each answer is checked, and the block behind each range is
asked for, which proves that the node had it. The last 64 blocks are not final on anvil,
so each of them is asked for with its header. *web3.py, get_logs* asks for one range of
2,000 blocks after the other, and believes what comes; *block and receipts* asks for
each block and its receipts, 16 at once, as `verify="receipts"` does, and checks
nothing.
"""

LATE: Final = """\
How long after `evm_mine` was sent the first log of the block, or its head, is in the
hands of the consumer. The bare subscription is `websockets` and `json`; it notices no
hole, no reorganisation, and not whether a block is complete. `evm.logs` learns of the
block by its head, and then asks for its logs by the hash: one round trip more. Each
round has a new chain, because on a long one anvil makes and finds blocks ever slower.
Blocks come no faster, because anvil leaves Nagle's algorithm on: a block within 40 ms
of an answer is announced only when the answer has been acknowledged.
"""


def page(result: dict[str, Any]) -> str:
    """Return the page."""
    versions = ", ".join(f"{one} {importlib.metadata.version(one)}" for one in PACKAGES)
    load = ", ".join(f"{one:.1f}" for one in result["load"])
    blocks = result["blocks"]
    logs = max(one["logs"] for each in result["taken"].values() for one in each)
    live = result["live"]
    written = (
        f"Written by `make bench-chains` in {result['seconds']:.0f} s, in "
        f"{result['rounds']} rounds: Python {platform.python_version()}, {versions}, "
        f"{platform.machine()}; load {load}."
    )
    every = live["every"] * 1000
    lines = [
        "# Speed of chains",
        "",
        written,
        "",
        HOW,
        f"## Catching up: {blocks:,} blocks with {logs:,} logs",
        "",
        "| | calls a block | blocks a second | CPU, µs a block | logs |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, rounds in result["taken"].items():
        calls = sum(result["calls"][name].values()) / blocks
        speed = _ranged([blocks / one["wall"] for one in rounds])
        cpu = _ranged([one["cpu"] / blocks * 1e6 for one in rounds])
        found = {one["logs"] for one in rounds}
        told = "all" if found == {logs} else f"**{min(found):,}**"
        lines.append(f"| {name} | {calls:.3f} | {speed} | {cpu} | {told} |")
    lines += [
        "",
        f"## Live: {live['blocks']} blocks a round, one each {every:.0f} ms",
        "",
        LATE,
        "| | p50, ms | p99, ms |",
        "| --- | --- | --- |",
    ]
    for name, late in result["late"].items():
        cuts = statistics.quantiles(late, n=100)
        lines.append(f"| {name} | {cuts[49] * 1e3:.2f} | {cuts[98] * 1e3:.2f} |")
    return "\n".join([*lines, ""])


def _ranged(values: list[float]) -> str:
    middle = statistics.median(values)
    return f"{middle:,.0f} ({min(values):,.0f} to {max(values):,.0f})"
