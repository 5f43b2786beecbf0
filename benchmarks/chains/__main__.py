"""Logs of a chain, beside web3.py: caught up with, and followed live.

    python -m benchmarks.chains [--rounds 5] [--write docs/chains-speed.md]

anvil has the chain. Each run is a process of its own; the clients take turns, in an
order that alternates. Calls are counted in a run of their own, through a proxy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pathlib
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from benchmarks.chains.clients import CATCHING_UP, LIVE
from benchmarks.chains.page import page
from tests.feeds.evm.emitter import Emitter
from tests.feeds.evm.limited import LimitedNode
from tests.servers.daemons import Anvil


if TYPE_CHECKING:
    from collections.abc import Iterable


#: Logs of the transactions, in turn: one for each block, or none.
COUNTS = (0, 1, 0, 2, 0, 3, 0, 0, 4, 0, 1, 0, 36, 1, 0, 16)
#: Blocks of a live run, and seconds between two. anvil leaves Nagle's algorithm on:
#: what it has to say within 40 ms of an answer waits until the client's system has
#: acknowledged the answer, and the wait is all that one would measure.
LIVE_BLOCKS = 200
EVERY = 0.05


async def started(order: dict[str, Any]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.chains.clients", json.dumps(order)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=2**24,
    )


async def catch_up(name: str, url: str, address: str, through: int) -> dict[str, Any]:
    order = {"name": name, "url": url, "address": address, "live": False}
    process = await started({**order, "after": 1, "through": through})
    printed, _ = await process.communicate()
    figures: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return figures


async def counted(name: str, port: int, address: str, through: int) -> dict[str, int]:
    """Return the calls of a run, by method."""
    async with LimitedNode(port) as proxy:
        await catch_up(name, proxy.url, address, through)
        return dict(proxy.calls)


async def live(name: str, node: Emitter, url: str) -> list[float]:
    """Return how late each block came, in seconds after it was asked to be mined."""
    tip, _ = await node.tip()
    order = {"name": name, "url": url, "address": node.address, "live": True}
    # A stream of ours begins with the newest block, and is ready when it has told it.
    process = await started({**order, "after": tip - 1, "through": tip + LIVE_BLOCKS})
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"ready", name
    mined = {}
    for number in range(tip + 1, tip + LIVE_BLOCKS + 1):
        await asyncio.sleep(EVERY)
        await node.send(1)
        mined[number] = time.monotonic()
        await node.mine()
    async with asyncio.timeout(30):
        rest = await process.stdout.read()
        await process.wait()
    arrived = json.loads(rest.splitlines()[-1])["arrived"]
    return [arrived[str(number)] - at for number, at in mined.items()]


async def caught_up(blocks: int, rounds: int) -> dict[str, Any]:
    """Count and time how each catches up with one long chain."""
    with tempfile.TemporaryDirectory() as folder:
        anvil = Anvil(pathlib.Path(folder), "--no-mining", dump_every=3_600)
        async with anvil, Emitter(anvil.url) as node:
            await node.emit_fast(*(COUNTS[n % len(COUNTS)] for n in range(blocks)))
            through, _ = await node.tip()
            wanted = (anvil.url, node.address, through)
            calls = {
                name: await counted(name, anvil.port, node.address, through)
                for name in CATCHING_UP
            }
            taken: dict[str, list[dict[str, Any]]] = {name: [] for name in CATCHING_UP}
            for turn in range(rounds):
                for name in _in_turn(CATCHING_UP, turn):
                    taken[name].append(await catch_up(name, *wanted))
    return {"calls": calls, "taken": taken}


async def followed_live(rounds: int) -> dict[str, list[float]]:
    """Time how each follows a chain that is new in each round.

    On a long chain anvil takes ever longer to make a block, and to find one.
    """
    late: dict[str, list[float]] = {name: [] for name in LIVE}
    for turn in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            anvil = Anvil(pathlib.Path(folder), "--no-mining", dump_every=3_600)
            async with anvil, Emitter(anvil.url) as node:
                for name in _in_turn(LIVE, turn):
                    late[name] += await live(name, node, anvil.url)
    return late


def _in_turn(names: Iterable[str], turn: int) -> list[str]:
    return list(names) if turn % 2 else list(reversed(list(names)))


async def run(blocks: int, rounds: int) -> dict[str, Any]:
    """Measure everything."""
    began, loads = time.time(), [os.getloadavg()[0]]
    caught = await caught_up(blocks, rounds)
    loads.append(os.getloadavg()[0])
    late = await followed_live(rounds)
    return {
        **caught,
        "blocks": blocks,
        "rounds": rounds,
        "seconds": time.time() - began,
        "load": [*loads, os.getloadavg()[0]],
        "late": late,
        "live": {"blocks": LIVE_BLOCKS, "every": EVERY},
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.chains", description=__doc__)
    parser.add_argument("--blocks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    options = parser.parse_args()
    written = page(asyncio.run(run(options.blocks, options.rounds)))
    print(written)
    if options.write is not None:
        options.write.write_text(written)


if __name__ == "__main__":
    main()
