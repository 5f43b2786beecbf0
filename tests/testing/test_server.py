"""A ScriptedServer, driven from the test and by scripts, with real sessions."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest

import resilient_ws
from resilient_ws import State
from resilient_ws.testing import Peer, ScriptedServer, assert_no_leaks
from resilient_ws.testing.scripts import (
    echo,
    hold,
)
from tests.testing.talking import talking


if TYPE_CHECKING:
    import trustme


#: Sessions wait for seconds here.
IN_VIRTUAL_TIME = pytest.mark.asyncio(loop_factories=["virtual"])


@IN_VIRTUAL_TIME
async def test_it_is_driven_step_by_step() -> None:
    async with talking() as (server, session):
        peer = await server.accept()
        assert peer.path == "/feed"
        await session.send("subscribe")
        assert await peer.expect("subscribe") == "subscribe"
        await peer.send("news", b"\x00")
        assert [await session.receive(), await session.receive()] == ["news", b"\x00"]
        await peer.ping(b"are you there?")
        await peer.close(1012, "restarting")
        assert peer.close_received == (1012, "restarting")
        peer = await server.accept()
        await session.wait_until(State.OPEN)
        assert session.epoch == 2
        assert peer.number == 2


@IN_VIRTUAL_TIME
async def test_a_rejection_with_retry_after_is_obeyed() -> None:
    async with talking() as (server, session):
        rejected = await server.reject(429, retry_after=1, body=b"slow down")
        assert not rejected.accepted
        accepted = await server.accept()
        await session.wait_until(State.OPEN)
        assert server.dials[1] - server.dials[0] >= 1
        assert server.peers == [rejected, accepted]


async def test_a_request_can_be_looked_at_before_it_is_answered() -> None:
    async with talking(headers={"Authorization": "Bearer x"}) as (server, session):
        peer = await server.request()
        assert peer.headers["authorization"] == "Bearer x"
        assert session.state is State.CONNECTING
        await peer.reject(401)
        peer = await server.request()
        await peer.accept()
        await session.wait_until(State.OPEN)


async def test_scripts_and_the_test_do_not_both_answer() -> None:
    async with ScriptedServer(hold) as server:
        with pytest.raises(RuntimeError, match="Scripts answer"):
            await server.accept()


async def test_a_script_that_fails_fails_the_test() -> None:
    async def expects_too_much(peer: Peer) -> None:
        await peer.accept()
        await peer.expect("the impossible")

    async def run(error: type[Exception] | None) -> None:
        async with talking(expects_too_much, hold) as (server, session):
            await session.send("the possible")
            await server.arrivals(2)
            if error is not None:
                raise error

    with pytest.raises(AssertionError, match="the impossible"):
        await run(None)
    with pytest.raises(KeyError) as caught:
        await run(KeyError)
    assert "the impossible" in caught.value.__notes__[0]


async def test_it_speaks_tls(authority: trustme.CA) -> None:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with assert_no_leaks(), ScriptedServer(echo, ssl=serving) as server:
        assert server.url("/x") == f"wss://127.0.0.1:{server.port}/x"
        async with resilient_ws.connect(server.url(), ssl=trusting) as session:
            await session.send("secret")
            assert await session.receive() == "secret"
        assert server.peer.close_received == (1000, "")


async def test_connections_that_come_at_once_have_numbers_of_their_own() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        dialled = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", server.port) for _ in range(3))
        )
        newest = await server.arrivals(3)
        assert [peer.number for peer in server.peers] == [1, 2, 3]
        assert newest is server.peers[2]
        for _, writer in dialled:
            writer.close()


async def test_a_handshake_of_tls_that_fails_takes_no_number(
    authority: trustme.CA,
) -> None:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with assert_no_leaks(), ScriptedServer(echo, ssl=serving) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=ssl.create_default_context()
            )
        async with resilient_ws.connect(server.url(), ssl=trusting):
            assert [peer.number for peer in server.peers] == [1]
