"""Tell an account's balance at each block of an EVM chain, for whoever keeps its books.

    anvil --block-time 1 &
    python examples/balances.py ws://127.0.0.1:8545 0xf39F...2266

The blocks that were missed during a drop are fetched, and come in their place. A
balance that the node does not tell within five seconds is left out.
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from resilient_ws import connect
from resilient_ws.feeds import FeedError, Gap, consecutive
from resilient_ws.feeds.jsonrpc import Client


def number_of(block: dict[str, Any]) -> int:
    return int(block["number"], 16)


def reads(method: str) -> bool:
    """Tell what may be executed twice, so that a drop only delays it."""
    return method.startswith("eth_get") or method == "eth_blockNumber"


async def main(url: str, account: str) -> None:
    async def missed(after: int, through: int | None) -> AsyncIterator[dict[str, Any]]:
        last = through or int(await client.call("eth_blockNumber"), 16)
        for number in range(after + 1, last + 1):
            yield await client.call("eth_getBlockByNumber", [hex(number), False])

    async with Client(connect(url), repeatable=reads) as client:
        heads = await client.subscribe(
            "eth_subscribe",
            ["newHeads"],
            unsubscribe="eth_unsubscribe",
            cursor_of=number_of,
            follows=consecutive(number_of),
            backfill=missed,
        )
        print("subscribed", flush=True)
        async for block in heads:
            if isinstance(block, Gap):
                print("missing from", block.first_missing, block.because, flush=True)
            else:
                at = block["number"]
                balance = client.call("eth_getBalance", [account, at], timeout=5)
                try:
                    told = f"{int(await balance, 16) / 10**18} ether"
                except FeedError as failure:  # an error, no answer, or not in time
                    told = f"unknown, {failure}"
                print(f"block {int(at, 16)}: {told}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("account")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(**vars(parser.parse_args())))
