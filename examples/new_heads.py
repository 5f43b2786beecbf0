"""The head of an EVM chain, whatever happens to its node, for whoever watches it.

    anvil --block-time 1 &
    python examples/new_heads.py ws://127.0.0.1:8545

A subscription dies with its connection, so ``on_open`` makes it anew on each one. Where
blocks may have been missed, the stream says so, at the place where they are missing.
"""

import argparse
import asyncio
import contextlib
import json

import resilient_ws


SUBSCRIBE = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe"}


async def subscribe(connection: resilient_ws.Connection) -> None:
    await connection.send(json.dumps({**SUBSCRIBE, "params": ["newHeads"]}))
    answer = json.loads(await connection.receive(matching=is_answer))
    if "error" in answer:
        raise resilient_ws.Fatal(f"The node refuses: {answer['error']['message']}")
    print(f"subscribed on connection {connection.epoch}", flush=True)


def is_answer(message: str | bytes) -> bool:
    """Tell the answer from heads that may overtake it."""
    return bool(json.loads(message).get("id") == SUBSCRIBE["id"])


async def main(url: str) -> None:
    async with resilient_ws.connect(url, on_open=subscribe) as session:
        async for item in session.with_interruptions():
            if isinstance(item, resilient_ws.Interruption):
                print(f"gap of {item.until - item.since:.1f} s: {item.cause}")
            else:
                head = json.loads(item)["params"]["result"]
                print(f"head {int(head['number'], 16)} {head['hash']}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(**vars(parser.parse_args())))
