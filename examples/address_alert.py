"""Token transfers from and to an address, for a web server that wants to be told.

    python examples/address_alert.py URL 0x7099...79C8 folder/ https://example.com/hook

Each block with such transfers is posted at least once, also over a restart: a file for
each direction says how far it has come. What a reorganisation takes back is posted too.
``WEBHOOK_SECRET`` signs the posts.
"""

import argparse
import asyncio
import contextlib
import os
import pathlib
from typing import Any

import attrs

from resilient_ws import connect
from resilient_ws.feeds import CursorFile, Gap, Sink, evm, relay, webhook
from resilient_ws.feeds.jsonrpc import Client


#: The first topic of Transfer(address,address,uint256).
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@attrs.frozen
class Alert:
    what: str
    block: str  # of "undone", the block on which the chain goes on
    transfers: list[tuple[str, str]]  # the token, and the amount in hexadecimal
    undone: list[str]  # the blocks whose alerts are void


def alert_of(item: evm.LogItem, what: str) -> Alert | Gap | None:
    if isinstance(item, evm.BlockLogs) and item.logs:
        moved = [(log.address, log.data) for log in item.logs]
        return Alert(what, item.head.hash, moved, [])
    if isinstance(item, evm.Reorg):
        void = [block.hash for block in item.removed]
        return Alert("undone", item.ancestor.hash, [], void)
    return item if isinstance(item, Gap) else None


async def tell(
    client: Client, topics: list[str | None], hook: Sink[Any], file: pathlib.Path
) -> None:
    async def post(item: evm.LogItem, delivery_id: str) -> None:
        if (alert := alert_of(item, file.stem)) is not None:
            await hook(alert, delivery_id)

    def id_of(item: evm.BlockLogs | evm.Reorg | evm.Progress) -> str:
        return f"{file.stem}-{type(item).__name__}-{item.cursor.hash}"

    def cursor_of(item: evm.LogItem) -> str | None:
        return None if isinstance(item, Gap) else str(item.cursor)

    kept, wanted = CursorFile(file), evm.LogFilter(topics=[TRANSFER, *topics])
    stream: Any = evm.logs(client, wanted, after=await kept.load())
    await relay(stream, post, id_of=id_of, cursor_of=cursor_of, cursor_store=kept)


async def main(url: str, address: str, positions: str, target: str) -> None:
    folder = pathlib.Path(positions)
    topic = f"0x{address.removeprefix('0x').lower():0>64}"
    secret = os.environ["WEBHOOK_SECRET"]
    async with Client(connect(url)) as client, webhook(target, secret) as hook:
        sent = tell(client, [topic], hook, folder / "sent")
        received = tell(client, [None, topic], hook, folder / "received")
        await asyncio.gather(sent, received)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("url", "address", "positions", "target"):
        parser.add_argument(name)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(**vars(parser.parse_args())))
