"""What a peer of a ScriptedServer answers, sends and expects, with real sessions."""

from __future__ import annotations

import asyncio

import pytest

import resilient_ws
from resilient_ws import State
from resilient_ws.testing import ClientGone
from tests.record import until
from tests.testing.talking import talking


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
