"""A bot that follows a feed, and tells its owner when something goes wrong.

    python examples/listen.py wss://stream.example.com/feed --idle-timeout 60

Messages go to the standard output. What happened to the link goes to ``tell``, which
here prints; a bot would send a mail. Callbacks run beside the reading: a slow one
delays no message and no pong.
"""

import argparse
import asyncio
import contextlib
import sys

import resilient_ws
from resilient_ws import (
    ConnectionDropped,
    ConnectionOpened,
    ConnectionTimedOut,
    ServerTerminated,
)


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def main(url: str, idle_timeout: float) -> None:
    # A feed that is silent for so long is broken, even if its pongs still come.
    liveness = resilient_ws.Liveness(idle_timeout=idle_timeout)
    session = resilient_ws.connect(url, liveness=liveness)

    @session.on(ConnectionOpened)
    def _(event: ConnectionOpened) -> None:
        outage = event.resumed_after
        after = "" if outage is None else f", after {outage:.1f} s"
        tell(f"open, connection {event.epoch}{after}")

    @session.on(ConnectionTimedOut)
    def _(event: ConnectionTimedOut) -> None:
        tell(f"timed out: {event.kind} after {event.after:.1f} s")

    @session.on(ServerTerminated)
    def _(event: ServerTerminated) -> None:
        tell(f"ended by the server: {event.code} {event.meaning} {event.reason!r}")

    @session.on(ConnectionDropped)
    async def _(event: ConnectionDropped) -> None:
        tell(f"dropped after {event.uptime:.1f} s: {event.because}")

    async with session:
        async for message in session:
            print(message, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--idle-timeout", type=float, default=60.0, help="seconds")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(**vars(parser.parse_args())))
