"""docs/adapters/ on web3.py, Slack and gql: their blocks run as they stand, over a drop."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import TYPE_CHECKING, Any

import pytest
from gql import Client, gql
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from resilient_ws.testing import FaultProxy, Reset
from tests.adapters.slack_server import APP_TOKEN, envelope, slack_server
from tests.examples.test_adapters_pages import blocks
from tests.servers.process import HOST, ROOT, ServerProcess, daemon, node_module


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire
PATIENCE = 60.0


async def ends(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
async def graphql_server() -> AsyncIterator[ServerProcess]:
    node_module("graphql-ws/package.json")
    script = ROOT / "tests" / "servers" / "node" / "serve_graphql.js"
    async with ServerProcess([daemon("node", "nodejs"), str(script), "{port}"]) as one:
        yield one


async def test_heads_of_web3_over_a_reset(anvil: Anvil) -> None:
    page = blocks("adapters/web3.md")
    heads: asyncio.Queue[int] = asyncio.Queue()

    async def on_head(context: Any) -> None:
        heads.put_nowait(context.result["number"])

    async with (
        FaultProxy(HOST, anvil.port) as proxy,
        asyncio.timeout(PATIENCE),
        page["AsyncWeb3"](
            page["ResilientProvider"](page["Client"](page["connect"](anvil.url)))
        ) as miner,
    ):
        following = asyncio.create_task(page["follow"](proxy.url(), on_head))
        mined = 0
        while heads.empty():  # until it has subscribed
            await miner.provider.make_request("evm_mine", [])
            mined += 1
            await asyncio.sleep(0.1)
        first = await heads.get()
        proxy.connections[-1].apply(Reset())
        for _ in range(5):
            await miner.provider.make_request("evm_mine", [])
            mined += 1
        found = [await heads.get() for _ in range(mined - first)]
        await ends(following)
    assert found == [*range(first + 1, mined + 1)]


async def test_a_slack_bot_answers() -> None:
    async with slack_server() as slack:
        page = blocks("adapters/slack.md")
        taken: asyncio.Queue[Any] = asyncio.Queue()
        # The page's own asks slack.com.
        page["AsyncWebClient"] = functools.partial(AsyncWebClient, base_url=slack.api)
        running = asyncio.create_task(page["run"](APP_TOKEN, "xoxb-1", taken.put))
        peer = await slack.greeted()
        client = await running
        await peer.send(envelope(1))
        answer = {"envelope_id": "e1"}
        await peer.expect(lambda message: json.loads(message) == answer)
        assert (await taken.get())["event_id"] == "Ev1"
        await client.close()


async def test_a_bolt_app_answers() -> None:
    async with slack_server() as slack:
        page = blocks("adapters/slack.md")

        async def authorize(**_: object) -> AuthorizeResult:
            return AuthorizeResult(enterprise_id=None, team_id="T1", bot_id="B1")

        app = AsyncApp(
            client=AsyncWebClient("xoxb-1", base_url=slack.api),
            signing_secret="secret",
            authorize=authorize,
        )
        app.event("app_mention")(_nothing)
        running = asyncio.create_task(page["run_app"](app, APP_TOKEN))
        peer = await slack.greeted()
        await peer.send(envelope(1))
        answer = {"envelope_id": "e1"}
        await peer.expect(lambda message: json.loads(message) == answer)
        await ends(running)


async def _nothing(event: dict[str, Any]) -> None:
    """Take an event."""


async def test_a_subscription_of_gql_over_a_reset(
    graphql_server: ServerProcess,
) -> None:
    page = blocks("adapters/gql.md")
    taken: asyncio.Queue[Any] = asyncio.Queue()
    async with FaultProxy(HOST, graphql_server.port) as proxy:
        follow = page["follow"](proxy.url(), taken.put_nowait)
        following = asyncio.create_task(follow)
        async with asyncio.timeout(PATIENCE):
            await taken.get()
            proxy.connections[-1].apply(Reset())
            await proxy.arrivals(2)
            await graphql_server.logged("subscribe", count=2, within=PATIENCE)
            while not taken.empty():
                taken.get_nowait()
            assert "ticks" in await taken.get()
        await ends(following)


async def test_a_history_of_gql_over_a_reset(graphql_server: ServerProcess) -> None:
    page = blocks("adapters/gql.md")
    async with (
        FaultProxy(HOST, graphql_server.port) as proxy,
        asyncio.timeout(PATIENCE),
    ):
        session = page["made"](proxy.url(), {})._url
        transport = page["with_history"](session)
        found: list[int] = []
        async with Client(transport=transport) as client:
            async for result in client.subscribe(gql("subscription { ticks }")):
                found.append(result["ticks"])
                if len(found) == 30:
                    proxy.connections[-1].apply(Reset())
                if len(found) == 200:
                    break
    assert found == [*range(found[0], found[0] + 200)]
