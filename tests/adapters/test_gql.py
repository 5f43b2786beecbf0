"""gql on a session, against two servers of other hands: one on node, one on Python."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from gql import Client, GraphQLRequest, gql
from gql.transport.exceptions import (
    TransportAlreadyConnected,
    TransportClosed,
    TransportConnectionFailed,
    TransportProtocolError,
    TransportQueryError,
)
from tenacity import wait_fixed

from resilient_ws import Reconnect, Timeouts, connect
from resilient_ws.adapters.gql import ExecutionLost, ResilientTransport
from resilient_ws.feeds import Gap, NotBackfillable, consecutive
from resilient_ws.feeds.protocols import GraphQL
from resilient_ws.testing import (
    BlackHole,
    FaultProxy,
    Reset,
    ScriptedServer,
    assert_no_leaks,
)
from tests.servers.process import ServerProcess, daemon, free_port, node_module


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws import Session
    from resilient_ws.feeds import Source
    from resilient_ws.testing import Peer


SERVERS = pathlib.Path(__file__).parent.parent / "servers"
TICKS = gql("subscription { ticks }")
ADD = gql("mutation ($w: Int) { add(wait: $w) }")
ECHO = gql("query ($t: String!) { echo(text: $t) }")


@pytest.fixture(params=["graphql-ws", "strawberry"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[ServerProcess]:
    if request.param == "strawberry":
        # -E: it has the libraries of this environment, whatever gql is tried with.
        command = [sys.executable, "-E", str(SERVERS / "serve_strawberry.py"), "{port}"]
    else:
        node_module("graphql-ws/package.json")
        script = SERVERS / "node" / "serve_graphql.js"
        command = [daemon("node", "nodejs"), str(script), "{port}"]
    async with ServerProcess(command) as process:
        yield process


def transport(url: str, **options: Any) -> ResilientTransport:
    def session() -> Session:
        return connect(
            url,
            subprotocols=[GraphQL.SUBPROTOCOL],
            reconnect=Reconnect(wait=wait_fixed(0.05)),
            timeouts=Timeouts(close=0.2),
        )

    return ResilientTransport(session, **options)


class History:
    """Asks the server for the ticks that were missed."""

    def __init__(self) -> None:
        self.transport: ResilientTransport

    def __call__(self, _: GraphQLRequest, source: Source[Any, Any]) -> Source[Any, Any]:
        return attrs.evolve(
            source,
            cursor_of=tick_of,
            follows=consecutive(tick_of),
            backfill=self.missed,
        )

    async def missed(self, after: int, until: int | None) -> AsyncIterator[Any]:
        asked = GraphQLRequest(
            "query($a: Float!, $u: Float) { history(after: $a, until: $u) }",
            variable_values={"a": after, "u": until},
        )
        result = await self.transport.execute(asked)
        assert result.data is not None
        for tick in result.data["history"]:
            yield {"data": {"ticks": tick}}


def tick_of(result: Any) -> int:
    return int(result["data"]["ticks"])


@pytest.mark.wire
async def test_requests_and_what_becomes_of_them(server: ServerProcess) -> None:
    async with Client(transport=ResilientTransport(server.url)) as session:
        echo = GraphQLRequest(ECHO, variable_values={"t": "é\n"})
        assert await session.execute(echo) == {"echo": "é\n"}
        with pytest.raises(TransportQueryError, match="it is broken") as broken:
            await session.execute(gql("{ broken }"))
        assert broken.value.data == {"broken": None}
        with pytest.raises(TransportQueryError, match="nothing"):
            await session.execute(gql("{ nothing }"))
        two = 'query A { a: echo(text: "a") } query B { b: echo(text: "b") }'
        named = GraphQLRequest(two, operation_name="B")
        assert await session.execute(named) == {"b": "b"}
        many = [session.execute(gql("mutation { add }")) for _ in range(100)]
        found = await asyncio.gather(*many)
        assert sorted(result["add"] for result in found) == [*range(1, 101)]
        # A mutation that is subscribed to is executed once.
        added = [result async for result in session.subscribe(gql("mutation { add }"))]
        assert added == [{"add": 101}]


@pytest.mark.wire
async def test_subscriptions_begin_end_and_are_refused(server: ServerProcess) -> None:
    async with Client(transport=ResilientTransport(server.url)) as session:
        few = gql("subscription { few(count: 200) }")
        found = [result async for result in session.subscribe(few)]
        assert found == [{"few": n} for n in range(1, 201)]
        with pytest.raises(TransportQueryError, match="nothing"):
            await anext(session.subscribe(gql("subscription { nothing }")))


@pytest.mark.wire
async def test_no_tick_is_missing_where_the_schema_has_a_history(
    server: ServerProcess,
) -> None:
    history = History()
    found: list[int] = []
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        history.transport = transport(proxy.url(), history=history, ping_interval=0.3)
        async with Client(transport=history.transport) as session:
            async for result in session.subscribe(TICKS):
                found.append(int(result["ticks"]))
                if len(found) in {30, 60, 90}:
                    proxy.connections[-1].apply(Reset())
                if len(found) == 120:
                    proxy.connections[-1].apply(BlackHole("down"))
                if len(found) == 250:
                    await server.restart()
                if len(found) == 400:
                    break
    assert found == [*range(found[0], found[0] + 400)]
    assert proxy.accepted > 5


@pytest.mark.wire
async def test_a_gap_is_told_where_there_is_no_history(server: ServerProcess) -> None:
    told: list[tuple[GraphQLRequest, Gap]] = []
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        made = transport(proxy.url(), on_gap=lambda *one: told.append(one))
        async with Client(transport=made) as session:
            count = 0
            async for _ in session.subscribe(TICKS):
                count += 1
                if count == 10:
                    proxy.connections[-1].apply(Reset())
                if told:  # not after a number: many may have come before the reset
                    break
    ((request, gap),) = told
    assert request.payload["query"].strip().startswith("subscription")
    assert isinstance(gap.because, NotBackfillable)


@pytest.mark.wire
async def test_a_query_goes_out_again_and_a_mutation_does_not(
    server: ServerProcess,
) -> None:
    async with (
        FaultProxy("127.0.0.1", server.port) as proxy,
        Client(transport=transport(proxy.url())) as session,
    ):
        slow = GraphQLRequest(ADD, variable_values={"w": 60_000})
        asked = asyncio.create_task(session.execute(slow))
        await server.logged("add")
        proxy.connections[-1].apply(Reset())
        with pytest.raises(ExecutionLost) as lost:
            await asked
        assert lost.value.maybe_executed
        assert await session.execute(gql("mutation { add }")) == {"add": 2}


@pytest.mark.wire
async def test_the_reconnecting_session_of_gql_repeats_no_mutation(
    server: ServerProcess,
) -> None:
    ticks: list[Any] = []

    async def read(session: Any) -> None:
        async for result in session.subscribe(TICKS):
            ticks.append(result)  # noqa: PERF401 - it is looked at meanwhile

    async with FaultProxy("127.0.0.1", server.port) as proxy:
        client: Any = Client(transport=transport(proxy.url()))
        session = await client.connect_async(reconnecting=True)
        reading = asyncio.create_task(read(session))
        slow = GraphQLRequest(ADD, variable_values={"w": 60_000})
        asked = asyncio.create_task(session.execute(slow))
        await server.logged("add")
        proxy.connections[-1].apply(Reset())
        with pytest.raises(ExecutionLost):
            await asked
        # The subscription was not ended, as it is where gql connects again.
        count = len(ticks)
        while len(ticks) < count + 10:  # noqa: ASYNC110 - the server's clock
            await asyncio.sleep(0.01)
        assert proxy.accepted == 2
        await client.close_async()
        with pytest.raises(TransportClosed):
            await reading
    assert len(server.entries("add")) == 1


# What no good server does.


@contextlib.asynccontextmanager
async def scripted(**options: Any) -> AsyncIterator[tuple[Peer, Any, Any]]:
    """A server, a client, and its session."""
    async with assert_no_leaks(), ScriptedServer() as server:
        made = ResilientTransport(server.url(), **options)
        client: Any = Client(transport=made, execute_timeout=None)
        async with asyncio.TaskGroup() as group:
            connecting = group.create_task(client.connect_async())
            peer = await greeted(server)
            session = await connecting
        try:
            yield peer, client, session
        finally:
            await client.close_async()


async def greeted(server: ScriptedServer) -> Peer:
    peer = await server.accept(subprotocol=GraphQL.SUBPROTOCOL)
    await peer.expect(lambda m: json.loads(m)["type"] == "connection_init")
    await peer.send('{"type":"connection_ack"}')
    return peer


async def asked(peer: Peer) -> str:
    request: str = json.loads(await peer.receive())["id"]
    return request


def next_(key: str, payload: object) -> str:
    return json.dumps({"type": "next", "id": key, "payload": payload})


@pytest.mark.parametrize("payload", [None, [], "x", {}, {"datum": 1}])
async def test_a_result_that_is_none(payload: object) -> None:
    async with scripted() as (peer, _, session):
        query = asyncio.create_task(session.execute(gql("{ x }")))
        await peer.send(next_(await asked(peer), payload))
        with pytest.raises(TransportProtocolError):
            await query


async def test_errors_that_are_none() -> None:
    async with scripted() as (peer, _, session):
        query = asyncio.create_task(session.execute(gql("{ x }")))
        error = {"type": "error", "id": await asked(peer), "payload": {"message": "no"}}
        await peer.send(json.dumps(error))
        with pytest.raises(TransportQueryError, match="refused"):
            await query


async def test_time_runs_out() -> None:
    async with scripted(timeout=5.0) as (_, _, session):
        with pytest.raises(ExecutionLost, match="5 s"):
            await session.execute(gql("{ x }"))


async def test_gqls_own_timeout() -> None:
    async with scripted() as (_, client, session):
        client.execute_timeout = 1
        with pytest.raises(TimeoutError):
            await session.execute(gql("{ x }"))


async def test_a_subscription_that_is_left_is_told_to_the_server() -> None:
    async with scripted() as (peer, _, session):
        results = session.subscribe(gql("subscription { x }"))
        first = asyncio.create_task(anext(results))
        key = await asked(peer)
        await peer.send(next_(key, {"data": {"x": 1}}))
        assert await first == {"x": 1}
        await results.aclose()
        await peer.expect(
            json.dumps({"type": "complete", "id": key}, separators=(",", ":"))
        )


async def test_extensions_are_refused_and_not_left_out() -> None:
    async with scripted() as (_, _, session):
        request = gql("{ x }")
        try:
            request.extensions = {"a": 1}
            request.payload["extensions"]
        except (AttributeError, KeyError):
            return  # an older gql has none
        with pytest.raises(ValueError, match="extensions="):
            await session.execute(request)


async def test_it_is_connected_once_and_again_after_it_was_closed() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        made = ResilientTransport(server.url(), init_payload={"token": "t"})
        with pytest.raises(TransportClosed):
            await made.execute(gql("{ x }"))
        with pytest.raises(TransportClosed):
            await anext(made.subscribe(gql("subscription { x }")))
        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                connecting = group.create_task(made.connect())
                await greeted(server)
                await connecting
            with pytest.raises(TransportAlreadyConnected):
                await made.connect()
            await made.close()
            await made.close()


def test_a_session_is_not_a_function_that_makes_one() -> None:
    wrong: Any = connect("ws://127.0.0.1")
    with pytest.raises(TypeError, match="url must be"):
        ResilientTransport(wrong)


async def test_a_server_that_cannot_be_reached() -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    made = ResilientTransport(lambda: connect(url, wait_open=0.5))
    for _ in range(2):
        with pytest.raises(TransportConnectionFailed):
            await made.connect()


async def test_the_end_of_the_session_ends_a_subscription() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        protocols = [GraphQL.SUBPROTOCOL]
        made = ResilientTransport(
            lambda: connect(
                server.url(), subprotocols=protocols, reconnect=Reconnect.once()
            )
        )
        async with asyncio.TaskGroup() as group:
            connecting = group.create_task(made.connect())
            peer = await greeted(server)
            await connecting
        first = asyncio.create_task(anext(made.subscribe(gql("subscription { x }"))))
        await asked(peer)
        await peer.reset()
        with pytest.raises(TransportConnectionFailed):
            await first
        await made.close()
