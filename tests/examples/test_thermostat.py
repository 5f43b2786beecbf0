"""examples/thermostat.py: no reading is missed by a cut, and a killed broker is told."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import connect
from resilient_ws.feeds import Channel, Gap
from resilient_ws.feeds.protocols import MQTT, MQTTMessage
from resilient_ws.testing import FaultProxy, Refuse, Reset
from tests.examples.program import Program
from tests.feeds.talk import take
from tests.servers.process import HOST


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers.daemons import Mosquitto

pytestmark = pytest.mark.wire


class House:
    """The sensors and the switches of a house, on the broker."""

    def __init__(self, mqtt: MQTT, channel: Channel, switches: Any) -> None:
        self._mqtt, self._channel, self._switches = mqtt, channel, switches

    async def reads(self, room: str, *readings: bytes) -> None:
        """Have the sensor of a room tell its readings."""
        topic = f"rooms/{room}/temperature"
        for reading in readings:
            # Retained: a thermostat that subscribes later gets it too.
            await self._mqtt.publish(self._channel, topic, reading, retain=True)

    async def switched(self, count: int) -> list[tuple[str, str]]:
        """Return the next switches: room, and on or off; and where a drop was."""
        found: list[tuple[str, str]] = []
        while len(found) < count:
            (item,) = await take(self._switches, 1)
            if isinstance(item, MQTTMessage):
                found.append((item.topic.split("/")[1], item.payload.decode()))
        return found

    async def dropped(self) -> None:
        """Wait until the house has lost the broker."""
        (item,) = await take(self._switches, 1)
        assert isinstance(item, Gap)


@contextlib.asynccontextmanager
async def house(broker: Mosquitto) -> AsyncIterator[House]:
    mqtt = MQTT()
    session = connect(broker.url, subprotocols=[MQTT.SUBPROTOCOL])
    async with Channel(session, mqtt) as channel:
        switches = await channel.subscribe(mqtt.messages("rooms/+/heating", qos=1))
        yield House(mqtt, channel, switches)


async def test_readings_during_a_cut_are_kept_for_the_thermostat(
    mosquitto: Mosquitto,
) -> None:
    async with (
        house(mosquitto) as home,
        FaultProxy(HOST, mosquitto.port) as proxy,
        Program("thermostat.py", proxy.url()) as thermostat,
    ):
        await thermostat.said("listening")
        await home.reads("hall", b"18.5", b"18.6")
        assert await home.switched(1) == [("hall", "on")]
        assert await thermostat.said("hall") == "hall: 18.5 degrees, on"

        proxy.apply(Refuse())
        proxy.connections[-1].apply(Reset())
        await home.reads("hall", b"21", b"20.5", b"19")
        await home.reads("attic", b"30")
        proxy.heal()
        switches = [("hall", "off"), ("hall", "on"), ("attic", "off")]
        assert await home.switched(3) == switches
        assert await thermostat.interrupted() == 0
    assert thermostat.all_of("readings may be missing") == []


async def test_a_broker_that_is_killed_is_told_and_gets_each_switch_again(
    mosquitto: Mosquitto,
) -> None:
    async with house(mosquitto) as home:
        arguments = (mosquitto.url, "--target", "17", "--client-id", "t")
        async with Program("thermostat.py", *arguments) as thermostat:
            await thermostat.said("listening")
            for count in range(1, 4):
                await home.reads("hall", b"16.5")
                assert await home.switched(1) == [("hall", "on")]
                await mosquitto.restart()
                await thermostat.said("readings may be missing", count=count, within=30)
                await home.dropped()
            await home.reads("hall", b"broken", b"17")
            assert await home.switched(1) == [("hall", "off")]
            await thermostat.said("hall: not a temperature")
            assert await thermostat.interrupted() == 0
