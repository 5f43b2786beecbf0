"""web3.py on a session: a provider for ``AsyncWeb3`` that survives its connections.

Rules: each request that web3 sends is a task, from the sending to the answer, and web3
waits for that task when it waits for the answer. What brings items to web3 is in
``web3_subscriptions``, how they follow and are fetched in ``web3_streams``.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, cast

from typing_extensions import override
from web3._utils.caching.caching_utils import generate_cache_key
from web3.exceptions import ProviderConnectionError, TaskNotRunning
from web3.providers.persistent import PersistentConnectionProvider

from resilient_ws import ResilientWSError
from resilient_ws.adapters.web3_methods import reads
from resilient_ws.adapters.web3_responses import (
    INTERNAL_ERROR,
    error_to,
    exhausted,
    refused,
    response_to,
    translated,
)
from resilient_ws.adapters.web3_subscriptions import Web3Subscriptions
from resilient_ws.feeds import CallLost, Gap, RPCError, SubscribeRefused
from resilient_ws.feeds.jsonrpc import Client


if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Coroutine,
        Iterator,
        Mapping,
        Sequence,
    )

    from web3.types import RPCId, RPCRequest, RPCResponse


__all__ = ["ResilientProvider", "reads"]

_WRONG_CLIENT: Final = (
    "client must be a resilient_ws.feeds.jsonrpc.Client, or a function that makes one: "
    "ResilientProvider(Client(connect(url)))."
)
_USED: Final = (
    "A client is entered once. To connect again, give ResilientProvider a function "
    "that makes one: ResilientProvider(lambda: Client(connect(url)))."
)


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
            with the numbers of the old. Its first head is the newest block. The stream
            has an ``aclose``.
        options: What ``PersistentConnectionProvider`` takes, such as
            ``request_timeout``, which is the time for a call (default 30 seconds).
            ``max_connection_retries`` means nothing here: ``connect(reconnect=...)``
            decides.

    Raises:
        TypeError: ``client`` is neither.
    """

    def __init__(
        self,
        client: Client | Callable[[], Client],
        *,
        on_gap: Callable[[str, Gap], object] | None = None,
        heads: Callable[[Client], AsyncIterator[Any]] | None = None,
        **options: Any,
    ) -> None:
        given: Any = client
        if not (callable(given) or isinstance(given, Client)):
            raise TypeError(_WRONG_CLIENT)
        super().__init__(**options)
        # Those that may be entered yet: a session is entered once.
        self._clients = iter([client]) if isinstance(client, Client) else _each(client)
        self._client: Client | None = None
        # The requests that nobody waits for yet, by their ids.
        self._sent: dict[Any, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._subscriptions = Web3Subscriptions(
            self._processor,
            self._spawn,
            listener=lambda: self._message_listener_task,
            on_gap=on_gap,
            heads=heads,
        )

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
            ProviderConnectionError: None opened in time, and ``__cause__`` says why; or
                the provider is connected, or cannot connect again.

        Cancellation:
            Ends the session at once; nothing is left behind.
        """
        if self._client is not None:
            raise ProviderConnectionError("The provider is connected already.")
        client = next(self._clients, None)
        if client is None:
            raise ProviderConnectionError(_USED)
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

        Cancellation:
            Safe.
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
            kept = processor._request_response_cache.pop(generate_cache_key(id))
            if kept is None:
                raise ProviderConnectionError("The answer was not kept so long.")
            return kept
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
        answer = (
            task.result()
            if failure is None
            else error_to(id, INTERNAL_ERROR, str(failure))
        )
        self._processor._request_response_cache.cache(generate_cache_key(id), answer)

    async def _request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        method, params, number = request["method"], request["params"], request["id"]
        try:
            if method == "eth_subscribe":
                result: Any = await self._subscriptions.add(
                    self._open(), params, self.request_timeout
                )
            elif method == "eth_unsubscribe" and params[0] in self._subscriptions:
                await self._subscriptions.remove(params[0])
                result = True
            else:
                repeat = True if reads(method) else None
                result = await self._open().call(
                    method, params, timeout=self.request_timeout, repeat=repeat
                )
        except (RPCError, SubscribeRefused) as refusal:
            return refused(number, refusal)
        except ResilientWSError as failure:
            raise translated(failure) from failure
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
            raise exhausted(wait) from None
        except ResilientWSError as failure:
            raise translated(failure) from failure
        return [
            response_to(request["id"], outcome)
            for request, outcome in zip(requests, found, strict=True)
        ]


def _each(make: Callable[[], Client]) -> Iterator[Client]:
    while True:
        yield make()


async def _until_ended(end: asyncio.Queue[Exception | None]) -> None:
    """Wait until the session has ended, and raise why."""
    because = await end.get()
    if because is not None:
        raise ProviderConnectionError("The session has ended.") from because
