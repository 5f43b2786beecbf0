"""A server that asks for a new connection gets it, at the pace of a backoff."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from resilient_ws import Reconnect, connect
from resilient_ws.feeds import Channel, Item, MessageOdd, Rotate
from resilient_ws.testing.scripts import hold
from tests.feeds.talk import Talk, channel, now, say, scripted, until


if TYPE_CHECKING:
    from resilient_ws.testing import Peer, ScriptedServer


def gaps(server: ScriptedServer) -> list[float]:
    return [later - earlier for earlier, later in pairwise(server.dials)]


async def test_the_first_replacement_is_made_at_once() -> None:
    protocol = Talk()
    protocol.close_code = 4000
    async with scripted() as server:
        async with channel(server, protocol):
            first = await server.accept()
            await asyncio.sleep(1)
            await first.send(say("rotate", reason="a deployment"))
            second = await server.accept()
            assert server.dials[1] == pytest.approx(server.dials[0] + 1, abs=0.3)
            assert first.close_received == (4000, "")
        assert second.close_received == (1000, "")


async def test_a_server_that_always_asks_is_not_dialled_in_a_hot_loop() -> None:
    async def asks(peer: Peer) -> None:
        await peer.accept()
        await peer.send(say("rotate", reason="again"))
        await peer.ended()

    async with scripted(asks) as server:
        async with channel(server, Talk()):
            await asyncio.sleep(600)
        # 0, 1, 2, 4, 8, 16 and then 30 seconds apart: without it, five a second.
        expected = [0.2, 1, 2, 4, 8, 16, *[30] * 30]
        for gap, least in zip(gaps(server), expected, strict=False):
            assert least - 0.1 < gap < least + 1
        assert 20 <= len(server.dials) <= 26


async def test_calm_makes_the_next_replacement_quick_again() -> None:
    async with scripted() as server, channel(server, Talk()):
        peer = await server.accept()
        for _ in range(3):
            await peer.send(say("rotate", reason="again"))
            peer = await server.accept()
        await asyncio.sleep(61)
        before = now()
        await peer.send(say("rotate", reason="much later"))
        await server.accept()
        assert now() - before < 0.5


async def test_a_connection_is_replaced_once_however_often_it_is_asked() -> None:
    async with scripted() as server:
        async with channel(server, Talk()):
            first = await server.accept()
            await first.send(*3 * [say("rotate", reason="at once")])
            second = await server.accept()
            await asyncio.sleep(100)
            assert not second.gone
        assert len(server.dials) == 2


async def test_a_reset_waits_a_little_and_logs_in_anew() -> None:
    protocol = Talk()
    protocol.close_code = 4000
    async with scripted() as server:
        async with channel(server, protocol):
            peer = await server.accept()
            await asyncio.sleep(1)
            await peer.send(say("reset", reason="the server restarted"))
            peer = await server.accept()
            assert 1 <= server.dials[1] - server.dials[0] - 1 <= 5.5
            await asyncio.sleep(1)
            await peer.send(say("reset", reason="once more", resume=True))
            await server.accept()
            assert peer.close_received == (4000, "")
        assert protocol.resumes == [False, False, True]


async def test_a_login_that_failed_is_no_reason_to_resume() -> None:
    protocol = Talk()
    protocol.refusals = 2
    async with scripted(hold) as server:
        async with channel(server, protocol):
            await until(lambda: len(protocol.resumes) == 3)
            await server.peer.drop()
            await until(lambda: len(protocol.resumes) == 4)
        assert protocol.resumes == [False, False, False, True]


async def test_a_connection_that_ends_first_leaves_nothing_to_replace() -> None:
    async with scripted() as server:
        async with channel(server, Talk()):
            peer = await server.accept()
            await peer.send(say("reset", reason="the server restarted"))
            await peer.ping()
            await peer.drop()
            second = await server.accept()
            await asyncio.sleep(100)
            assert not second.gone
        assert len(server.dials) == 2


@pytest.mark.parametrize(
    "url", ["", "nowhere", "http://127.0.0.1", "ws://example.com", "wss://", "\ud800"]
)
async def test_a_url_that_is_not_allowed_is_not_dialled(url: str) -> None:
    odd: list[MessageOdd] = []
    async with scripted() as server:
        async with channel(server, Talk(), report=odd.append):
            peer = await server.accept()
            await peer.send(say("rotate", reason="elsewhere", url=url))
            await server.accept()
        assert [what.kind for what in odd] == ["malformed"]


@pytest.mark.parametrize("url", ["nowhere", "ws://example.com", "\ud800"])
async def test_a_url_that_is_not_allowed_is_not_given_to_on_rotate(url: str) -> None:
    asked: list[Rotate] = []
    odd: list[MessageOdd] = []
    options: Any = {"report": odd.append, "on_rotate": asked.append}
    async with scripted() as server, channel(server, Talk(), **options):
        peer = await server.accept()
        await peer.send(say("rotate", reason="elsewhere", url=url))
        await until(lambda: asked)
    assert asked == [Rotate("elsewhere", None)]
    assert [what.kind for what in odd] == ["malformed"]


async def test_a_session_of_one_connection_keeps_it() -> None:
    odd: list[MessageOdd] = []
    async with scripted() as server:
        session = connect(server.url(), reconnect=Reconnect.once(), wait_open=False)
        async with Channel(session, Talk(), report=odd.append):
            peer = await server.accept()
            await peer.send(say("rotate", reason="for nothing"))
            await asyncio.sleep(1)
            assert not peer.gone
        assert len(odd) == 1


class Wordy(Talk):
    @override
    def ack(self, item: Item) -> str:
        return f"{item.value} ".ljust(10_000)


async def test_acknowledgements_go_out_before_the_connection_is_replaced() -> None:
    async with scripted() as server, channel(server, Wordy()):
        first = await server.accept()
        # More than fits between the two.
        first.freeze()
        await first.send(*[say("item", key="news", value=n) for n in range(900)])
        await first.send(say("rotate", reason="a deployment"))
        await asyncio.sleep(0.5)
        first.thaw()
        await server.accept()
        assert [int(message) for message in first.received] == [*range(900)]


async def test_a_server_that_does_not_read_holds_up_its_replacement_shortly() -> None:
    async with scripted() as server, channel(server, Wordy()):
        first = await server.accept()
        first.freeze()
        await first.send(*[say("item", key="news", value=n) for n in range(900)])
        await first.send(say("rotate", reason="a deployment"))
        # A second for what waits, and what the session allows for its goodbye.
        await server.accept(within=7)


async def test_what_the_server_asks_for_is_left_to_on_rotate() -> None:
    asked: list[Rotate] = []
    async with scripted() as server:
        async with channel(server, Talk(), on_rotate=asked.append):
            peer = await server.accept()
            await peer.send(
                say("rotate", reason="a deployment", url="ws://127.0.0.1/b")
            )
            await asyncio.sleep(100)
            assert not peer.gone
            await peer.send(say("reset", reason="the server restarted"))
            await server.accept()
        assert asked == [Rotate("a deployment", "ws://127.0.0.1/b")]
        assert len(server.dials) == 2
