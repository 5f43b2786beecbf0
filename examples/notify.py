"""Tell a web server, or a mailbox, of each block of an EVM chain.

    python examples/notify.py ws://127.0.0.1:8545 cursor.json https://example.com/hook
    python examples/notify.py ws://127.0.0.1:8545 cursor.json mailto:you@example.org

Each block is delivered at least once, also over a restart: ``cursor.json`` says how far
it has come. ``WEBHOOK_SECRET`` signs a webhook; ``SMTP_HOST``, ``SMTP_PORT`` and
``SMTP_ENCRYPTION`` name a mail server. A mail has the blocks of five seconds.
"""

import asyncio
import contextlib
import operator
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import attrs

from resilient_ws import connect
from resilient_ws.feeds import CursorFile, batches, consecutive, email, relay, webhook
from resilient_ws.feeds.jsonrpc import Client


@attrs.frozen
class Block:
    """What is told of a block."""

    cursor: int  # relay() looks for it
    hash: str


def parsed(block: dict[str, Any]) -> Block:
    return Block(int(block["number"], 16), block["hash"])


async def deliver(blocks: AsyncIterator[Any], target: str, cursor: CursorFile) -> None:
    if target.startswith("mailto:"):
        mail = email(
            os.environ["SMTP_HOST"],
            port=int(os.environ["SMTP_PORT"]),
            encryption=os.environ.get("SMTP_ENCRYPTION", "starttls"),  # type: ignore[arg-type] # email() checks it
            sender="blocks@example.org",
            to=target.removeprefix("mailto:"),
            subject=lambda digest: f"{len(digest)} blocks",
        )
        await relay(batches(blocks, within=5), mail, cursor_store=cursor)
    else:
        async with webhook(target, os.environ["WEBHOOK_SECRET"]) as hook:
            await relay(blocks, hook, id_of=lambda one: one.hash, cursor_store=cursor)


async def main(url: str, path: str, target: str) -> None:
    async def missed(after: int, through: int | None) -> AsyncIterator[Block]:
        last = through or int(await client.call("eth_blockNumber"), 16)
        for number in range(after + 1, last + 1):
            block = await client.call("eth_getBlockByNumber", [hex(number), False])
            yield parsed(block)

    cursor = CursorFile(path)
    # Only reads are called, so that each may go out again after a drop.
    async with Client(connect(url), repeatable=lambda _: True) as client:
        blocks = await client.subscribe(
            "eth_subscribe",
            ["newHeads"],
            parse=parsed,
            cursor_of=lambda block: block.cursor,
            follows=consecutive(operator.attrgetter("cursor")),
            backfill=missed,
            after=await cursor.load(),
        )
        print("subscribed", flush=True)
        await deliver(blocks, target, cursor)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
