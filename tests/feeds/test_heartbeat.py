"""The application heartbeats of a channel, and what it makes of silence."""

from __future__ import annotations

import asyncio
import math

import pytest

from tests.feeds.talk import Talk, channel, say, scripted


async def test_a_connection_that_answers_no_heartbeat_is_replaced() -> None:
    protocol = Talk(beat_interval=10)
    protocol.next_beat = "tick"
    protocol.beat_answered = True
    async with scripted() as server, channel(server, protocol):
        first = await server.accept()
        for _ in range(3):
            await first.expect("tick", within=11)
            await first.send(say("tock"))
        await first.expect("tick", within=11)
        second = await server.accept(within=11)
        assert first.received == 4 * ["tick"]
        await second.expect("tick", within=11)


async def test_a_heartbeat_without_an_answer_is_sent_on_and_on() -> None:
    protocol = Talk(beat_interval=10)
    protocol.next_beat = "tick"
    async with scripted() as server, channel(server, protocol):
        peer = await server.accept()
        await asyncio.sleep(105)
        assert peer.received == 10 * ["tick"]
        assert not peer.gone


@pytest.mark.parametrize("interval", [0.0, -1.0, math.nan])
async def test_an_interval_that_makes_no_sense_is_no_flood(interval: float) -> None:
    protocol = Talk(beat_interval=interval)
    protocol.next_beat = "tick"
    async with scripted() as server, channel(server, protocol):
        peer = await server.accept()
        await asyncio.sleep(10)
        assert 90 <= len(peer.received) <= 100


async def test_a_protocol_without_heartbeats_sends_none() -> None:
    async with scripted() as server, channel(server, Talk()):
        peer = await server.accept()
        await asyncio.sleep(1000)
        assert peer.received == []


async def test_a_heartbeat_ends_with_its_connection() -> None:
    protocol = Talk(beat_interval=10)
    protocol.next_beat = "tick"
    async with scripted() as server, channel(server, protocol):
        first = await server.accept()
        await first.expect("tick", within=11)
        await first.drop()
        second = await server.accept()
        await asyncio.sleep(105)
        # Those of the first would come in addition.
        assert second.received == 10 * ["tick"]
