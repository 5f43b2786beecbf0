"""A FaultProxy is transparent at rest, and does to the byte what it is told."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from typing import TYPE_CHECKING

import pytest

from resilient_ws.testing import (
    BlackHole,
    Cut,
    Delay,
    Direction,
    Dribble,
    Drop,
    Fault,
    FaultProxy,
    Freeze,
    HalfClose,
    Hang,
    Healthy,
    ProxiedConnection,
    Refuse,
    Reject,
    Reset,
    Throttle,
    assert_no_leaks,
)
from resilient_ws.testing.pipe import MAX_HELD
from tests.record import until
from tests.testing.ends import HOST, both_ends


if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.testing.ends import End

SIZE = 3_000_000
DIRECTIONS: tuple[Direction, ...] = ("up", "down", "both")


def bytes_of(seed: int, size: int = SIZE) -> bytes:
    return random.Random(seed).randbytes(size)


async def passes(sender: End, receiver: End, data: bytes) -> None:
    """What is sent at one end arrives at the other, to the byte."""
    sending = asyncio.create_task(sender.send(data))
    assert await receiver.exactly(len(data)) == data
    await sending


async def passes_both_ways(client: End, server: End) -> None:
    await passes(client, server, b"up")
    await passes(server, client, b"down")


# At rest.


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


async def test_a_server_that_is_not_there_shows_as_a_reset() -> None:
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        port = nobody.getsockname()[1]
        async with assert_no_leaks(), FaultProxy(HOST, port) as proxy:
            reader, writer = await asyncio.open_connection(HOST, proxy.port)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()


async def test_a_host_without_an_address_is_an_error() -> None:
    with pytest.raises(OSError, match=r".+"):
        async with FaultProxy("no.such.host.invalid", 80):
            pass


async def test_at_its_end_the_proxy_resets_what_is_left() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        frozen = await ends.pair()
        ends.proxy.connections[1].apply(Freeze())
        await frozen[0].send(bytes_of(1, 1000))
        ends.proxy.play(Hang())
        hanging = await ends.dial()
        await ends.proxy.arrivals(3)
        await ends.proxy.__aexit__(None, None, None)
        for end in (client, server, *frozen, hanging):
            assert await end.rest() == b""
            assert isinstance(end.error, ConnectionResetError)
        assert not any(connection.is_open for connection in ends.proxy.connections)


# New connections.


async def test_refuse_closes_the_port_and_leaves_what_is_open() -> None:
    async with both_ends() as ends:
        client, server = await ends.pair()
        port = ends.proxy.port
        for _ in range(3):
            ends.proxy.apply(Refuse())
            for _ in range(3):
                with (
                    socket.socket() as dialling,
                    pytest.raises(ConnectionRefusedError),
                ):
                    dialling.connect((HOST, port))
                with pytest.raises(ConnectionRefusedError):
                    await ends.dial()
            await passes_both_ways(client, server)
            ends.proxy.heal()
            assert ends.proxy.port == port
            await passes_both_ways(*await ends.pair())


async def test_refuse_in_a_script_is_one_reset() -> None:
    async with both_ends() as ends:
        ends.proxy.play(Refuse(), Refuse())
        for _ in range(2):
            client = await ends.dial()
            assert await client.rest() == b""
            assert isinstance(client.error, ConnectionResetError)
        await passes_both_ways(*await ends.pair())
        assert len(ends.served) == 1


async def test_hang_takes_everything_and_answers_nothing() -> None:
    async with both_ends() as ends:
        ends.proxy.apply(Hang())
        client = await ends.dial()
        await client.send(bytes_of(1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.some()
        assert ends.served == []
        connection = ends.proxy.connections[0]
        assert connection.is_open
        client.close()
        await connection.ended()


async def test_reject_answers_with_status_headers_and_body() -> None:
    async with both_ends() as ends:
        ends.proxy.apply(
            Reject(429, retry_after=7, headers={"X-Why": "too many"}, body=b"slow down")
        )
        for _ in range(2):
            client = await ends.dial()
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r")
            await client.send(b"\n\r\n")
            head, _, body = (await client.rest()).partition(b"\r\n\r\n")
            status, *headers = head.decode().split("\r\n")
            assert status == "HTTP/1.1 429 Too Many Requests"
            assert set(headers) == {
                "Content-Length: 9",
                "Connection: close",
                "Retry-After: 7",
                "X-Why: too many",
            }
            assert body == b"slow down"
            assert client.error is None
        assert ends.served == []


async def test_reject_is_over_when_nobody_asks() -> None:
    async with both_ends() as ends:
        ends.proxy.apply(Reject(599))
        client = await ends.dial()
        client.finish()
        assert await client.rest() == b""
        await ends.proxy.connections[0].ended()


# Silence.


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


# Ends.


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


# Scripts.


async def test_a_script_deals_one_item_to_each_connection() -> None:
    async def after_two_bytes(connection: ProxiedConnection) -> None:
        await until(lambda: connection.up.passed == 2)
        connection.apply(Drop())

    async with both_ends() as ends:
        ends.proxy.play(
            Cut(1), Healthy(), [Delay(0.01), Cut(2, how="drop")], after_two_bytes
        )
        client, server = await ends.pair()
        await server.send(b"xyz")
        assert await client.rest() == b"x"
        await passes_both_ways(*await ends.pair())
        client, server = await ends.pair()
        await server.send(b"xyz")
        assert await client.rest() == b"xy"
        assert client.error is None
        client, server = await ends.pair()
        await passes(client, server, b"12")
        assert await client.rest() == b""
        await passes_both_ways(*await ends.pair())
        assert ends.proxy.accepted == len(ends.proxy.connections) == 5
        assert [c.number for c in ends.proxy.connections] == [1, 2, 3, 4, 5]


async def test_a_fault_can_be_for_one_connection() -> None:
    async with both_ends() as ends:
        first, second = await ends.pair(), await ends.pair()
        ends.proxy.connections[0].apply(Freeze("down"))
        await first[1].send(b"held")
        await passes_both_ways(*second)
        assert ends.proxy.connections[0].down.passed == 0
        ends.proxy.connections[0].heal()
        assert await first[0].exactly(4) == b"held"


async def test_healing_forgets_the_script() -> None:
    async with both_ends() as ends:
        ends.proxy.play(Refuse(), Hang())
        ends.proxy.heal()
        await passes_both_ways(*await ends.pair())


async def fails(_: ProxiedConnection) -> None:
    raise ZeroDivisionError


async def ended_by_a_script_that_fails(then: type[Exception] | None) -> None:
    async with both_ends() as ends:
        ends.proxy.play(fails)
        client, _ = await ends.pair()
        assert await client.rest() == b""
        if then is not None:
            raise then


async def test_what_a_script_raises_is_raised_at_the_end() -> None:
    with pytest.raises(ZeroDivisionError):
        await ended_by_a_script_that_fails(None)


async def test_what_a_script_raises_is_noted_beside_the_error_of_the_test() -> None:
    with pytest.raises(KeyError) as caught:
        await ended_by_a_script_that_fails(KeyError)
    assert "ZeroDivisionError" in caught.value.__notes__[0]


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


async def test_many_connections_come_and_go() -> None:
    async with both_ends() as ends:
        for _ in range(20):
            pairs = await asyncio.gather(*(ends.dial() for _ in range(10)))
            await asyncio.gather(*(client.send(b"x") for client in pairs))
            ends.proxy.apply(Refuse())
            ends.proxy.apply(Reset())
            for client in pairs:
                await client.rest()
                assert isinstance(client.error, ConnectionResetError)
            ends.proxy.heal()
        assert ends.proxy.accepted <= 200
        assert not any(connection.is_open for connection in ends.proxy.connections)


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
