"""What is measured, each run in a process: ``python -m benchmarks.chains.clients``.

It is given an order as JSON on its command line, and prints figures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import websockets
from web3 import AsyncWeb3, WebSocketProvider

import resilient_ws
from resilient_ws.feeds.evm import BlockLogs, Head, LogFilter, heads, logs
from resilient_ws.feeds.jsonrpc import Client


#: Blocks in a range that web3.py asks for: as our own limit is.
RANGE = 2_000
#: Calls of web3.py at once, where it asks for each block: as many as of ours.
WINDOW = 16
MAX_SIZE = 64 * 1024 * 1024

#: The number of a block, and how many logs it has.
Blocks: TypeAlias = AsyncIterator[tuple[int, int]]
Follow: TypeAlias = Callable[[str, str, int, int], Blocks]


def session(url: str) -> resilient_ws.Session:
    return resilient_ws.connect(url, max_message_size=MAX_SIZE)


def ours(verify: Any) -> Follow:  # noqa: ANN401 - one of its levels
    async def follow(url: str, address: str, after: int, through: int) -> Blocks:
        async with Client(session(url)) as client:
            stream = logs(
                client, LogFilter(address=address), verify=verify, after=after
            )
            async for item in stream:
                if isinstance(item, BlockLogs):
                    yield item.head.number, len(item.logs)
                if item.cursor.number >= through:  # type: ignore[union-attr]
                    return

    return follow


async def our_heads(url: str, address: str, after: int, through: int) -> Blocks:
    del address
    async with Client(session(url)) as client:
        async for item in heads(client, after=after):
            assert isinstance(item, Head)
            yield item.number, 1
            if item.number >= through:
                return


async def web3_ranges(url: str, address: str, after: int, through: int) -> Blocks:
    """As its documentation has it: one range after the other."""
    provider = WebSocketProvider(url, websocket_kwargs={"max_size": MAX_SIZE})
    async with AsyncWeb3(provider) as w3:
        to = w3.to_checksum_address(address)
        for first in range(after + 1, through + 1, RANGE):
            last = min(first + RANGE - 1, through)
            found = await w3.eth.get_logs(
                {"address": to, "fromBlock": first, "toBlock": last}
            )
            for log in found:
                yield log["blockNumber"], 1


async def web3_receipts(url: str, address: str, after: int, through: int) -> Blocks:
    """Each block with all its receipts, several at once."""
    provider = WebSocketProvider(url, websocket_kwargs={"max_size": MAX_SIZE})
    async with AsyncWeb3(provider) as w3:
        wanted = w3.to_checksum_address(address)

        async def one(number: int) -> tuple[int, int]:
            await w3.eth.get_block(number)
            receipts = await w3.eth.get_block_receipts(number)
            found = [
                log for r in receipts for log in r["logs"] if log["address"] == wanted
            ]
            return number, len(found)

        for first in range(after + 1, through + 1, WINDOW):
            last = min(first + WINDOW - 1, through)
            for found in await asyncio.gather(*map(one, range(first, last + 1))):
                yield found


async def web3_live(url: str, address: str, after: int, through: int) -> Blocks:
    del after
    async with AsyncWeb3(WebSocketProvider(url)) as w3:
        to = w3.to_checksum_address(address)
        await w3.eth.subscribe("logs", {"address": to})
        print("ready", flush=True)
        async for message in w3.socket.process_subscriptions():
            number = message["result"]["blockNumber"]
            yield number, 1
            if number >= through:
                return


async def bare(url: str, address: str, after: int, through: int) -> Blocks:
    """The subscription alone, over websockets: nothing is checked, nothing fetched."""
    del after
    async with websockets.connect(url, proxy=None) as ws:
        params = ["logs", {"address": address}]
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe"}
        await ws.send(json.dumps({**request, "params": params}))
        await ws.recv()
        print("ready", flush=True)
        async for message in ws:
            number = int(json.loads(message)["params"]["result"]["blockNumber"], 16)
            yield number, 1
            if number >= through:
                return


CATCHING_UP: dict[str, Follow] = {
    'evm.logs, verify="hash"': ours("hash"),
    'evm.logs, verify="bloom"': ours("bloom"),
    'evm.logs, verify="receipts"': ours("receipts"),
    "web3.py, get_logs": web3_ranges,
    "web3.py, block and receipts": web3_receipts,
}
LIVE: dict[str, Follow] = {
    "evm.logs": ours("bloom"),
    "evm.heads": our_heads,
    "bare eth_subscribe": bare,
    "web3.py, subscribe": web3_live,
}


async def catch_up(order: dict[str, Any]) -> dict[str, float]:
    """Read as fast as it comes."""
    follow = CATCHING_UP[order["name"]]
    found = 0
    cpu, wall = time.process_time(), time.perf_counter()
    blocks = follow(order["url"], order["address"], order["after"], order["through"])
    async for _, count in blocks:
        found += count
    return {
        "logs": found,
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
    }


async def live(order: dict[str, Any]) -> dict[str, Any]:
    """Note when each block came: the clock is one for all processes."""
    follow = LIVE[order["name"]]
    arrived: dict[int, float] = {}
    after, through = order["after"], order["through"]
    async for number, _ in follow(order["url"], order["address"], after, through):
        arrived.setdefault(number, time.monotonic())
        if len(arrived) == 1:
            print("ready", flush=True)
    return {"arrived": arrived}


def main(arguments: Sequence[str]) -> None:
    order = json.loads(arguments[0])
    work: Awaitable[dict[str, Any]] = live(order) if order["live"] else catch_up(order)

    async def run() -> dict[str, Any]:
        return await work

    print(json.dumps(asyncio.run(run())))


if __name__ == "__main__":
    main(sys.argv[1:])
