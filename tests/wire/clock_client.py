"""A session in a process of its own, whose clock the test sets.

    python clock_client.py URL

It never pings by itself and never retries by itself, for ten minutes; it says what
happens to it, a line each.
"""

from __future__ import annotations

import asyncio
import sys

import tenacity

import resilient_ws


TEN_MINUTES = 600.0


async def main(url: str) -> None:
    async with resilient_ws.connect(
        url,
        liveness=resilient_ws.Liveness(ping_interval=TEN_MINUTES),
        reconnect=resilient_ws.Reconnect(wait=tenacity.wait_fixed(TEN_MINUTES)),
    ) as session:
        session.on(resilient_ws.Event, lambda event: print(type(event).__name__))
        print("in")
        async for message in session:
            print(f"received {message!r}")


asyncio.run(main(sys.argv[1]))
