"""Restart from an old cursor, against a provider with limits: calls, time and memory.

    python -m tests.feeds.evm.catch_up [--blocks 10000] [--write docs/chains-catch-up.md]

anvil has the chain, a proxy of ours before it refuses ranges as providers do and counts
calls, and the consumer is a process of its own. What it was told is compared with the
node's own logs, place by place.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pathlib
import platform
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import attrs

from resilient_ws import connect
from resilient_ws.feeds.evm import LogFilter, logs
from resilient_ws.feeds.jsonrpc import Client
from tests.feeds.evm.catcher import Places
from tests.feeds.evm.emitter import Emitter
from tests.feeds.evm.limited import LimitedNode
from tests.feeds.evm.told_logs import ToldLogs
from tests.servers.daemons import Anvil
from tests.servers.process import output_of


if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = (
    "limit",
    "verify",
    "logs",
    "gaps",
    "`eth_getLogs`",
    "refused",
    "blocks asked for",
    "receipts",
    "calls a block",
    "seconds",
    "blocks a second",
    "memory, MB",
)
#: Blocks before the cursor.
BEFORE = 80
#: Logs of the transactions, in turn: one for each block, or none.
COUNTS = (0, 1, 0, 2, 0, 3, 0, 0, 4, 0, 1, 0, 36, 1, 0, 16)


@attrs.frozen(kw_only=True)
class Provider:
    """A provider, and how its logs are verified."""

    name: str
    verify: str = "bloom"
    blocks: int | None = None
    results: int | None = None


PROVIDERS = (
    Provider(name="no limit"),
    Provider(name="no limit", verify="hash"),
    Provider(name="no limit", verify="receipts"),
    Provider(name="5 blocks", blocks=5),
    Provider(name="2,000 blocks", blocks=2_000),
    Provider(name="10,000 results", results=10_000),
    Provider(name="500 results", results=500),
)


@attrs.frozen(kw_only=True)
class Row:
    """What a restart came to."""

    provider: Provider
    calls: dict[str, int]
    refused: int
    told: dict[str, Any]
    equal: bool


async def cursor_of(url: str, address: str) -> str:
    """Follow the chain from its beginning through its newest block."""
    async with Client(connect(url)) as client:
        told = ToldLogs(0)
        stream = logs(client, LogFilter(address=address), after=0)
        await told.follow(stream, lambda: told.through > BEFORE)
        return str(told.cursor)


async def own_logs(node: Emitter, first: int, last: int) -> Places:
    """Return the places of the logs as the node itself has them."""
    places = Places()
    for begin in range(first, last + 1, 1_000):
        for one in await node.logs(begin, min(begin + 999, last)):
            places.add(*one)
    return places


async def restart(
    provider: Provider, node: LimitedNode, start: tuple[str, str, int], own: Places
) -> Row:
    """Catch up in a process of its own, through a proxy with limits."""
    address, cursor, last = start
    async with node:
        printed = await output_of(
            sys.executable,
            *("-m", "tests.feeds.evm.catcher"),
            *(node.url, address, cursor, str(last), provider.verify),
            within=600,
        )
    # Whatever was logged comes before it.
    told = json.loads(printed.splitlines()[-1])
    equal = (told["logs"], told["digest"]) == (own.count, str(own))
    calls = dict(node.calls)
    return Row(
        provider=provider, calls=calls, refused=node.refused, told=told, equal=equal
    )


def limited(provider: Provider, port: int) -> LimitedNode:
    """Return a proxy before a node that does as a provider."""
    return LimitedNode(port, blocks=provider.blocks, results=provider.results)


async def run(blocks: int, providers: Sequence[Provider] = PROVIDERS) -> list[Row]:
    """Make the chain, and catch up with it from a cursor as many blocks old."""
    with tempfile.TemporaryDirectory() as folder:
        anvil = Anvil(pathlib.Path(folder), "--no-mining", dump_every=3_600)
        async with anvil, Emitter(anvil.url) as node:
            await node.emit(*(n % 3 for n in range(BEFORE)))
            cursor = await cursor_of(anvil.url, node.address)
            first = (await node.tip())[0] + 1
            await node.emit_fast(*(COUNTS[n % len(COUNTS)] for n in range(blocks)))
            last, _ = await node.tip()
            own = await own_logs(node, first, last)
            start = (node.address, cursor, last)
            return [
                await restart(each, limited(each, anvil.port), start, own)
                for each in providers
            ]


def page(rows: list[Row], blocks: int, seconds: float) -> str:
    """Return the page."""
    count = rows[0].told["logs"]
    written = (
        f"Written by `make catch-up` in {seconds:.0f} s: Python "
        f"{platform.python_version()}, with anvil on the same machine "
        f"({platform.machine()})."
    )
    how = (
        f"A consumer of `evm.logs` restarts from a cursor that is {blocks:,} blocks old. "
        f"There are {count:,} logs in them, in every tenth block. "
        "A proxy of ours refuses ranges as providers do, in their words, and counts "
        "calls; the consumer is a process of its own. *Logs* says whether what it was "
        "told equals the node's own logs, place by place. *Memory* is what the process "
        "has after a tenth of the blocks and after the last, and the most that it had."
    )
    lines = [
        "# Catching up with a chain",
        "",
        written,
        "",
        how,
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{' --- |' * len(COLUMNS)}",
    ]
    for row in rows:
        told, calls = row.told, row.calls
        memory = told["memory"]
        asked = calls.get("eth_getBlockByNumber", 0) + calls.get(
            "eth_getBlockByHash", 0
        )
        cells = [
            row.provider.name,
            row.provider.verify,
            "equal" if row.equal else f"**differ** ({told['logs']:,})",
            f"{told['gaps']}",
            f"{calls.get('eth_getLogs', 0):,}",
            f"{row.refused}",
            f"{asked:,}",
            f"{calls.get('eth_getBlockReceipts', 0):,}",
            f"{sum(calls.values()) / blocks:.3f}",
            f"{told['seconds']:.1f}",
            f"{blocks / told['seconds']:,.0f}",
            f"{memory[1] / 1e6:.0f}, {memory[-1] / 1e6:.0f}, {told['peak'] / 1e6:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.feeds.evm.catch_up")
    parser.add_argument("--blocks", type=int, default=10_000)
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    options = parser.parse_args()
    began = time.monotonic()
    rows = asyncio.run(run(options.blocks))
    written = page(rows, options.blocks, time.monotonic() - began)
    print(written)
    if options.write is not None:
        options.write.write_text(written)
    wrong = [row for row in rows if not row.equal or row.told["gaps"]]
    sys.exit(f"{len(wrong)} rows are wrong" if wrong else 0)


if __name__ == "__main__":
    main()
