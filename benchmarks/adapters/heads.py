"""web3.py beside itself: heads over cut connections, and what waiting costs.

``python -m benchmarks.adapters.heads [--write docs/adapters/web3-measured.md]``: both
providers do the same, one after the other, in processes of their own, against one real
anvil.
"""

# ruff: noqa: ANN401 - web3 gives most of it no types
from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import pathlib
import sys
import tempfile
import time
from typing import Any, Final

from web3 import AsyncWeb3, WebSocketProvider
from websockets.exceptions import ConnectionClosed

from benchmarks.adapters.contest import WAYS
from benchmarks.adapters.program import ROOT
from resilient_ws import Liveness, connect
from resilient_ws.adapters.web3 import ResilientProvider
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import FaultProxy, Reset
from tests.servers.daemons import Anvil


HEADS: Final = 50
CONNECTIONS: Final = 4
#: Blocks that are mined while a client is connected, and while it is not.
STEADY: Final = 8
AWAY: Final = 5
#: Seconds of a call that waits, and of a client that has given up on heads.
WAIT: Final = 8.0
PATIENCE: Final = 20.0

_PAGE: Final = """# web3.py: heads and waiting, measured

Written by `make adapters`. Do not edit: it is overwritten.

One anvil, and the same program with either provider. *Heads*: {heads} blocks are mined,
and the connection is reset {cuts} times, each time with {away} blocks mined before the
client is back; they come through `subscription_manager`. *Waiting*: one call waits
{wait:.0f} s for a node that is stopped with `SIGSTOP`; the share of the time that the
process ran, of all the time in which there was a core for it.

| provider | heads received | connections | a pending call |
| --- | --- | ---: | ---: |
{rows}

web3.py {version}.
"""
_NAMES: Final = {"alone": "`WebSocketProvider`", "ours": "`ResilientProvider`"}


def provider(way: str, url: str) -> Any:
    if way == "alone":
        return WebSocketProvider(url)
    # As patient as the other, so that the freeze is one pending call for both.
    liveness = Liveness(ping_interval=30, ping_timeout=300)
    return ResilientProvider(lambda: Client(connect(url, liveness=liveness)))


async def count_heads(way: str, anvil: Anvil) -> dict[str, Any]:
    """Mine, cut, and count what comes."""
    heads: list[int] = []

    async def on_head(context: Any) -> None:
        heads.append(context.result["number"])

    async def follow() -> None:
        async for w3 in AsyncWeb3(provider(way, proxy.url())):
            try:
                await w3.eth.subscribe("newHeads", handler=on_head)
                subscribed.set()
                await w3.subscription_manager.handle_subscriptions()
            except ConnectionClosed:
                continue

    subscribed = asyncio.Event()
    async with (
        FaultProxy("127.0.0.1", anvil.port) as proxy,
        AsyncWeb3(provider("ours", anvil.url)) as miner,
    ):
        first = await miner.eth.block_number + 1
        following = asyncio.create_task(follow())
        await subscribed.wait()
        for cut in range(CONNECTIONS):
            subscribed.clear()
            last = HEADS - (CONNECTIONS - 1) * (STEADY + AWAY)
            await _mine(miner, STEADY if cut < CONNECTIONS - 1 else last)
            newest = await miner.eth.block_number
            await _until(lambda seen=newest: seen in heads)
            if cut < CONNECTIONS - 1:
                proxy.connections[-1].apply(Reset())
                await _mine(miner, AWAY)
                await proxy.arrivals(cut + 2)
                if way == "alone":
                    await subscribed.wait()  # else it has subscribed all the time
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        made = set(range(first, first + HEADS))
        return {"heads": len(made & set(heads)), "connections": proxy.accepted}


async def cost_of_waiting(way: str, anvil: Anvil) -> float:
    """Return the share of a core that one pending call takes."""
    async with AsyncWeb3(provider(way, anvil.url)) as w3:
        await w3.eth.block_number
        await anvil.freeze()
        call = asyncio.create_task(w3.eth.get_block("latest"))
        await asyncio.sleep(0.5)
        ran, waited, since = *_schedule(), time.monotonic()
        await asyncio.sleep(WAIT)
        wall = time.monotonic() - since
        until = _schedule()
        share = (until[0] - ran) / (wall - (until[1] - waited))
        await anvil.thaw()
        await call
    return share


def _schedule() -> tuple[float, float]:
    """Return the seconds that we ran, and that we waited for a core that others had."""
    ran, waited, _ = pathlib.Path("/proc/self/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


async def _mine(miner: AsyncWeb3[Any], blocks: int) -> None:
    request: Any = miner.provider.make_request
    for _ in range(blocks):
        await request("evm_mine", [])


async def _until(condition: Any) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - what it looks at tells nobody
                await asyncio.sleep(0.01)


async def measure(way: str) -> dict[str, Any]:
    """Measure one provider."""
    with tempfile.TemporaryDirectory() as folder:
        async with Anvil(pathlib.Path(folder), "--no-mining") as anvil:
            found = await count_heads(way, anvil)
            return {**found, "waiting": await cost_of_waiting(way, anvil)}


async def main() -> None:
    """Measure both, each in a process of its own, and write the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.adapters.heads")
    parser.add_argument("--write", type=pathlib.Path, help="the page to write")
    parser.add_argument("--way", choices=WAYS, help="measure one, and print it")
    arguments = parser.parse_args()
    if arguments.way is not None:
        print(json.dumps(await measure(arguments.way)))
        return
    rows = []
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.adapters.heads", "--way", way]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        found = json.loads(output.splitlines()[-1])
        rows.append(
            f"| {_NAMES[way]} | {found['heads']} of {HEADS} | {found['connections']} "
            f"| {found['waiting']:.1%} |"
        )
        print(rows[-1], flush=True)
    if arguments.write is not None:
        page = _PAGE.format(
            heads=HEADS,
            cuts=CONNECTIONS - 1,
            away=AWAY,
            wait=WAIT,
            rows="\n".join(rows),
            version=importlib.metadata.version("web3"),
        )
        arguments.write.write_text(page)


if __name__ == "__main__":
    asyncio.run(main())
