from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from resilient_ws import Access, SecurityError, connect
from resilient_ws.feeds import CallTimeout, RPCError
from resilient_ws.feeds.evm import HTTPEndpoint, LogFilter, logs
from resilient_ws.feeds.evm.refusals import Refusal, Understood, understood
from resilient_ws.feeds.jsonrpc import Client
from tests.feeds.evm.emitter import Emitter
from tests.feeds.evm.told_logs import ToldLogs
from tests.servers.process import free_port


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.servers.daemons import Anvil

    Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

SECRET = "v3/0123456789abcdef"


class Server:
    """Answers as it is told."""

    answer: Answer

    async def serve(self, request: web.Request) -> web.StreamResponse:
        return await self.answer(request)


@pytest.fixture
async def served() -> AsyncIterator[tuple[Server, HTTPEndpoint]]:
    server = Server()
    app = web.Application()
    app.router.add_post("/{path:.*}", server.serve)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/{SECRET}"
    async with HTTPEndpoint(url, timeout=0.5, max_answer=10_000) as endpoint:
        yield server, endpoint
    await runner.cleanup()


def answering(
    status: int, body: str = "", headers: dict[str, str] | None = None
) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert (await request.json())["method"] == "eth_getLogs"
        assert request.path == f"/{SECRET}"
        return web.Response(status=status, text=body, headers=headers)

    return answer


pytestmark = pytest.mark.wire


@pytest.mark.parametrize(
    ("status", "body", "headers", "means"),
    [
        (429, "slow down", {"Retry-After": "7"}, Understood(Refusal.BUSY, after=7)),
        (
            429,
            '{"error": {"code": -32005, "message": "limit"}}',
            {},
            Understood(Refusal.BUSY),
        ),
        (503, "<html>", {}, Understood(Refusal.BUSY)),
        (
            413,
            '{"error": {"code": -32614, "message": "eth_getLogs is limited to a 10,000 range"}}',
            {},
            Understood(Refusal.TOO_WIDE, blocks=10_000),
        ),
        (
            500,
            '{"error": {"code": -32020, "message": "backend response too large"}}',
            {},
            Understood(Refusal.TOO_MUCH),
        ),
        (
            200,
            '{"error": {"code": 4444, "message": "pruned"}}',
            {},
            Understood(Refusal.PRUNED),
        ),
        (200, '{"result": "' + "x" * 20_000 + '"}', {}, Understood(Refusal.TOO_MUCH)),
        (401, "no", {}, Understood(Refusal.REFUSED)),
        (302, "", {"Location": "http://127.0.0.1:1/"}, Understood(Refusal.REFUSED)),
    ],
)
async def test_what_the_server_says_is_understood(
    served: tuple[Server, HTTPEndpoint],
    status: int,
    body: str,
    headers: dict[str, str],
    means: Understood,
) -> None:
    server, endpoint = served
    server.answer = answering(status, body, headers)
    with pytest.raises(RPCError) as caught:
        await endpoint.call("eth_getLogs", [{}])
    assert understood(caught.value) == means
    assert SECRET not in str(caught.value)


async def test_a_result_is_returned_whatever_it_is(
    served: tuple[Server, HTTPEndpoint],
) -> None:
    server, endpoint = served
    server.answer = answering(200, '{"jsonrpc": "2.0", "id": 1, "result": null}')
    assert await endpoint.call("eth_getLogs", [{}]) is None


@pytest.mark.usefixtures("without_collection")
@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '"x"', "[" * 5_000])
async def test_what_is_no_json_rpc_is_told(
    served: tuple[Server, HTTPEndpoint], body: str
) -> None:
    server, endpoint = served
    server.answer = answering(200, body)
    with pytest.raises(ConnectionError, match="no JSON-RPC") as caught:
        await endpoint.call("eth_getLogs")
    assert SECRET not in str(caught.value)


async def test_a_node_that_is_late_or_gone_is_told(
    served: tuple[Server, HTTPEndpoint],
) -> None:
    server, endpoint = served

    async def late(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        raise AssertionError

    server.answer = late
    with pytest.raises(CallTimeout, match=r"within 0\.5 s"):
        await endpoint.call("eth_getLogs")
    async with HTTPEndpoint(f"http://127.0.0.1:{free_port()}/key") as gone:
        with pytest.raises(ConnectionError, match="was not reached") as caught:
            await gone.call("eth_getLogs")
    assert "key" not in str(caught.value)
    assert "key" not in repr(gone)


async def test_access_decides_where_it_goes() -> None:
    with pytest.raises(SecurityError, match="http"):
        HTTPEndpoint("http://archive.example.com/")
    with pytest.raises(SecurityError, match="not a public address"):
        HTTPEndpoint("https://localhost/", access=Access(allow_private=False))
    with pytest.raises(RuntimeError, match="async with"):
        await HTTPEndpoint("https://archive.example.com/").call("eth_getLogs")
    with pytest.raises(ValueError, match="must start with https"):
        HTTPEndpoint("wss://archive.example.com/")


async def test_a_history_over_http(anvil: Anvil) -> None:
    async with (
        Emitter(anvil.url) as node,
        Client(connect(anvil.url)) as client,
        HTTPEndpoint(f"http://127.0.0.1:{anvil.port}/") as archive,
    ):
        await node.emit(*(n % 3 for n in range(150)))
        told = ToldLogs(0)
        wanted = LogFilter(address=node.address)
        stream = logs(client, wanted, after=0, history=archive.call)
        await told.follow(stream, lambda: told.through == 151)
        assert told.logs == await node.logs()
