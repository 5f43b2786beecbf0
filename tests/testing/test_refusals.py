"""Faults that a new connection meets."""

from __future__ import annotations

import asyncio
import socket

import pytest

from resilient_ws.testing import (
    Hang,
    Refuse,
    Reject,
)
from tests.testing.ends import (
    HOST,
    both_ends,
    bytes_of,
    passes_both_ways,
)


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
