"""GraphQL over WebSocket, against graphql-ws on node, and a server that is unkind."""

from __future__ import annotations

import asyncio
import json
import pathlib
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from tenacity import wait_fixed

from resilient_ws import ConnectionLost, Reconnect, Timeouts, connect
from resilient_ws.feeds import (
    CallLost,
    Channel,
    Gap,
    MessageOdd,
    Stage,
    consecutive,
)
from resilient_ws.feeds.protocols import GraphQL, GraphQLError
from resilient_ws.testing import BlackHole, FaultProxy, Reset, ScriptedServer
from tests.feeds.talk import scripted, take, until
from tests.servers.process import ServerProcess, daemon, node_module


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws.feeds import Source
    from resilient_ws.testing import Peer


QUICKLY = Reconnect(wait=wait_fixed(0.05))


@pytest.fixture
async def graphql_server() -> AsyncIterator[ServerProcess]:
    node_module("graphql-ws/package.json")
    folder = pathlib.Path(__file__).parents[2] / "servers" / "node"
    command = [daemon("node", "nodejs"), str(folder / "serve_graphql.js"), "{port}"]
    async with ServerProcess(command) as server:
        yield server


def channel(url: str, graphql: GraphQL, **settings: Any) -> Channel:
    session = connect(
        url,
        subprotocols=[GraphQL.SUBPROTOCOL],
        reconnect=QUICKLY,
        timeouts=Timeouts(close=0.2),
    )
    return Channel(session, graphql, **settings)


def ticks(graphql: GraphQL, feed: Channel) -> Source[int, int]:
    """Return the ticks, whose holes are filled by a query."""

    async def backfill(after: int, until: int | None) -> AsyncIterator[int]:
        query = "query($a: Float!, $u: Float) { history(after: $a, until: $u) }"
        request = graphql.request(query, {"a": after, "u": until})
        result = await feed.ask(*request, repeat=True)
        for tick in result["data"]["history"]:
            yield tick

    return attrs.evolve(
        graphql.subscription("subscription { ticks }"),
        parse=lambda result: result["data"]["ticks"],
        cursor_of=lambda tick: tick,
        follows=consecutive(lambda tick: tick),
        backfill=backfill,
    )


@pytest.mark.wire
async def test_requests_and_what_becomes_of_them(graphql_server: ServerProcess) -> None:
    graphql = GraphQL()
    async with channel(graphql_server.url, graphql) as feed:
        echo = graphql.request("query($t: String!) { echo(text: $t) }", {"t": "é\n"})
        assert await feed.ask(*echo) == {"data": {"echo": "é\n"}}
        broken = await feed.ask(*graphql.request("{ broken }"))
        assert broken["data"] == {"broken": None}
        assert broken["errors"][0]["message"] == "it is broken"
        with pytest.raises(GraphQLError) as refused:
            await feed.ask(*graphql.request("{ nothing }"))
        assert "nothing" in refused.value.errors[0]["message"]
        two = 'query A { a: echo(text: "a") } query B { b: echo(text: "b") }'
        assert await feed.ask(*graphql.request(two, name="B")) == {"data": {"b": "b"}}
        many = [graphql.request("mutation { add }") for _ in range(200)]
        found = await asyncio.gather(*[feed.ask(*request) for request in many])
        assert sorted(result["data"]["add"] for result in found) == [*range(1, 201)]


@pytest.mark.wire
async def test_subscriptions_begin_end_and_are_refused(
    graphql_server: ServerProcess,
) -> None:
    graphql = GraphQL()
    async with channel(graphql_server.url, graphql) as feed:
        few = await feed.subscribe(
            graphql.subscription("subscription { few(count: 500) }")
        )
        found = [item async for item in few]
        assert found == [{"data": {"few": n}} for n in range(1, 501)]
        wrong = await feed.subscribe(graphql.subscription("subscription { nothing }"))
        with pytest.raises(GraphQLError):
            await anext(wrong)
        async with await feed.subscribe(graphql.subscription("subscription { ticks }")):
            pass
        (left,) = await graphql_server.logged("complete", id="s3")
        assert left["connection"] == 1


@pytest.mark.wire
async def test_each_connection_logs_in_anew(graphql_server: ServerProcess) -> None:
    tokens = iter(["first", "second"])

    async def token() -> dict[str, str]:
        return {"token": next(tokens)}

    graphql = GraphQL(token)
    async with (
        FaultProxy("127.0.0.1", graphql_server.port) as proxy,
        channel(proxy.url(), graphql) as feed,
    ):
        source = graphql.subscription("subscription { idle }")
        subscription = await feed.subscribe(source)
        proxy.connections[-1].apply(Reset())
        (gap,) = await take(subscription, 1)
        assert isinstance(gap, Gap)
        logins = await graphql_server.logged("connect", count=2)
        assert [entry["payload"] for entry in logins] == [
            {"token": "first"},
            {"token": "second"},
        ]
        await graphql_server.logged("subscribe", connection=2)


@pytest.mark.wire
async def test_a_login_that_is_refused_fails(graphql_server: ServerProcess) -> None:
    feed = channel(graphql_server.url, GraphQL({"token": "wrong"}))
    with pytest.raises(ConnectionLost, match="4403"):
        await feed.__aenter__()
    refused = await graphql_server.logged("connect", count=2)
    assert len(refused) == 2  # once more with a fresh payload, and then it is final


@pytest.mark.wire
async def test_a_session_without_the_subprotocol_is_told_so(
    graphql_server: ServerProcess,
) -> None:
    session = connect(graphql_server.url, reconnect=QUICKLY, wait_open=1)
    with pytest.raises(ConnectionLost, match="4406"):
        await Channel(session, GraphQL()).__aenter__()


@pytest.mark.wire
async def test_no_tick_is_missing_when_the_link_is_cut(
    graphql_server: ServerProcess,
) -> None:
    graphql = GraphQL(ping_interval=0.1)
    async with (
        FaultProxy("127.0.0.1", graphql_server.port) as proxy,
        channel(proxy.url(), graphql) as feed,
    ):
        subscription = await feed.subscribe(ticks(graphql, feed))
        found: list[Any] = []
        for _ in range(5):
            found += await take(subscription, 30)
            proxy.connections[-1].apply(Reset())
        found += await take(subscription, 30)
    assert found == [*range(found[0], found[0] + 180)]
    assert proxy.accepted == 6


@pytest.mark.wire
async def test_no_tick_is_missing_when_the_link_goes_deaf(
    graphql_server: ServerProcess,
) -> None:
    graphql = GraphQL(ping_interval=0.2)
    async with (
        FaultProxy("127.0.0.1", graphql_server.port) as proxy,
        channel(proxy.url(), graphql) as feed,
    ):
        subscription = await feed.subscribe(ticks(graphql, feed))
        found = await take(subscription, 30)
        proxy.connections[-1].apply(BlackHole("down"))
        found += await take(subscription, 100)
    assert found == [*range(found[0], found[0] + 130)]
    assert proxy.accepted == 2


@pytest.mark.wire
async def test_no_tick_is_missing_when_the_server_is_killed(
    graphql_server: ServerProcess,
) -> None:
    graphql = GraphQL()
    async with channel(graphql_server.url, graphql) as feed:
        subscription = await feed.subscribe(ticks(graphql, feed))
        found = await take(subscription, 30)
        await graphql_server.restart()
        while len(found) < 300:
            found += await take(subscription, 30)
    assert found == [*range(found[0], found[0] + len(found))]


@pytest.mark.wire
async def test_a_mutation_that_was_lost_is_not_sent_again(
    graphql_server: ServerProcess,
) -> None:
    graphql = GraphQL()
    async with (
        FaultProxy("127.0.0.1", graphql_server.port) as proxy,
        channel(proxy.url(), graphql) as feed,
    ):
        slow = graphql.request("mutation { add(wait: 60000) }")
        asked = asyncio.create_task(feed.ask(*slow))
        await graphql_server.logged("add")
        proxy.connections[-1].apply(Reset())
        with pytest.raises(CallLost) as lost:
            await asked
        assert lost.value.maybe_executed
        added = await feed.ask(*graphql.request("mutation { add }"))
        assert added == {"data": {"add": 2}}


# What no good server does.


async def greeted(server: ScriptedServer) -> Peer:
    """Accept a client, and its login."""
    peer = await server.accept(subprotocol=GraphQL.SUBPROTOCOL)
    init = await peer.expect(lambda m: json.loads(m)["type"] == "connection_init")
    assert json.loads(init)["payload"] == {}
    await peer.send('{"type":"connection_ack"}')
    return peer


def next_(key: str, value: object) -> str:
    return json.dumps({"type": "next", "id": key, "payload": {"data": value}})


def offline(server: ScriptedServer, graphql: GraphQL, **settings: Any) -> Channel:
    session = connect(server.url(), subprotocols=[GraphQL.SUBPROTOCOL], wait_open=False)
    return Channel(session, graphql, **settings)


async def test_what_comes_with_the_acknowledgement_is_not_lost() -> None:
    graphql = GraphQL()
    async with scripted() as server, offline(server, graphql) as feed:
        peer = await server.accept(subprotocol=GraphQL.SUBPROTOCOL)
        await peer.receive()
        # A flood before the login ends, of items whose key is still to come.
        early = [next_("s1", n) for n in range(200)]
        await peer.send(
            "{", "[1]", '{"type":"ping"}', *early, '{"type":"connection_ack"}'
        )
        await peer.expect('{"type":"pong"}')
        source = graphql.subscription("subscription { x }")
        subscription = await feed.subscribe(source)
        assert await take(subscription, 200) == [{"data": n} for n in range(200)]


async def test_a_server_that_answers_no_ping_is_left() -> None:
    graphql = GraphQL(ping_interval=10)
    async with scripted() as server, offline(server, graphql):
        peer = await greeted(server)
        for _ in range(3):
            await peer.expect('{"type":"ping"}', within=11)
            await peer.send('{"type":"pong"}')
        await peer.expect('{"type":"ping"}', within=11)
        await server.accept(subprotocol=GraphQL.SUBPROTOCOL, within=11)


HOSTILE = [
    "",
    "{",
    "null",
    "[]",
    '"next"',
    "[" * 100_000,
    "{}",
    '{"type":null}',
    '{"type":[]}',
    '{"type":"next"}',
    '{"type":"next","id":1}',
    '{"type":"next","id":[]}',
    '{"type":"error","id":"r99","payload":null}',
    '{"type":"complete","id":"s99"}',
    '{"type":"hello"}',
    '{"type":"connection_ack"}',
]


@pytest.mark.usefixtures("without_collection")
async def test_what_makes_no_sense_is_counted_and_does_no_harm() -> None:
    odd: list[MessageOdd] = []
    graphql = GraphQL()
    async with (
        scripted() as server,
        offline(server, graphql, report=odd.append, early=0) as feed,
    ):
        peer = await greeted(server)
        subscription = await feed.subscribe(graphql.subscription("subscription { x }"))
        await peer.send(*HOSTILE, b"\xff", next_("s1", 1))
        assert await take(subscription, 1) == [{"data": 1}]
        assert subscription.state is Stage.LIVE
        assert not peer.gone
    assert len(odd) == len(HOSTILE) + 1


async def test_a_ping_is_answered_and_a_pong_is_not() -> None:
    async with scripted() as server, offline(server, GraphQL()):
        peer = await greeted(server)
        await peer.send('{"type":"pong"}', '{"type":"ping","payload":{"a":1}}')
        await peer.expect('{"type":"pong"}')
        await asyncio.sleep(1)
        assert len(peer.received) == 2


async def test_a_subscription_that_completes_late_is_none_of_ours() -> None:
    odd: list[MessageOdd] = []
    graphql = GraphQL()
    async with (
        scripted() as server,
        offline(server, graphql, report=odd.append) as feed,
    ):
        peer = await greeted(server)
        async with await feed.subscribe(graphql.subscription("subscription { x }")):
            pass
        await peer.expect(lambda m: json.loads(m)["type"] == "subscribe")
        await peer.expect('{"type":"complete","id":"s1"}')
        await peer.send(next_("s1", 1), '{"type":"complete","id":"s1"}')
        await until(lambda: odd)
        assert [what.kind for what in odd] == ["unexpected"]


async def test_the_error_of_a_subscription_says_what_the_server_said() -> None:
    graphql = GraphQL()
    async with scripted() as server, offline(server, graphql) as feed:
        peer = await greeted(server)
        subscription = await feed.subscribe(graphql.subscription("subscription { x }"))
        errors = [{"message": "no such field"}]
        await peer.send(json.dumps({"type": "error", "id": "s1", "payload": errors}))
        with pytest.raises(GraphQLError) as refused:
            await anext(subscription)
        assert refused.value.errors == errors
