"""A proxy before a node that limits ``eth_getLogs`` as providers do, and counts calls."""

from __future__ import annotations

import asyncio
import collections
import json
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp import web


if TYPE_CHECKING:
    from types import TracebackType

HOST = "127.0.0.1"
MAX_SIZE = 256 * 1024 * 1024


class LimitedNode:
    """A WebSocket server on loopback that stands before a node.

    Args:
        port: The node's.
        blocks: The most blocks in a range.
        results: The most logs in an answer.
        url: The server is told to stand here; by default on a free port.

    Attributes:
        calls: How often it was asked, by method.
        refused: How many of the ranges were refused.
        asked: The heights of all blocks that logs were asked of, by range.
    """

    def __init__(
        self, port: int, *, blocks: int | None = None, results: int | None = None
    ) -> None:
        self._node = f"ws://{HOST}:{port}"
        self._blocks, self._results = blocks, results
        self.calls: collections.Counter[str] = collections.Counter()
        self.refused = 0
        self.asked: set[int] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._serve)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        client = web.WebSocketResponse(max_msg_size=MAX_SIZE)
        await client.prepare(request)
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(self._node, max_msg_size=MAX_SIZE) as node,
        ):
            # Requests for logs that wait for the node, by their ids.
            logs: set[int] = set()
            back = asyncio.create_task(self._back(node, client, logs))
            try:
                async for message in client:
                    request = json.loads(message.data)  # web3.py sends it as bytes
                    refusal = self._refusal(request, logs)
                    if refusal is None:
                        await node.send_json(request)
                    else:
                        await client.send_json(refusal)
            finally:
                back.cancel()
                await asyncio.wait([back])
        return client

    def _refusal(
        self, request: dict[str, Any], logs: set[int]
    ) -> dict[str, Any] | None:
        method = request["method"]
        self.calls[method] += 1
        if method != "eth_getLogs" or "fromBlock" not in request["params"][0]:
            return None
        criteria = request["params"][0]
        first, last = int(criteria["fromBlock"], 16), int(criteria["toBlock"], 16)
        if self._blocks is not None and last - first + 1 > self._blocks:
            text = f"eth_getLogs is limited to a {self._blocks} block range"
            return self._refuse(request["id"], -32614, text)
        self.asked.update(range(first, last + 1))
        logs.add(request["id"])
        return None

    def _refuse(self, key: int, code: int, text: str) -> dict[str, Any]:
        self.refused += 1
        error = {"code": code, "message": text}
        return {"jsonrpc": "2.0", "id": key, "error": error}

    async def _back(
        self,
        node: aiohttp.ClientWebSocketResponse,
        client: web.WebSocketResponse,
        logs: set[int],
    ) -> None:
        async for message in node:
            most = self._results
            if most is not None and message.data.count('"logIndex"') > most:
                key = json.loads(message.data)["id"]
                if key in logs:
                    text = f"query returned more than {most} results"
                    await client.send_json(self._refuse(key, -32005, text))
                    continue
            await client.send_str(message.data)
        await client.close()
