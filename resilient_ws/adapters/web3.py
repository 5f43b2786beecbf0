"""web3.py on a session: a provider for ``AsyncWeb3`` that survives its connections.

Rules: each request that web3 sends is a task, from the sending to the answer, and
whoever waits for the answer waits for the task. Each subscription is a task that brings
its items to web3's queues and waits there, and holds up nothing else. web3 knows a
subscription by a name of ours, which stays while the server's changes underneath.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from typing import TYPE_CHECKING, Any, Final, cast

from typing_extensions import override
from web3._utils.caching.caching_utils import generate_cache_key
from web3.exceptions import ProviderConnectionError, TaskNotRunning, TimeExhausted
from web3.providers.persistent import PersistentConnectionProvider

from resilient_ws import ResilientWSError
from resilient_ws.feeds import (
    BackfillFailed,
    CallLost,
    CallTimeout,
    Continuity,
    Gap,
    RPCError,
    SubscribeRefused,
)


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from web3.types import RPCId, RPCRequest, RPCResponse

    from resilient_ws.feeds import Subscription
    from resilient_ws.feeds.jsonrpc import Client


__all__ = ["ResilientProvider", "reads"]

logger = logging.getLogger("resilient_ws")

#: Seconds that items of a new subscription are held until web3 has taken note of it,
#: and between two looks.
KNOWN_WITHIN: Final = 5.0
LOOK_EVERY: Final = 0.01
#: Seconds in which it shows whether a stream failed because the session has ended.
ENDED_WITHIN: Final = 1.0
#: Seconds for which a block is asked for again that a node announced and does not have
#: yet: the first pause, which is doubled each time, and the last.
LAG_PAUSE: Final = 0.1
MAX_LAG_PAUSE: Final = 1.6
#: What a block has, and no announcement of its header.
_BODY: Final = ("transactions", "uncles", "withdrawals", "size", "totalDifficulty")
_READS: Final = {
    "eth_accounts",
    "eth_blobBaseFee",
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_createAccessList",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_maxPriorityFeePerGas",
    "eth_simulateV1",
    "eth_syncing",
}


def reads(method: str) -> bool:
    """Return whether a method of Ethereum's JSON-RPC API only reads.

    Such a call may be executed twice. The methods of filters are none of them: each
    call to ``eth_getFilterChanges`` moves the filter on.
    """
    if method.startswith("eth_get"):
        return "Filter" not in method
    return method in _READS or method.startswith(("net_", "web3_"))


class ResilientProvider(PersistentConnectionProvider):
    """A provider for ``AsyncWeb3`` whose subscriptions and calls survive drops.

    ::

        from resilient_ws import connect
        from resilient_ws.adapters.web3 import ResilientProvider
        from resilient_ws.feeds.jsonrpc import Client
        from web3 import AsyncWeb3

        async with AsyncWeb3(ResilientProvider(Client(connect(url)))) as w3:
            await w3.eth.subscribe("newHeads", handler=on_head)
            await w3.subscription_manager.handle_subscriptions()

    Heads and logs that were missed in a drop are fetched, and come in their place. What
    could not be fetched is logged, and told to ``on_gap``. Calls that only read go out
    again on the next connection; one that may change something is never repeated, and
    raises ``ProviderConnectionError``, whose ``__cause__`` says whether it may have
    been executed.

    Args:
        client: The JSON-RPC client, not entered; or a function that makes one. It is
            called for each ``connect``, and so allows to connect again.
        on_gap: Called with the id of a subscription and each ``Gap`` in it.
        heads: Makes the stream for each subscription to ``newHeads`` in place of the
            provider's own: ``resilient_ws.feeds.evm.heads``, or a function that calls
            it with settings. It follows the chain through reorganisations that happen
            in a drop, too, which the provider does not: after one, the new blocks come
            with the numbers of the old. Its first head is the newest block.
        options: What ``PersistentConnectionProvider`` takes, such as
            ``request_timeout``, which is the time for a call (default 30 seconds).
            ``max_connection_retries`` means nothing here: ``connect(reconnect=...)``
            decides.
    """

    def __init__(
        self,
        client: Client | Callable[[], Client],
        *,
        on_gap: Callable[[str, Gap], object] | None = None,
        heads: Callable[[Client], AsyncIterator[Any]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._make = client if callable(client) else lambda: client
        self._on_gap = on_gap
        self._heads = heads
        self._client: Client | None = None
        # The requests that nobody waits for yet, by their ids.
        self._sent: dict[Any, asyncio.Task[Any]] = {}
        # The subscriptions by the ids that web3 has, each with the task that reads it.
        self._subscriptions: dict[str, tuple[Any, asyncio.Task[None]]]
        self._subscriptions = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def __str__(self) -> str:
        """Say what it is, without the URL, which may hold a secret."""
        return "WebSocket connection of resilient_ws"

    @override
    def get_endpoint_uri_or_ipc_path(self) -> str:
        # web3 writes it into its log.
        return "resilient_ws"

    # Connecting.

    @override
    async def connect(self) -> None:
        """Enter the client, and return when the first connection is open.

        Raises:
            ProviderConnectionError: None opened in time; ``__cause__`` says why.

        Cancellation:
            Ends the session at once; nothing is left behind.
        """
        client = self._make()
        try:
            await client.__aenter__()
        except ResilientWSError as failure:
            text = "The connection to the node could not be opened."
            raise ProviderConnectionError(text) from failure
        self._client = client
        end: asyncio.Queue[Exception | None] = asyncio.Queue()
        client.channel.watch(end.put_nowait)
        self._message_listener_task = asyncio.create_task(_until_ended(end))
        self._message_listener_task.add_done_callback(self._message_listener_callback)

    @override
    async def disconnect(self) -> None:
        """End the session; do nothing if it has ended, or was never entered.

        Cancellation:
            Aborts at once; nothing is left behind.
        """
        listener = self._message_listener_task
        if listener is not None and listener.done() and not listener.cancelled():
            listener.exception()  # those who waited for items have it
            self._message_listener_task = None
        await super().disconnect()

    @override
    def _message_listener_callback(
        self, message_listener_task: asyncio.Task[None]
    ) -> None:
        """Tell those who wait for items that none will come.

        web3's own raises where a queue is full.
        """
        if self._client is None:
            return
        text = "The session has ended."
        end = TaskNotRunning(cast("Any", message_listener_task), message=text)
        processor = self._processor
        for queue in (
            processor._subscription_response_queue,
            processor._handler_subscription_queue,
        ):
            _told = self._spawn(queue.put(end))

    @override
    async def _provider_specific_disconnect(self) -> None:
        client, self._client = self._client, None
        tasks, self._tasks = self._tasks, set()
        self._sent.clear()
        self._subscriptions.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if client is not None:
            await client.__aexit__(None, None, None)

    @override
    async def is_connected(self, show_traceback: bool = False) -> bool:
        """Return whether the node answers within the time for a call.

        Raises:
            ProviderConnectionError: It does not, and ``show_traceback`` is set.
        """
        try:
            wait = self.request_timeout
            await self._open().call("web3_clientVersion", timeout=wait, repeat=True)
        except (ProviderConnectionError, ResilientWSError) as failure:
            if show_traceback:
                raise ProviderConnectionError("The node does not answer.") from failure
            return False
        return True

    @property
    def _processor(self) -> Any:
        """Where web3 keeps answers and items. It gives its subclasses no other way."""
        return self._request_processor

    def _open(self) -> Client:
        if self._client is None:
            text = "The provider is not connected: use async with AsyncWeb3(provider)."
            raise ProviderConnectionError(text)
        return self._client

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Requests.

    @override
    async def socket_send(self, request_data: bytes) -> None:
        """Send what web3 has encoded: one request, or a batch of them."""
        self._open()
        message: Any = json.loads(request_data)
        batch = request_data.startswith(b"[")
        first = message[0]["id"] if batch else message["id"]
        work = self._batch(message) if batch else self._request(message)
        self._sent[first] = task = self._spawn(work)
        task.add_done_callback(lambda _: self._keep(first))

    @override
    async def socket_recv(self) -> RPCResponse:
        """Refuse: the client reads the connection, and nobody else may.

        Raises:
            ProviderConnectionError: In any case.
        """
        raise ProviderConnectionError("Use w3.socket.recv(): the client reads here.")

    @override
    async def _get_response_for_request_id(
        self, request_id: RPCId | list[RPCId], timeout: float | None = None
    ) -> RPCResponse:
        # web3's own looks again in each turn of the loop.
        return cast("RPCResponse", await self._answer(request_id, [request_id]))

    @override
    async def recv_for_batch_request(
        self, _request_dicts: list[RPCRequest]
    ) -> list[RPCResponse]:
        # web3's own has one place for the answers of all batches.
        ids = [cast("Any", request)["id"] for request in _request_dicts]
        return cast("list[RPCResponse]", await self._answer(ids[0], ids))

    async def _answer(self, id: Any, ids: Sequence[Any]) -> Any:
        """Wait for what became of a request."""
        task = self._sent.pop(id, None)
        processor = self._processor
        if task is None:  # it came before anybody asked, and was kept
            return processor._request_response_cache.pop(generate_cache_key(id))
        try:
            return await task
        except BaseException:
            # web3 keeps what it knows of 500 requests, and forgets the oldest first:
            # the subscriptions.
            for one in ids:
                processor.pop_cached_request_information(generate_cache_key(one))
            raise

    def _keep(self, id: Any) -> None:
        """Keep an answer that nobody waits for, for ``w3.socket.recv()``."""
        task = self._sent.pop(id, None)
        if task is None or task.cancelled():
            return
        failure = task.exception()
        answer = task.result() if failure is None else _error(id, -32603, str(failure))
        self._processor._request_response_cache.cache(generate_cache_key(id), answer)

    async def _request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        method, params, number = request["method"], request["params"], request["id"]
        try:
            if method == "eth_subscribe":
                result: Any = await self._subscribe(params)
            elif method == "eth_unsubscribe" and params[0] in self._subscriptions:
                result = await self._unsubscribe(params[0])
            else:
                repeat = True if reads(method) else None
                result = await self._open().call(
                    method, params, timeout=self.request_timeout, repeat=repeat
                )
        except (RPCError, SubscribeRefused) as refusal:
            return _refused(number, refusal)
        except ResilientWSError as failure:
            raise _translated(failure) from failure
        return {"jsonrpc": "2.0", "id": number, "result": result}

    async def _batch(self, requests: Sequence[Mapping[str, Any]]) -> list[Any]:
        calls = [(request["method"], request["params"]) for request in requests]
        again = all(reads(method) for method, _ in calls)
        wait = self.request_timeout
        try:
            async with asyncio.timeout(wait):
                while True:
                    found = await self._open().batch(
                        calls, timeout=self.request_timeout
                    )
                    lost = [one for one in found if isinstance(one, CallLost)]
                    if not lost or not again:
                        break
        except TimeoutError:
            raise _exhausted(wait) from None
        except ResilientWSError as failure:
            raise _translated(failure) from failure
        return [
            _response(request["id"], outcome)
            for request, outcome in zip(requests, found, strict=True)
        ]

    # Subscriptions.

    async def _subscribe(self, params: Sequence[Any]) -> str:
        client = self._open()
        stream: Any
        if self._heads is not None and params[0] == "newHeads":
            stream = self._heads(client)
            items = _headers(stream)
        else:
            stream = items = await self._subscribed(client, params)
        name = "0x" + secrets.token_hex(16)
        task = self._spawn(self._follow(name, items))
        self._subscriptions[name] = stream, task
        return name

    async def _subscribed(
        self, client: Client, params: Sequence[Any]
    ) -> Subscription[Any]:
        how = _Stream(client, params, self.request_timeout)
        after = await how.begin()
        return await client.subscribe(
            "eth_subscribe",
            params,
            unsubscribe="eth_unsubscribe",
            after=after,
            **how.source(),
        )

    async def _unsubscribe(self, name: str) -> bool:
        stream, task = self._subscriptions.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()
        return True

    async def _follow(self, name: str, items: AsyncIterator[Any]) -> None:
        """Bring the items of a subscription to web3."""
        await self._known(name)
        try:
            async for item in items:
                if isinstance(item, Gap):
                    self._tell(name, item)
                    continue
                params = {"subscription": name, "result": item}
                await self._put(
                    name,
                    {"jsonrpc": "2.0", "method": "eth_subscription", "params": params},
                )
        except ResilientWSError as failure:
            # Those who read get the end of the session from the listener task.
            if self._message_listener_task is not None:
                await asyncio.wait([self._message_listener_task], timeout=ENDED_WITHIN)
                if not self._message_listener_task.done():
                    await self._put(name, failure)

    async def _known(self, name: str) -> None:
        """Wait until web3 has taken note of a subscription that it was granted."""
        loop = asyncio.get_running_loop()
        until = loop.time() + KNOWN_WITHIN
        while loop.time() < until:
            container = self._processor._subscription_container
            if container is None or container.get_by_id(name) is not None:
                return
            await asyncio.sleep(LOOK_EVERY)

    async def _put(self, name: str, what: object) -> None:
        """Wait for room where web3 looks for the items of a subscription."""
        processor = self._processor
        container = processor._subscription_container
        handled = container and container.get_handler_subscription_by_id(name)
        queue = (
            processor._handler_subscription_queue
            if handled
            else processor._subscription_response_queue
        )
        await queue.put(what)

    def _tell(self, name: str, gap: Gap) -> None:
        logger.warning(
            "The subscription %s of web3 has a gap (%s); on_gap= is told its bounds.",
            name,
            type(gap.because).__name__,
        )
        if self._on_gap is not None:
            self._on_gap(name, gap)


async def _headers(heads: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yield what ``feeds.evm.heads`` does as a node would announce it.

    A node does not announce that blocks are gone: those that took their place follow.
    """
    async for item in heads:
        if isinstance(item, Gap):
            yield item
        elif hasattr(item, "parentHash"):
            sent = dict(item.extra)
            names: Sequence[str] = item.__struct_fields__
            for name in names:
                value = getattr(item, name)
                if isinstance(value, int):
                    sent[name] = hex(value)
                elif isinstance(value, str):
                    sent[name] = value
            yield {key: value for key, value in sent.items() if key not in _BODY}


class _Stream:
    """How the items of one subscription follow, and how a hole is fetched.

    Args:
        client: Fetches.
        params: Those of ``eth_subscribe``.
        timeout: Seconds for a call.
    """

    def __init__(self, client: Client, params: Sequence[Any], timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._kind = params[0]
        self._filter: dict[str, Any] = (params[1] if len(params) > 1 else None) or {}

    async def begin(self) -> Any:
        """Return the position at which the stream begins, if it has positions."""
        if self._kind == "newHeads":
            return await self._newest()
        if self._kind == "logs":
            return await self._newest(), _END
        return None

    def source(self) -> dict[str, Any]:
        """Return the arguments for ``Client.subscribe``."""
        if self._kind == "newHeads":
            return {
                "cursor_of": _number,
                "follows": _follows,
                "identity": _hash,
                "backfill": self._heads,
            }
        if self._kind == "logs":
            return {
                "cursor_of": _place,
                "identity": _log_identity,
                "backfill": self._logs,
            }
        return {}

    async def _call(self, method: str, *params: Any) -> Any:
        return await self._client.call(
            method, params, timeout=self._timeout, repeat=True
        )

    async def _newest(self) -> int:
        return int(await self._call("eth_blockNumber"), 16)

    async def _heads(self, after: int, until: int | None) -> AsyncIterator[Any]:
        last = await self._newest() if until is None else until
        for number in range(after + 1, last + 1):
            yield await self._head(number)

    async def _head(self, number: int) -> dict[str, Any]:
        pause, bodies = LAG_PAUSE, False
        while True:
            block = await self._call("eth_getBlockByNumber", hex(number), bodies)
            if block is not None:
                return {key: value for key, value in block.items() if key not in _BODY}
            if pause > MAX_LAG_PAUSE:
                raise BackfillFailed(f"The node does not have block {number}.")
            await asyncio.sleep(pause)
            pause *= 2

    async def _logs(
        self, after: tuple[int, float], until: tuple[int, float] | None
    ) -> AsyncIterator[Any]:
        bounds = {
            "fromBlock": hex(after[0]),
            "toBlock": "latest" if until is None else hex(until[0]),
        }
        for log in await self._call("eth_getLogs", {**self._filter, **bounds}):
            if _place(log) > after:
                yield log


#: Behind all logs of a block.
_END: Final = float("inf")


def _number(head: Mapping[str, Any]) -> int:
    return int(head["number"], 16)


def _hash(head: Mapping[str, Any]) -> str:
    return str(head["hash"])


def _follows(last: int | None, head: Mapping[str, Any]) -> Continuity:
    """Tell how a head stands to the last: one at an old height is a reorganisation."""
    jumps = last is not None and _number(head) > last + 1
    return Continuity.JUMP if jumps else Continuity.NEXT


def _place(log: Mapping[str, Any]) -> tuple[int, float]:
    return int(log["blockNumber"], 16), int(log["logIndex"], 16)


def _log_identity(log: Mapping[str, Any]) -> tuple[Any, ...]:
    return log["blockHash"], log["logIndex"], bool(log.get("removed"))


async def _until_ended(end: asyncio.Queue[Exception | None]) -> None:
    """Wait until the session has ended, and raise why."""
    because = await end.get()
    if because is not None:
        raise ProviderConnectionError("The session has ended.") from because


def _exhausted(after: float) -> TimeExhausted:
    return TimeExhausted(f"The node did not answer within {after:g} s.")


def _translated(failure: ResilientWSError) -> Exception:
    """Return what web3 calls a failure."""
    if isinstance(failure, CallTimeout):
        return _exhausted(failure.after)
    return ProviderConnectionError(str(failure))


def _response(id: Any, outcome: Any) -> dict[str, Any]:
    if isinstance(outcome, RPCError):
        return _refused(id, outcome)
    if isinstance(outcome, ResilientWSError):
        raise _translated(outcome) from outcome
    return {"jsonrpc": "2.0", "id": id, "result": outcome}


def _refused(id: Any, refusal: RPCError | SubscribeRefused) -> dict[str, Any]:
    error = refusal if isinstance(refusal, RPCError) else refusal.__cause__
    if isinstance(error, RPCError):
        return _error(id, error.code, error.message, error.data)
    return _error(id, -32603, str(refusal))


def _error(id: Any, code: int, text: str, data: object = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": text}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": id, "error": error}
