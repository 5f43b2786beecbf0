"""What a FaultProxy does to time, exactly, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from resilient_ws.testing import (
    Delay,
    Dribble,
    Freeze,
    Healthy,
    Reset,
    Throttle,
    timed,
)
from tests.record import now
from tests.testing.ends import both_ends


async def test_a_delay_is_added_to_everything_and_keeps_its_spacing() -> None:
    async with both_ends() as ends:
        ends.proxy.apply(Delay(2.0, "up"))
        client, server = await ends.pair()
        arrivals = []
        began = now()

        async def sends() -> None:
            for letter in (b"a", b"b", b"c"):
                await client.send(letter)
                await asyncio.sleep(0.5)
            client.finish()

        sending = asyncio.create_task(sends())
        while data := await server.some():
            arrivals.append((data, now() - began))
        assert now() - began == pytest.approx(3.5, abs=1e-5)
        await sending
    assert [letter for letter, _ in arrivals] == [b"a", b"b", b"c"]
    assert [when for _, when in arrivals] == pytest.approx([2, 2.5, 3], abs=1e-5)


async def test_a_delay_of_one_direction_leaves_the_other() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        ends.proxy.apply(Delay(2.0, "up"))
        began = now()
        await server.send(b"x")
        await client.exactly(1)
        assert now() == began


@pytest.mark.parametrize("rate", [10, 1000, 123_456])
async def test_a_throttle_keeps_its_rate(rate: int) -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        ends.proxy.apply(Throttle(rate, "down"))
        began = now()
        sending = asyncio.create_task(server.send(bytes(5 * rate)))
        for second in range(1, 6):
            await client.exactly(rate)
            assert now() - began == pytest.approx(second, abs=0.03)
        await sending


async def test_healing_lets_at_once_through_what_waits() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        for fault in (Throttle(1.0), Delay(1000), Dribble(100)):
            began = now()
            ends.proxy.apply(fault)
            await server.send(bytes(5000))
            await asyncio.sleep(5)
            ends.proxy.heal()
            await client.exactly(5000)
            assert now() - began == pytest.approx(5, abs=1e-5)


async def test_a_dribble_is_one_byte_at_a_time() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        ends.proxy.apply(Dribble(0.25))
        began = now()
        await server.send(b"hello")
        came = [(await client.some(), round(now() - began, 3)) for _ in range(5)]
        assert came == [
            (b"h", 0.25),
            (b"e", 0.5),
            (b"l", 0.75),
            (b"l", 1.0),
            (b"o", 1.25),
        ]
        ends.proxy.apply(Dribble())
        await client.send(b"world")
        assert [await server.some() for _ in range(5)] == [b"w", b"o", b"r", b"l", b"d"]
        assert now() - began == pytest.approx(1.25)


async def test_a_timed_script_keeps_its_times() -> None:
    async with both_ends() as ends:
        ends.proxy.play(timed((7, Healthy()), (5, Freeze()), (60, Reset())))
        client, server = await ends.pair()
        began = now()
        await asyncio.sleep(4.9)
        await server.send(b"1")
        assert await client.exactly(1) == b"1"
        await asyncio.sleep(0.2)
        await server.send(b"2")
        assert await client.exactly(1) == b"2"
        assert now() - began == pytest.approx(7, abs=1e-5)
        assert await client.rest() == b""
        assert isinstance(client.error, ConnectionResetError)
        assert now() - began == pytest.approx(60, abs=1e-5)


async def test_a_day_of_dribbling_costs_little() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        ends.proxy.apply(Dribble(60, "down"))
        await server.send(bytes(24 * 60))
        began = now()
        await client.exactly(24 * 60)
        assert now() - began == pytest.approx(24 * 3600, abs=1)
