"""A node that lies: a proxy of ours before two anvils, for tests of whoever trusts one.

Each lie is switched on alone, and counted. They are what providers were seen to do:
load balancers before back ends that are not level, caches that lose a log, limits told
in a dozen ways, and subscriptions that fall silent.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import enum
import json
import random
import time
import zlib
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
import attrs
from aiohttp import web

from tests.servers.process import HOST


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

#: Seconds for which a fresh block may be denied, at most.
MAX_DENIAL: Final = 0.6
#: Notifications of a subscription before it goes deaf.
HEARD: Final = 5
#: Notifications that go before the answer of a subscription, and the seconds for them.
EARLY: Final = 2
EARLY_WITHIN: Final = 1.0
MAX_CALLS: Final = 512
MAX_SIZE: Final = 64 * 1024 * 1024
_CALL_TIMEOUT: Final = 10.0


class Lie(enum.Enum):
    """What the node does wrong."""

    NONE = "tells the truth"
    UNEVEN = "answers from two nodes at different heights"
    DENIES = "gives null for fresh blocks, for a while"
    RANGE = "drops a log from ranges only"
    EVERY = "drops a log from every eth_getLogs"
    REFUSES = "refuses ranges, each provider in its own words"
    DEAF = "goes deaf with the socket alive"
    EARLY = "notifies before it answers the subscription"


@attrs.frozen
class Limit:
    """How a provider refuses a range of blocks that is too wide.

    Attributes:
        blocks: As many as it takes.
        code: The error's code.
        text: Its message, with ``{first}``, ``{last}`` (of the range that would do) and
            ``{blocks}``.
        data: Whether the range that would do is in ``data`` too.
    """

    blocks: int
    code: int
    text: str
    data: bool = False

    def refusal(self, first: int) -> dict[str, Any]:
        """The error for a range that begins at ``first``."""
        last = first + self.blocks - 1
        words = {"first": hex(first), "last": hex(last), "blocks": self.blocks}
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.text.format(**words),
        }
        if self.data:
            error["data"] = {
                "from": words["first"],
                "to": words["last"],
                "limit": 10000,
            }
        return error


#: The same in the words of those who say it: from their public pages and issues.
LIMITS: Final = {
    "a suggested range": Limit(
        5,
        -32602,
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K"
        " block range and no limit on the response size, or you can request any block"
        " range with a cap of 10K logs in the response. Based on your parameters and"
        " the response size limit, this block range should work: [{first}, {last}]",
    ),
    "a suggested range in data": Limit(
        7,
        -32005,
        "query returned more than 10000 results. Try with this block range"
        " [{first}, {last}].",
        data=True,
    ),
    "limited to": Limit(5, -32614, "eth_getLogs is limited to a {blocks} range"),
    "too large": Limit(4, -32600, "Block range is too large"),
    "max range": Limit(
        8,
        -32047,
        "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large."
        " Max range: {blocks}",
    ),
    "free tier": Limit(
        6, 35, "ranges over {blocks} blocks are not supported on freetier"
    ),
    "exceed maximum": Limit(9, -32000, "exceed maximum block range: {blocks}"),
    "time-out": Limit(3, -32002, "request timed out"),
    "results": Limit(5, -32005, "query returned more than 10000 results"),
    "too wide": Limit(6, -32000, "block range is too wide"),
}


class LyingNode:
    """A WebSocket server on loopback that lies about what two nodes say.

    Args:
        ports: Of the node that is ahead, and of the one that may lag behind.
        lie: What it does wrong.
        seed: Of what it does at random.
        limit: Of ``LIMITS``, for ``Lie.REFUSES``; by default another at each connection.
        share: How many of the answers, or logs, that could be lies are.
    """

    def __init__(
        self,
        ports: Sequence[int],
        lie: Lie = Lie.NONE,
        *,
        seed: int = 0,
        limit: str | None = None,
        share: float = 0.5,
    ) -> None:
        self.lie = lie
        self.seed: Final = seed
        self.share: Final = share
        self.limit: Final = limit
        #: How often it lied, by method.
        self.lies: collections.Counter[str] = collections.Counter()
        #: How often it was asked, by method.
        self.calls: collections.Counter[str] = collections.Counter()
        self.chance: Final = random.Random(seed)
        self._ports = ports
        #: Until when each fresh block is denied, by its hash.
        self._denied: dict[str, float] = {}
        self._connections: set[Connection] = set()
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where to dial it."""
        return f"ws://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._serve)
        self._http = aiohttp.ClientSession()
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
        assert self._runner is not None
        assert self._http is not None
        await self.drop()
        await self._runner.cleanup()
        await self._http.close()

    async def drop(self) -> None:
        """End every connection, as a balancer does that is restarted."""
        for connection in tuple(self._connections):
            await connection.end()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        assert self._http is not None
        client = web.WebSocketResponse(max_msg_size=MAX_SIZE)
        await client.prepare(request)
        async with contextlib.AsyncExitStack() as stack:
            try:
                nodes = [
                    await stack.enter_async_context(
                        self._http.ws_connect(
                            f"ws://{HOST}:{port}", max_msg_size=MAX_SIZE
                        )
                    )
                    for port in self._ports
                ]
            except aiohttp.ClientError:
                await client.close(code=1013, message=b"no node")
                return client
            connection = Connection(
                self, request, client, [Upstream(ws) for ws in nodes]
            )
            self._connections.add(connection)
            try:
                await connection.run()
            finally:
                self._connections.discard(connection)
        return client

    def is_denied(self, block_hash: str) -> bool:
        """Whether a block is still denied; from the first time that it is asked for."""
        now = time.monotonic()
        if block_hash not in self._denied:
            while len(self._denied) > 10_000:
                self._denied.pop(next(iter(self._denied)))
            lasts = self.chance.uniform(0, MAX_DENIAL)
            denied = self.chance.random() < self.share
            self._denied[block_hash] = now + lasts if denied else now
        return now < self._denied[block_hash]

    def is_dropped(self, log: dict[str, Any]) -> bool:
        """Whether a log is one of those that are kept back: always the same ones."""
        name = f"{self.seed} {log['blockHash']} {log['logIndex']}"
        return zlib.crc32(name.encode()) / 2**32 < self.share


class Upstream:
    """One node's end of a connection: calls out, answers and notifications back."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws: Final = ws
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._id = 0

    async def call(self, method: str, params: Any) -> dict[str, Any]:
        """Call, and return the answer without its id."""
        self._id += 1
        waiting: asyncio.Future[dict[str, Any]] = asyncio.Future()
        self._waiting[self._id] = waiting
        request = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}
        try:
            await self.ws.send_json(request)
            async with asyncio.timeout(_CALL_TIMEOUT):
                return await waiting
        finally:
            del self._waiting[request["id"]]

    async def read(self, notified: Callable[[dict[str, Any]], Any]) -> None:
        """Read until the node ends, and hand on what is no answer."""
        async for message in self.ws:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            data = json.loads(message.data)
            waiting = self._waiting.get(data.pop("id", None))
            if waiting is None:
                await notified(data)
            elif not waiting.done():
                waiting.set_result(data)


class Connection:
    """A client, and its two nodes."""

    def __init__(
        self,
        owner: LyingNode,
        request: web.Request,
        client: web.WebSocketResponse,
        nodes: list[Upstream],
    ) -> None:
        self._owner = owner
        self._transport = request.transport
        self._client = client
        self._nodes = nodes
        self._ahead = nodes[0]
        self._limit = LIMITS[owner.limit or owner.chance.choice(list(LIMITS))]
        self._calls: set[asyncio.Task[None]] = set()
        #: How many notifications each subscription has had.
        self._heard: collections.Counter[str] = collections.Counter()
        #: What overtakes the answer of a subscription that is being made.
        self._news = asyncio.Condition()

    async def run(self) -> None:
        """Serve until either side ends; then end the other."""
        reading = [
            asyncio.create_task(self._read_client()),
            asyncio.create_task(self._ahead.read(self._notified)),
            *(asyncio.create_task(node.read(_ignore)) for node in self._nodes[1:]),
        ]
        try:
            await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self.end()
            for task in [*reading, *self._calls]:
                task.cancel()
            await asyncio.gather(*reading, *self._calls, return_exceptions=True)

    async def end(self) -> None:
        """Cut the client off, as a balancer does whose back end has gone."""
        if self._transport is not None:
            self._transport.abort()

    async def _read_client(self) -> None:
        async for message in self._client:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            data = json.loads(message.data)
            task = asyncio.create_task(self._answer(data))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            if len(self._calls) > MAX_CALLS:
                return

    async def _answer(self, data: Any) -> None:
        try:
            if isinstance(data, list):
                answers = [await self._answered(request) for request in data]
                await self._client.send_json(answers)
            else:
                await self._client.send_json(await self._answered(data))
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            await self.end()

    async def _answered(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"], request.get("params") or []
        self._owner.calls[method] += 1
        answer = await self._told(method, params)
        return {**answer, "id": request["id"]}

    async def _told(self, method: str, params: Any) -> dict[str, Any]:
        """What is told in the place of the truth, or the truth."""
        match self._owner.lie:
            case Lie.UNEVEN if "subscribe" not in method:
                return await self._uneven(method, params)
            case Lie.DENIES:
                return await self._denied(method, params)
            case Lie.RANGE | Lie.EVERY | Lie.REFUSES if method == "eth_getLogs":
                return await self._logs(method, params)
            case Lie.EARLY if method == "eth_subscribe":
                return await self._overtaken(method, params)
            case _:
                return await self._ahead.call(method, params)

    async def _logs(self, method: str, params: Any) -> dict[str, Any]:
        lie, is_range = self._owner.lie, "blockHash" not in params[0]
        if lie is Lie.REFUSES and is_range:
            return await self._refused(method, params)
        answer = await self._ahead.call(method, params)
        if lie is Lie.EVERY or (lie is Lie.RANGE and is_range):
            return self._thinned(answer)
        return answer

    async def _uneven(self, method: str, params: Any) -> dict[str, Any]:
        if self._owner.chance.random() >= self._owner.share:
            return await self._ahead.call(method, params)
        answer = await self._nodes[-1].call(method, params)
        self._owner.lies[method] += answer != await self._ahead.call(method, params)
        return answer

    async def _denied(self, method: str, params: Any) -> dict[str, Any]:
        answer = await self._ahead.call(method, params)
        result = answer.get("result")
        if method.startswith("eth_getBlockBy") and result:
            named: str | None = result["hash"]
        elif method == "eth_getBlockReceipts" and result:
            named = result[0]["blockHash"]
        elif method == "eth_getLogs":
            named = params[0].get("blockHash")
        else:
            named = None
        if named is None or params[0] == "latest" or not self._owner.is_denied(named):
            return answer
        self._owner.lies[method] += 1
        # A back end that has not seen the block knows nothing of its logs.
        return {"jsonrpc": "2.0", "result": [] if method == "eth_getLogs" else None}

    def _thinned(self, answer: dict[str, Any]) -> dict[str, Any]:
        logs = answer.get("result") or []
        kept = [log for log in logs if not self._owner.is_dropped(log)]
        self._owner.lies["eth_getLogs"] += len(logs) - len(kept)
        return {**answer, "result": kept} if "result" in answer else answer

    async def _refused(self, method: str, params: Any) -> dict[str, Any]:
        query = params[0]
        first = await self._number(query.get("fromBlock", "latest"))
        last = await self._number(query.get("toBlock", "latest"))
        if last - first + 1 > self._limit.blocks:
            self._owner.lies[method] += 1
            return {"jsonrpc": "2.0", "error": self._limit.refusal(first)}
        return await self._ahead.call(method, params)

    async def _number(self, named: str) -> int:
        if named.startswith("0x"):
            return int(named, 16)
        answer = await self._ahead.call("eth_getBlockByNumber", [named, False])
        return int(answer["result"]["number"], 16)

    async def _overtaken(self, method: str, params: Any) -> dict[str, Any]:
        answer = await self._ahead.call(method, params)
        key = answer.get("result")

        def overtaken() -> bool:
            return self._heard[str(key)] >= EARLY

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EARLY_WITHIN), self._news:
                await self._news.wait_for(overtaken)
        self._owner.lies[method] += min(self._heard[str(key)], EARLY)
        return answer

    async def _notified(self, data: dict[str, Any]) -> None:
        key = str(data.get("params", {}).get("subscription"))
        async with self._news:
            self._heard[key] += 1
            self._news.notify_all()
        if self._owner.lie is Lie.DEAF and self._heard[key] > HEARD:
            self._owner.lies["eth_subscription"] += 1
            return
        with contextlib.suppress(ConnectionError):
            await self._client.send_json(data)


async def _ignore(_: dict[str, Any]) -> None:
    """Let the notifications of the second node go: nobody has subscribed there."""
