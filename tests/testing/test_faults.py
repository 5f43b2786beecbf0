"""Each fault does to the byte what it says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resilient_ws.testing import (
    BlackHole,
    Cut,
    Delay,
    Dribble,
    Drop,
    Fault,
    Freeze,
    HalfClose,
    Reject,
    Reset,
    Throttle,
)
from resilient_ws.testing.pipe import MAX_HELD
from tests.record import until
from tests.testing.ends import (
    SIZE,
    both_ends,
    bytes_of,
    passes,
    passes_both_ways,
)


if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_black_hole_swallows_one_direction_and_keeps_the_connection(
    direction: str,
) -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        await passes_both_ways(client, server)
        ends.proxy.apply(BlackHole("up" if direction == "up" else "down"))
        sender, receiver = (client, server) if direction == "up" else (server, client)
        await sender.send(bytes_of(1))
        await passes(receiver, sender, bytes_of(2))
        connection = ends.proxy.connections[0]
        pipe = getattr(connection, direction)
        await until(lambda: pipe.swallowed == SIZE)
        # Its FIN as well, and for good: a stream with a hole is nothing to go on with.
        ends.proxy.heal()
        await sender.send(b"more")
        sender.finish()
        await until(lambda: pipe.swallowed == SIZE + 4)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await receiver.some()
        await passes(receiver, sender, b"still open")
        assert connection.is_open
        await passes_both_ways(*await ends.pair())


async def test_a_black_hole_that_swallowed_nothing_heals() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        ends.proxy.apply(BlackHole())
        ends.proxy.heal()
        await passes_both_ways(client, server)


async def test_a_black_hole_holds_for_new_connections_too() -> None:
    async with both_ends() as ends:
        ends.proxy.apply(BlackHole("up"))
        client, server = await ends.pair()
        await client.send(b"lost")
        await passes(server, client, b"heard")
        client.reset()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await server.some()


async def test_a_freeze_loses_nothing_not_even_the_end() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        ends.proxy.apply(Freeze())
        data = bytes_of(1, MAX_HELD)
        await client.send(data)
        client.finish()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await server.some()
        ends.proxy.heal()
        assert await server.rest() == data
        await passes(server, client, b"the other way")


async def test_reset_is_for_what_is_open_and_not_for_what_comes() -> None:
    async with both_ends() as ends:
        pairs = [await ends.pair() for _ in range(3)]
        ends.proxy.apply(Reset())
        for end in (end for pair in pairs for end in pair):
            assert await end.rest() == b""
            assert isinstance(end.error, ConnectionResetError)
        await passes_both_ways(*await ends.pair())


async def test_drop_is_a_fin_to_both() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        await passes_both_ways(client, server)
        ends.proxy.apply(Drop())
        for end in (client, server):
            assert await end.rest() == b""
            assert end.error is None
        await ends.proxy.connections[0].ended()


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_half_close_ends_one_direction(direction: str) -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        sender, receiver = (client, server) if direction == "up" else (server, client)
        await passes(sender, receiver, b"before")
        ends.proxy.apply(HalfClose("up" if direction == "up" else "down"))
        await sender.send(b"after")
        assert await receiver.rest() == b""
        assert receiver.error is None
        await passes(receiver, sender, bytes_of(1))
        receiver.finish()
        assert await sender.rest() == b""
        sender.finish()
        await ends.proxy.connections[0].ended()


@pytest.mark.parametrize("how", ["reset", "drop"])
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("after", [0, 1, 7, 65_536, 300_001])
async def test_a_cut_is_exact(after: int, direction: str, how: str) -> None:
    cut = Cut(
        after,
        "up" if direction == "up" else "down",
        how="reset" if how == "reset" else "drop",
    )
    async with both_ends() as ends:
        ends.proxy.play(cut)
        # Nobody may have been reached before a cut after nothing at all.
        client, server = await ends.pair()
        sender, receiver = (client, server) if direction == "up" else (server, client)
        data = bytes_of(after, 400_000)
        sending = asyncio.create_task(sender.send(data))
        received = await receiver.rest()
        assert received == data[:after]
        assert isinstance(receiver.error, ConnectionResetError) is (how == "reset")
        await asyncio.wait([sending])
        sending.exception()
        assert getattr(ends.proxy.connections[0], direction).passed == after
        await ends.proxy.connections[0].ended()


async def test_a_cut_counts_from_when_it_is_applied() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        await passes(server, client, bytes_of(1))
        ends.proxy.apply(Cut(3))
        await server.send(b"12345")
        assert await client.rest() == b"123"
        # It holds until it is healed, for each connection from its first byte.
        client, server = await ends.pair()
        await server.send(b"abcdef")
        assert await client.rest() == b"abc"
        ends.proxy.heal()
        await passes_both_ways(*await ends.pair())


@pytest.mark.parametrize(
    ("kind", "arguments", "named"),
    [
        (Delay, (-1,), "seconds"),
        (Throttle, (0,), "rate"),
        (Dribble, (-0.1,), "interval"),
        (Cut, (-1,), "after"),
        (Cut, (1.5,), "after"),
        (Cut, (1, "up", "slowly"), "how"),
        (BlackHole, ("sideways",), "direction"),
        (Reject, ("no",), "status"),
    ],
)
def test_a_bad_argument_is_named(
    kind: Callable[..., Fault], arguments: tuple[object, ...], named: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=f"'{named}'"):
        kind(*arguments)
