"""examples/sensor.py: what was measured offline arrives, in order, once."""

from __future__ import annotations

import json

import pytest

from tests.examples.program import Program
from tests.servers.scripted import websockets_server as serve_websockets


pytestmark = pytest.mark.wire


async def test_readings_taken_without_a_network_arrive_in_order() -> None:
    server = serve_websockets()
    async with Program("sensor.py", f"{server.url}/sink", "--readings", "20") as sensor:
        for number in range(1, 6):
            said = await sensor.said(f"reading {number}:")
            assert said == f"reading {number}: queued"

        async with server:
            arrived = [
                json.loads(text) for text in await server.received(20, within=20)
            ]
            await sensor.said("all written")
            assert await sensor.ended() == 0

    assert [reading["number"] for reading in arrived] == list(range(1, 21))
    times = [reading["at"] for reading in arrived]
    assert times == sorted(times)
    assert len(server.entries("open")) == 1
