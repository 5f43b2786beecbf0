"""A thermostat for a house whose sensors speak MQTT, over WebSocket.

    python examples/thermostat.py wss://broker.example.com/mqtt --target 20.5

It reads ``rooms/NAME/temperature``, and switches ``rooms/NAME/heating``. While the link
is down, the broker keeps the readings for an hour; a restarted broker may have none.
"""

import argparse
import asyncio
import contextlib
import os

from resilient_ws import connect
from resilient_ws.feeds import Channel, FeedError, Gap
from resilient_ws.feeds.protocols import MQTT


def celsius(payload: bytes) -> float | None:
    try:
        return float(payload)
    except ValueError:
        return None  # a sensor that is broken, or not one


async def main(url: str, target: float, client_id: str) -> None:
    mqtt = MQTT(
        client_id=client_id,
        keep=3600,
        username=os.environ.get("MQTT_USERNAME"),
        password=os.environ.get("MQTT_PASSWORD"),
    )
    heating: dict[str, bytes] = {}
    source = mqtt.messages("rooms/+/temperature", qos=1)
    session = connect(url, subprotocols=[MQTT.SUBPROTOCOL])
    async with Channel(session, mqtt) as channel:
        readings = await channel.subscribe(source)
        print("listening", flush=True)
        async for reading in readings:
            if isinstance(reading, Gap):
                print(f"readings may be missing: {reading.because}", flush=True)
                heating.clear()  # a new broker does not know what was switched
                continue
            now, room = celsius(reading.payload), reading.topic.split("/")[1]
            if now is None:
                print(f"{room}: not a temperature", flush=True)
            elif heating.get(room) != (wish := b"on" if now < target else b"off"):
                try:
                    topic = f"rooms/{room}/heating"
                    await mqtt.publish(channel, topic, wish, retain=True)
                except FeedError as failure:  # the next reading tries again
                    print(f"{room}: not switched: {failure}", flush=True)
                else:
                    heating[room] = wish
                    print(f"{room}: {now} degrees, {wish.decode()}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--target", type=float, default=20.0)
    parser.add_argument("--client-id", default="thermostat")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(**vars(parser.parse_args())))
