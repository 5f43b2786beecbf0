"""Each block of an EVM chain, for a web server or a mailbox that holds no socket.

    python examples/notify.py ws://127.0.0.1:8545 cursor.json https://example.com/hook
    python examples/notify.py ws://127.0.0.1:8545 cursor.json mailto:you@example.org

Each block is told at least once, also over a restart: ``cursor.json`` says how far it
has come. ``WEBHOOK_SECRET`` signs a webhook; ``SMTP_HOST``, ``SMTP_PORT`` and
``SMTP_ENCRYPTION`` name a mail server. A mail has the blocks of five seconds.
"""

import argparse
import asyncio
import contextlib
import operator
import os
from collections.abc import AsyncIterator
from typing import Any

import attrs

from resilient_ws import connect
from resilient_ws.feeds import CursorFile, batches, consecutive, email, relay, webhook
from resilient_ws.feeds.jsonrpc import Client


@attrs.frozen
class Block:
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


async def main(url: str, cursor_file: str, target: str) -> None:
    async def missed(after: int, through: int | None) -> AsyncIterator[Block]:
        last = through or int(await client.call("eth_blockNumber"), 16)
        for number in range(after + 1, last + 1):
            asked = client.call("eth_getBlockByNumber", [hex(number), False])
            yield parsed(await asked)

    cursor = CursorFile(cursor_file)
    async with Client(connect(url), repeatable=lambda _: True) as client:  # it reads
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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("url", "cursor_file", "target"):
        parser.add_argument(name)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(**vars(parser.parse_args())))
