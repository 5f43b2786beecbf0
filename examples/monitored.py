"""Several sessions, and a page that shows how they are.

    python examples/monitored.py wss://stream.example.com/a wss://stream.example.com/b

It prints where the page is; open it in a browser, and then pull out the network cable.
Only this machine may look. With ``--token`` (or ``MONITOR_TOKEN`` in the environment)
and ``--host 0.0.0.0``, others may too, who know the token: docs/monitor.md.
"""

import argparse
import asyncio
import contextlib
import os

import resilient_ws
from resilient_ws import monitor


async def follow(session: resilient_ws.Session) -> None:
    async with session:
        async for message in session:
            print(session.name, message, flush=True)


async def main(urls: list[str], host: str, port: int, token: str | None) -> None:
    # Each comes back by itself, and the page shows one that cannot come in as well.
    sessions = [resilient_ws.connect(url, wait_open=False) for url in urls]
    async with monitor.serve(sessions, host=host, port=port, token=token) as page:
        print(f"watch at {page.url}", flush=True)
        await asyncio.gather(*map(follow, sessions))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen")
    parser.add_argument("--port", type=int, default=0, help="by default a free one")
    parser.add_argument("--token", default=os.environ.get("MONITOR_TOKEN"))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(**vars(parser.parse_args())))
