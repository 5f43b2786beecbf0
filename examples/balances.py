"""Tell an account's balance at each block of an EVM chain, without a block left out.

    anvil --block-time 1 &
    python examples/balances.py ws://127.0.0.1:8545 0xf39F...2266

The blocks that were missed during a drop are fetched, and come in their place.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

from resilient_ws import connect
from resilient_ws.feeds import Gap, consecutive
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
                print(f"missing from {block.first_missing}: {block.because}")
            else:
                at = block["number"]
                balance = await client.call("eth_getBalance", [account, at])
                print(f"block {int(at, 16)}: {int(balance, 16) / 10**18} ether")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], sys.argv[2]))
