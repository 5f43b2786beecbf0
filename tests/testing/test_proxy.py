"""A FaultProxy accepts, dials, plays its script, and ends."""

from __future__ import annotations

import asyncio
import socket

import pytest

from resilient_ws.testing import (
    Cut,
    Delay,
    Drop,
    FaultProxy,
    Freeze,
    Hang,
    Healthy,
    ProxiedConnection,
    Refuse,
    Reset,
    assert_no_leaks,
)
from tests.record import until
from tests.testing.ends import (
    HOST,
    both_ends,
    bytes_of,
    passes,
    passes_both_ways,
)


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


async def test_listens_where_it_is_told() -> None:
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        port = nobody.getsockname()[1]
    async with FaultProxy(HOST, port, listen=("127.0.0.2", port)) as proxy:
        assert proxy.port == port
        assert proxy.url("/feed") == f"ws://127.0.0.2:{port}/feed"
        _, writer = await asyncio.open_connection("127.0.0.2", port)
        await proxy.arrivals(1)
        writer.transport.abort()


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
