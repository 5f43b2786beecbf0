"""A ScriptedServer, driven from the test and by scripts, with real sessions."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Reconnect, State
from resilient_ws.testing import ClientGone, Peer, ScriptedServer, assert_no_leaks
from resilient_ws.testing.scripts import (
    black_hole,
    closing,
    echo,
    feeding,
    hang,
    hold,
    mute_at_close,
    rejecting,
    resetting,
)
from tests.record import until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trustme

    from resilient_ws import Session

#: Sessions wait for seconds here.
IN_VIRTUAL_TIME = pytest.mark.asyncio(loop_factories=["virtual"])


@contextlib.asynccontextmanager
async def talking(
    *scripts: Any, **options: Any
) -> AsyncIterator[tuple[ScriptedServer, Session]]:
    """A server, and a session to it that comes back at once."""
    async with (
        assert_no_leaks(),
        ScriptedServer(*scripts) as server,
        resilient_ws.connect(
            server.url("/feed"),
            wait_open=False,
            reconnect=Reconnect(wait=wait_fixed(0)),
            **options,
        ) as session,
    ):
        yield server, session


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


async def test_a_subprotocol_is_chosen_among_those_offered() -> None:
    async with talking(subprotocols=["mqtt", "soap"]) as (server, session):
        peer = await server.request()
        assert peer.request.subprotocols == ["mqtt", "soap"]
        with pytest.raises(AssertionError, match=r"should offer .*'wamp'.*'mqtt'"):
            await peer.accept(subprotocol="wamp")
        await peer.accept(subprotocol="soap")
        await session.wait_until(State.OPEN)
        assert session.subprotocol == "soap"


async def test_what_is_not_as_expected_fails() -> None:
    async with talking() as (server, session):
        peer = await server.accept()
        await session.send("hello")
        with pytest.raises(AssertionError, match=r"should send 'bye'; it sent 'hello'"):
            await peer.expect("bye")
        await session.send("123")
        assert await peer.expect(lambda message: int(message) == 123) == "123"
        await session.send("123")
        with pytest.raises(AssertionError, match="it sent '123'"):
            await peer.expect(lambda message: int(message) == 321)
        with pytest.raises(AssertionError, match=r"'x', and did not within 0\.05 s"):
            await peer.expect("x", within=0.05)
        with pytest.raises(AssertionError, match=r"No client came within 0\.05 s"):
            await server.accept(within=0.05)
        await session.close(4000, "enough")
        with pytest.raises(AssertionError, match=r"'x' was expected.*4000 'enough'"):
            await peer.expect("x")


async def test_who_is_gone_takes_nothing_and_says_nothing() -> None:
    async with talking() as (server, session):
        peer = await server.accept()
        await session.wait_until(State.OPEN)
        await session.close()
        await peer.ended()
        await peer.goodbye()
        for call in (peer.receive, lambda: peer.send("x"), peer.ping):
            with pytest.raises(ClientGone, match="closed with 1000"):
                await call()


async def test_a_pong_that_does_not_come_fails() -> None:
    async with talking() as (server, _):
        peer = await server.accept()
        peer.freeze()
        with pytest.raises(AssertionError, match="a pong with b'x', and did not"):
            await peer.ping(b"x", within=0.05)
        peer.thaw()
        await until(lambda: peer.pongs == [b"x"])


@pytest.mark.parametrize("how", ["reset", "drop", "half_close"])
async def test_an_end_without_a_close_frame_is_a_drop(how: str) -> None:
    async with talking() as (server, session):
        peer = await server.accept()
        await session.wait_until(State.OPEN)
        await getattr(peer, how)()
        second = await server.accept()
        assert peer.gone
        assert second.number == 2


async def test_a_frozen_server_reads_nothing_until_it_thaws() -> None:
    async with talking() as (server, session):
        peer = await server.accept()
        await session.wait_until(State.OPEN)
        peer.freeze()
        await session.send("kept")
        await asyncio.sleep(0.05)
        assert peer.received == []
        peer.thaw()
        await peer.expect("kept")


async def test_a_client_that_does_not_answer_a_close_fails() -> None:
    async with talking() as (server, session):
        peer = await server.accept()
        await session.wait_until(State.OPEN)
        peer.freeze()
        with pytest.raises(AssertionError, match="a close frame, and did not"):
            await peer.close(1001, within=0.05)
        peer.thaw()


@IN_VIRTUAL_TIME
async def test_scripts_are_played_in_turn_and_the_last_to_the_rest() -> None:
    async with talking(rejecting(503), closing(1012), resetting(), echo) as (
        server,
        session,
    ):
        await server.arrivals(4)
        await session.wait_until(State.OPEN)
        await session.send("x")
        assert await session.receive() == "x"
        server.play(feeding("1", "2", then=closing(1001)), hold)
        await server.peer.reset()
        assert [await session.receive() for _ in range(2)] == ["1", "2"]
        await server.arrivals(6)
        server.play()
        await server.peer.drop()
        await (await server.accept()).send("live")
        assert await session.receive() == "live"


@IN_VIRTUAL_TIME
async def test_the_scripts_of_silence() -> None:
    async with talking(hang, black_hole, mute_at_close) as (server, session):
        await server.arrivals(1)
        assert session.state is State.CONNECTING
        session.reconnect("it hangs")
        peer = await server.arrivals(2)
        await session.wait_until(State.OPEN)
        assert not peer.answers_pings
        await peer.reset()
        await server.arrivals(3)
        await session.wait_until(State.OPEN)
        await server.peer.reset()


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


async def test_writers_wait_for_a_client_that_takes_no_more() -> None:
    inbox = resilient_ws.Inbox(max_messages=1)
    async with talking(inbox=inbox) as (server, session):
        peer = await server.accept()
        sent = 0

        async def floods() -> None:
            nonlocal sent
            for sent in range(1, 1001):  # noqa: B007 - counted from outside
                await peer.send(bytes(100_000))

        flood = asyncio.create_task(floods())
        await session.receive()
        await asyncio.sleep(0.1)
        assert sent < 1000
        for _ in range(999):
            assert len(await session.receive()) == 100_000
        await flood


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
