"""Slack's Socket Mode, against a server written from its documentation."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import Attempt, ConnectionDropped, connect
from resilient_ws.feeds import Channel, Gap, LoginRefused, MessageOdd, SubscribeRefused
from resilient_ws.feeds.protocols import Slack
from resilient_ws.testing import ClientGone
from tests.feeds.talk import now, scripted, take, until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from resilient_ws.testing import Peer, ScriptedServer


HELLO = json.dumps(
    {
        "type": "hello",
        "num_connections": 1,
        "debug_info": {"host": "applink-1", "approximate_connection_time": 3600},
        "connection_info": {"app_id": "A1"},
    }
)


def envelope(number: int, kind: str = "events_api", **more: Any) -> str:
    payload = {"type": "event_callback", "event_id": f"Ev{number}", "number": number}
    return json.dumps(
        {
            "envelope_id": f"e{number}",
            "type": kind,
            "accepts_response_payload": kind != "events_api",
            "payload": payload,
            **more,
        }
    )


def bye(reason: str) -> str:
    return json.dumps({"type": "disconnect", "reason": reason, "debug_info": {}})


def ack(number: int, **more: Any) -> Callable[[str | bytes], bool]:
    return lambda message: json.loads(message) == {"envelope_id": f"e{number}", **more}


def numbers(items: list[Any]) -> list[Any]:
    """Return the number of each envelope, and ``None`` for a gap."""
    return [None if isinstance(i, Gap) else i["payload"]["number"] for i in items]


class Tickets:
    """As ``apps.connections.open``: a URL is for one connection."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self.given = 0

    async def __call__(self, _: Attempt) -> str:
        self.given += 1
        return self._server.url(f"/link/?ticket={self.given}")


@contextlib.asynccontextmanager
async def bot(
    slack: Slack | None = None, **settings: Any
) -> AsyncIterator[tuple[ScriptedServer, Channel, Slack]]:
    """A server, and a channel that dials it."""
    slack = Slack() if slack is None else slack
    async with scripted() as server:
        session = connect(Tickets(server), wait_open=False)
        async with Channel(session, slack, **settings) as feed:
            yield server, feed, slack


async def greeted(server: ScriptedServer, within: float = 10.0) -> Peer:
    peer = await server.accept(within=within)
    await peer.send(HELLO)
    return peer


async def test_each_envelope_is_acknowledged_before_anybody_reads_it() -> None:
    async with bot() as (server, feed, slack):
        peer = await greeted(server)
        subscription = await feed.subscribe(slack.envelopes())
        await peer.send(envelope(1), envelope(2, "slash_commands"))
        await peer.expect(ack(1), within=0.1)
        await peer.expect(ack(2), within=0.1)
        assert numbers(await take(subscription, 2)) == [1, 2]


async def test_what_comes_at_once_is_neither_lost_nor_left_waiting() -> None:
    async with bot() as (server, feed, slack):
        peer = await server.accept()
        await peer.send(HELLO, *[envelope(n) for n in range(100)])
        for number in range(100):
            await peer.expect(ack(number), within=3)
        subscription = await feed.subscribe(slack.envelopes())
        assert numbers(await take(subscription, 100)) == [*range(100)]


async def test_a_consumer_that_sleeps_holds_up_no_acknowledgement() -> None:
    async with bot() as (server, feed, slack):
        peer = await greeted(server)
        subscription = await feed.subscribe(slack.envelopes(), buffer=100)
        for number in range(500):
            await peer.send(envelope(number))
            await peer.expect(ack(number), within=3)
        found = await take(subscription, 100)
        assert numbers(found) == [*range(100)]
        (gap,) = await take(subscription, 1)
        assert isinstance(gap, Gap)
        await peer.send(envelope(500))
        assert numbers(await take(subscription, 1)) == [500]
        assert subscription.dropped == 400


async def test_an_answer_goes_out_with_the_acknowledgement() -> None:
    def respond(message: dict[str, Any]) -> dict[str, str] | None:
        if message["type"] == "slash_commands":
            return {"text": f"got {message['payload']['number']}"}
        return None

    async with bot(Slack(respond)) as (server, feed, slack):
        peer = await greeted(server)
        await feed.subscribe(slack.envelopes())
        kinds = ["slash_commands", "interactive", "events_api"]
        await peer.send(*[envelope(n, kind) for n, kind in enumerate(kinds)])
        await peer.expect(ack(0, payload={"text": "got 0"}))
        await peer.expect(ack(1))
        await peer.expect(ack(2))


async def test_kinds_are_divided_among_subscriptions() -> None:
    async with bot() as (server, feed, slack):
        peer = await greeted(server)
        commands = await feed.subscribe(
            slack.envelopes("slash_commands", "interactive")
        )
        rest = await feed.subscribe(slack.envelopes())
        with pytest.raises(SubscribeRefused):
            await feed.subscribe(slack.envelopes("interactive"))
        kinds = ["interactive", "events_api", "slash_commands", "new_kind"]
        await peer.send(*[envelope(n, kind) for n, kind in enumerate(kinds)])
        assert numbers(await take(commands, 2)) == [0, 2]
        assert numbers(await take(rest, 2)) == [1, 3]
        await peer.until(lambda: len(peer.received) == 4)


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "link_disabled"])
async def test_a_rotation_dials_a_new_url_at_once(reason: str) -> None:
    async with bot() as (server, feed, slack):
        first = await greeted(server)
        subscription = await feed.subscribe(slack.envelopes())
        await first.send(envelope(1))
        await asyncio.sleep(3600)
        before = now()
        # As Slack does: a warning first, and then that it is time.
        await first.send(bye(reason), envelope(2), bye("refresh_requested"))
        second = await greeted(server)
        assert now() - before < 1
        assert (first.path, second.path) == ("/link/?ticket=1", "/link/?ticket=2")
        # What came before the connection was closed was taken and acknowledged there.
        assert [json.loads(m)["envelope_id"] for m in first.received] == ["e1", "e2"]
        await second.send(envelope(3))
        await second.expect(ack(3))
        assert numbers(await take(subscription, 4)) == [1, 2, None, 3]
        await asyncio.sleep(100)
        assert len(server.dials) == 2


async def test_no_acknowledgement_goes_out_on_a_later_connection() -> None:
    async with bot() as (server, feed, slack):
        await greeted(server)
        subscription = await feed.subscribe(slack.envelopes())
        # The acknowledgement is on its way as the connection ends.
        await server.peer.send(envelope(1))
        await server.peer.reset()
        second = await greeted(server)
        # Slack did not get it, and sends the event again.
        await second.send(envelope(2), envelope(1, retry_attempt=1))
        await second.expect(ack(2))
        await second.expect(ack(1))
        await second.send(envelope(3))
        found = numbers(await take(subscription, 4))
        assert [n for n in found if n is not None] == [1, 2, 3]
        assert found.count(None) == 1


async def test_an_event_that_comes_again_is_acknowledged_and_yielded_once() -> None:
    async with bot() as (server, feed, slack):
        peer = await greeted(server)
        subscription = await feed.subscribe(slack.envelopes())
        again = envelope(1, envelope_id="another", retry_attempt=1)
        await peer.send(envelope(1), again, envelope(2))
        await peer.expect(ack(1))
        await peer.expect('{"envelope_id":"another"}')
        assert numbers(await take(subscription, 2)) == [1, 2]
        assert subscription.repeats == 1


async def test_a_connection_that_slack_refuses_is_a_failed_attempt() -> None:
    drops: list[ConnectionDropped] = []
    tickets: list[str] = []

    async def refuse(peer: Peer) -> None:
        await peer.accept()
        tickets.append(peer.path)
        await peer.send(bye("too_many_websockets"))
        await peer.ended()

    async with scripted(refuse) as server:
        session = connect(Tickets(server), wait_open=30)
        session.on(ConnectionDropped, drops.append)
        with pytest.raises(LoginRefused, match="too_many_websockets"):
            await Channel(session, Slack()).__aenter__()
        # At the pace of the backoff, each time with a new URL.
        assert 2 <= len(server.dials) <= 12
        assert len(set(tickets)) == len(tickets)
        assert not drops


async def test_a_server_that_never_greets_is_left() -> None:
    async with bot() as (server, _, _):
        await server.accept()
        peer = await greeted(server, within=60)
        assert now() > 29
        await asyncio.sleep(60)
        assert not peer.gone


class Forgetful:
    """Sends an event again on the next connection until it is acknowledged."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.sent = 0
        self.open: dict[str, str] = {}

    async def play(self, peer: Peer) -> None:
        await peer.accept()
        await peer.send(HELLO, *self.open.values())
        acks = asyncio.create_task(self.listen(peer))
        try:
            while True:
                await self.misfortune(peer)
        finally:
            acks.cancel()

    async def listen(self, peer: Peer) -> None:
        with contextlib.suppress(ClientGone):
            while True:
                del self.open[json.loads(await peer.receive())["envelope_id"]]

    async def misfortune(self, peer: Peer) -> None:
        for _ in range(self.chance.randrange(5)):
            self.sent += 1
            self.open[f"e{self.sent}"] = envelope(self.sent)
            await peer.send(envelope(self.sent))
        match self.chance.randrange(12):
            case 0:
                await peer.reset()
            case 1:
                await peer.drop()
            case 2:
                await peer.close(1001)
            case 3 | 4:
                await peer.send(
                    bye(self.chance.choice(["warning", "refresh_requested"]))
                )
            case 5:
                await asyncio.sleep(self.chance.uniform(0, 100))
            case _:
                pass
        await asyncio.sleep(self.chance.choice([0, 0, 0.001, 0.2]))


@pytest.mark.parametrize("seed", range(20))
async def test_each_event_comes_once_whatever_goes_wrong(seed: int) -> None:
    slack, forgetful = Slack(), Forgetful(random.Random(seed))
    async with scripted(forgetful.play) as server:
        session = connect(Tickets(server), wait_open=False)
        async with Channel(session, slack) as feed:
            subscription = await feed.subscribe(slack.envelopes())
            found: list[Any] = []
            while len(server.dials) < 20:
                found += numbers(await take(subscription, 1, within=300))
            sent = forgetful.sent
            while len(found) - found.count(None) < sent:
                found += numbers(await take(subscription, 1, within=300))
    events = [number for number in found if number is not None]
    assert sorted(events) == [*range(1, len(events) + 1)]


HOSTILE = [
    "",
    "[]",
    "{}",
    "[" * 100_000,
    '{"type": 1}',
    '{"type": {}, "envelope_id": "x"}',
    '{"type": "nonsense"}',
    '{"type": "disconnect", "reason": {"a": "\\nforged log line"}}',
]


@pytest.mark.usefixtures("without_collection")
async def test_what_makes_no_sense_is_counted_and_does_no_harm() -> None:
    odd: list[MessageOdd] = []
    async with bot(report=odd.append) as (server, feed, slack):
        peer = await greeted(server)
        subscription = await feed.subscribe(slack.envelopes())
        weird = [
            '{"type": "events_api", "envelope_id": 7}',
            '{"type": "events_api", "envelope_id": [null], "payload": []}',
        ]
        await peer.send(*weird, *HOSTILE)
        second = await greeted(server)  # the last of them was a disconnect
        await second.send(envelope(1))
        await second.expect(ack(1))
        found = await take(subscription, 4)
        assert [isinstance(item, Gap) for item in found] == [False, False, True, False]
    assert len(odd) == len(HOSTILE) - 1


async def test_a_response_that_fails_is_told_and_nothing_else_suffers() -> None:
    odd: list[MessageOdd] = []

    def respond(message: dict[str, Any]) -> object:
        if message["payload"]["number"] == 1:
            raise KeyError("secret")
        return float("nan") if message["payload"]["number"] == 2 else {"text": "fine"}

    async with bot(Slack(respond), report=odd.append) as (server, feed, slack):
        peer = await greeted(server)
        await feed.subscribe(slack.envelopes())
        await peer.send(*[envelope(n, "slash_commands") for n in (1, 3)])
        await peer.expect(ack(3, payload={"text": "fine"}))
        await until(lambda: odd)
        assert "KeyError" in odd[0].what
        assert "secret" not in odd[0].what
