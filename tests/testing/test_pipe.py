"""A pipe passes bytes as they came, whatever its pace, and holds few of them."""

from __future__ import annotations

import asyncio
import errno
import random

import pytest

from resilient_ws.testing import (
    Delay,
    Direction,
    Dribble,
    Freeze,
    Healthy,
    Throttle,
)
from resilient_ws.testing.pipe import MAX_HELD
from tests.record import until
from tests.testing.ends import (
    SIZE,
    both_ends,
    bytes_of,
    passes,
)


DIRECTIONS: tuple[Direction, ...] = ("up", "down", "both")


async def test_at_rest_bytes_pass_as_they_are() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        await asyncio.gather(
            passes(client, server, bytes_of(1)), passes(server, client, bytes_of(2))
        )
        (connection,) = ends.proxy.connections
        assert (connection.up.passed, connection.down.passed) == (SIZE, SIZE)
        assert (connection.up.held, connection.up.swallowed) == (0, 0)


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_half_close_passes_and_the_other_direction_goes_on(side: str) -> None:
    async with both_ends() as ends:
        first, second = await ends.pair()
        if side == "server":
            first, second = second, first
        await first.send(b"the last words")
        first.finish()
        assert await second.rest() == b"the last words"
        await passes(second, first, bytes_of(1))
        second.finish()
        assert await first.rest() == b""
        assert (first.error, second.error) == (None, None)
        await ends.proxy.connections[0].ended()


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_reset_passes_behind_the_bytes_before_it(side: str) -> None:
    async with both_ends() as ends:
        first, second = await ends.pair()
        if side == "server":
            first, second = second, first
        await passes(first, second, b"before")
        first.reset()
        assert await second.rest() == b""
        assert isinstance(second.error, ConnectionResetError)


async def test_what_is_sent_to_an_end_that_is_gone_is_answered_by_a_reset() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        server.close()
        assert await client.rest() == b""
        assert client.error is None
        await client.send(b"x")
        await until(lambda: not ends.proxy.connections[0].is_open)
        assert client.pending_error == errno.EPIPE


async def test_back_pressure_passes_and_memory_is_bounded() -> None:
    async with both_ends() as ends:
        ends.proxy.apply(Freeze("up"))
        client, server = await ends.pair()
        data = bytes_of(1, 20_000_000)
        sending = asyncio.create_task(client.send(data))
        up = ends.proxy.connections[0].up
        await until(lambda: up.held == MAX_HELD)
        for _ in range(100):
            await asyncio.sleep(0)
        assert up.held == MAX_HELD
        assert not sending.done()
        ends.proxy.heal()
        assert await server.exactly(len(data)) == data
        await sending
        assert up.held == 0


async def test_whatever_is_done_to_the_pace_the_bytes_are_the_same() -> None:
    rng = random.Random(11)
    async with both_ends() as ends:
        client, server = await ends.pair()
        data = bytes_of(5, 1_000_000)
        passing = asyncio.gather(
            passes(client, server, data), passes(server, client, data)
        )
        for _ in range(60):
            direction = rng.choice(DIRECTIONS)
            fault = rng.choice(
                (
                    Freeze(direction),
                    Delay(rng.uniform(0, 0.005), direction),
                    Throttle(rng.uniform(100_000, 10_000_000), direction),
                    Dribble(0.001, direction),
                    Healthy(),
                )
            )
            ends.proxy.connections[0].apply(fault)
            await asyncio.sleep(rng.choice((0, 0.001, 0.003)))
        ends.proxy.heal()
        await passing
