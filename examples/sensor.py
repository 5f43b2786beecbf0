"""A device that measures from the first moment, network or not.

    python examples/sensor.py wss://collector.example.com/readings --readings 20

It starts offline and keeps what it cannot send. When the network comes, the readings
leave in the order in which they were taken, before any newer one.
"""

import argparse
import asyncio
import contextlib
import json
import random
import time

import resilient_ws


#: A day's worth of readings at most, the newest; and none that is older than a day.
OUTBOX = resilient_ws.Outbox(max_messages=86_400, overflow="drop_oldest", ttl=86_400)


def measure(number: int) -> str:
    celsius = round(random.gauss(21.0, 0.5), 2)
    return json.dumps({"number": number, "at": time.time(), "celsius": celsius})


async def main(url: str, readings: int, every: float) -> None:
    async with resilient_ws.connect(url, wait_open=False, outbox=OUTBOX) as session:
        deliveries = []
        for number in range(1, readings + 1):
            deliveries.append(await session.send(measure(number)))
            print(f"reading {number}: {deliveries[-1].state.value}", flush=True)
            await asyncio.sleep(every)
        for delivery in deliveries:
            await delivery.confirmed()
        print("all written", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--readings", type=int, default=20)
    parser.add_argument("--every", type=float, default=0.1, help="seconds")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(**vars(parser.parse_args())))
