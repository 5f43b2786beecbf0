"""web3.py: heads through its subscription manager, from a real anvil.

The program is the one that web3's documentation gives for connections that break. Its
handler asks for the balance at each block, so that a call waits when the node does not
answer.
"""

# ruff: noqa: ANN401 - the libraries give most of it no types
from __future__ import annotations

import asyncio
import json
import os
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from websockets import connect as dial

from benchmarks.adapters.contest import Contest
from benchmarks.adapters.program import ROOT, say
from tests.servers.daemons import Anvil


if TYPE_CHECKING:
    from collections.abc import Sequence


STATES: Final = ROOT / ".cache" / "adapters"
#: Seconds after which no play needs a chain any more.
LONG_AGO: Final = 3600
SOMEBODY: Final[Any] = "0x" + "00" * 20


async def blocks(port: int) -> Sequence[int]:
    """Return the numbers of all blocks that the node has."""
    async with dial(f"ws://127.0.0.1:{port}") as node:
        ask = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
        await node.send(json.dumps(ask))
        answer = json.loads(await node.recv())
    return range(int(answer["result"], 16))  # the newest may be on its way


CONTEST: Final = Contest(
    name="web3",
    title="web3.py",
    packages=("web3", "websockets"),
    program="`async for w3 in AsyncWeb3(...)` with `subscription_manager`, whose "
    "handler makes a call for each head; anvil makes five blocks a second. A node that "
    "was killed may have lost its newest blocks, and makes others with their numbers.",
    made=blocks,
)


def server(port: int) -> None:
    """Become an anvil that keeps its chain over a kill."""
    STATES.mkdir(parents=True, exist_ok=True)
    for old in STATES.iterdir():
        if time.time() - old.stat().st_mtime > LONG_AGO:
            old.unlink(missing_ok=True)
    anvil = Anvil(pathlib.Path(STATES), "--block-time", "0.2")
    command = [part.replace(str(anvil.port), str(port)) for part in anvil.command]
    where = command.index("--state") + 1
    # One file for each play: a play has a parent of its own.
    command[where] = str(STATES / f"chain-{os.getppid()}-{port}.json")
    os.execv(command[0], command)


def provider(way: str, url: str) -> Any:
    if way == "ours":
        from resilient_ws import Liveness, connect  # noqa: PLC0415
        from resilient_ws.adapters.web3 import ResilientProvider  # noqa: PLC0415
        from resilient_ws.feeds.jsonrpc import Client  # noqa: PLC0415

        liveness = Liveness(ping_interval=2, ping_timeout=2)
        return ResilientProvider(lambda: Client(connect(url, liveness=liveness)))
    from web3 import WebSocketProvider  # noqa: PLC0415

    keepalive = {"ping_interval": 2, "ping_timeout": 2}
    return WebSocketProvider(url, websocket_kwargs=keepalive)


async def program(way: str, url: str) -> None:
    # Here, because the server needs none of it, and importing web3 takes seconds.
    from web3 import AsyncWeb3  # noqa: PLC0415
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

    async def on_head(context: Any) -> None:
        say("got", context.result["number"])
        await context.async_w3.eth.get_balance(SOMEBODY)

    # The one line that differs.
    async for w3 in AsyncWeb3(provider(way, url)):
        try:
            await w3.eth.subscribe("newHeads", handler=on_head)
            await w3.subscription_manager.handle_subscriptions()
        except ConnectionClosed:
            continue


if __name__ == "__main__":
    role, where = sys.argv[1:]
    if role == "server":
        server(int(where))
    else:
        asyncio.run(program(role, where))
