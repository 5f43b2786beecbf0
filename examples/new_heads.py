"""The blocks of an EVM chain, each once, for whoever shows or counts them.

    anvil --block-time 1 &
    python examples/new_heads.py ws://127.0.0.1:8545

What the node said while there was no connection is asked for, and a reorganisation is
told: the blocks to forget, newest first, and then those in their place. It needs
``pip install 'resilient-ws[evm]'``.
"""

import argparse
import asyncio
import contextlib

from resilient_ws import connect
from resilient_ws.feeds import evm
from resilient_ws.feeds.jsonrpc import Client


async def main(url: str) -> None:
    async with Client(connect(url)) as client:
        print("connected", flush=True)
        async for item in evm.heads(client):
            match item:
                case evm.Head():
                    print(f"head {item.number} {item.hash}", flush=True)
                case evm.Reorg():
                    for block in item.removed:
                        print(f"undo {block.number} {block.hash}", flush=True)
                case _:  # a Gap: what the node does not have any more
                    print(f"gap {item.first_missing} to {item.until}: {item.because}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(**vars(parser.parse_args())))
