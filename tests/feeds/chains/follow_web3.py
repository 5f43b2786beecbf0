"""A bot on web3.py: ``python -m tests.feeds.chains.follow_web3 URL TOPIC``.

As web3.py's pages on subscriptions and on the WebSocket provider say, with the one form
that they have for drops: ``async for w3 in AsyncWeb3(...)``. It tells what it was given,
a JSON object a line. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from web3 import AsyncWeb3, WebSocketProvider
from web3.exceptions import Web3Exception
from web3.utils.subscriptions import LogsSubscription, NewHeadsSubscription
from websockets.exceptions import ConnectionClosed

from tests.servers import behaviour


async def on_head(context: Any) -> None:
    head = context.result
    behaviour.log("block", number=head["number"], hash="0x" + bytes(head["hash"]).hex())


async def on_log(context: Any) -> None:
    log = context.result
    behaviour.log(
        "log",
        hash="0x" + bytes(log["blockHash"]).hex(),
        index=log["logIndex"],
        removed=bool(log.get("removed")),
    )


async def follow(url: str, topic: str) -> None:
    # Their default would notice a black hole after five minutes.
    pings = {"ping_interval": 1, "ping_timeout": 2}
    async for w3 in AsyncWeb3(WebSocketProvider(url, websocket_kwargs=pings)):
        try:
            manager = w3.subscription_manager
            heads = NewHeadsSubscription(handler=on_head)
            logs = LogsSubscription(topics=[topic], handler=on_log)
            await manager.subscribe([heads, logs])
            behaviour.log("ready")
            await manager.handle_subscriptions()
        except (ConnectionClosed, Web3Exception) as error:
            behaviour.log("trouble", why=f"{type(error).__name__}: {error}")


async def main(url: str, topic: str) -> None:
    following = asyncio.create_task(follow(url, topic))
    ending = asyncio.create_task(behaviour.until_told_to_end())
    await asyncio.wait([following, ending], return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        error = following.exception()
        behaviour.log("died", why=f"{type(error).__name__}: {error}")
        await ending
    following.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
