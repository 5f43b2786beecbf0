"""``pending_transactions``: what a node heard of, and has not seen in a block."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from resilient_ws.feeds.evm.hexadecimal import block_hash
from resilient_ws.feeds.json import is_object
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.policy._validate import require, whole_number


if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from resilient_ws.feeds.source import Gap
    from resilient_ws.feeds.subscription import Subscription


def pending_transactions(
    client: Client, *, full: bool = False, buffer: int = 1024
) -> PendingTransactions:
    """Return the transactions that a node announces before they are in a block.

    What is announced while there is no connection, or while nobody reads, cannot be
    fetched: each drop is a ``Gap``, and so is what found no room in the buffer.

    Args:
        client: The client, entered.
        full: Whether each item is the transaction, as the node sent it, instead of its
            hash. Some nodes send hashes all the same.
        buffer: Items that may wait to be read (default 1,024).

    Raises:
        TypeError: A value of another type.
        ValueError: The buffer has no room.
    """
    require(client, Client, "client", "a Client of resilient_ws.feeds.jsonrpc")
    whole_number("buffer", buffer, at_least=1)
    return PendingTransactions(client, full=full, buffer=buffer)


class PendingTransactions:
    """The stream of ``pending_transactions``.

    Iterate over it with ``async for``. It has one consumer, and begins when it is first
    read. ``aclose``, or ``async with``, ends it.
    """

    def __init__(self, client: Client, *, full: bool, buffer: int) -> None:
        self._client = client
        self._full = full
        self._buffer = buffer
        self._subscription: Subscription[Any] | None = None
        self._subscribing: asyncio.Task[Subscription[Any]] | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        """Iterate over the transactions and the gaps."""
        return self

    async def __anext__(self) -> str | dict[str, Any] | Gap:
        """Return the next transaction, or a gap.

        Raises:
            ResilientWSError: The session ended with an error.
            RuntimeError: Another task reads, or the client was not entered.
            StopAsyncIteration: The stream or the session has ended.
            SubscribeRefused: The node does not announce transactions.

        Cancellation:
            Safe: nothing is lost.
        """
        if self._subscription is None:
            if self._closed:
                raise StopAsyncIteration
            await self._subscribe()
        assert self._subscription is not None  # noqa: S101 - for the type checker
        return await anext(self._subscription)

    async def _subscribe(self) -> None:
        if self._subscribing is not None:
            raise RuntimeError("Another task reads this stream; it has one consumer.")
        # A task of its own, so that the stream can be ended meanwhile.
        self._subscribing = subscribing = asyncio.create_task(
            self._client.subscribe(
                "eth_subscribe",
                ["newPendingTransactions", *([True] if self._full else [])],
                unsubscribe="eth_unsubscribe",
                parse=_transaction if self._full else block_hash,
                buffer=self._buffer,
                overflow="gap",
            )
        )
        try:
            await asyncio.wait({subscribing})
        finally:
            # If whoever reads is cancelled now, the subscription is not lost.
            self._subscribing = None
            if not subscribing.cancel() and not subscribing.cancelled():
                self._subscription = _result(subscribing)
        if self._closed:
            if self._subscription is not None:
                await self._subscription.aclose()
            raise StopAsyncIteration
        await subscribing

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, as ``aclose`` does."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream, and tell the node; do nothing if it has ended.

        Cancellation:
            It has ended; the node may not have been told.
        """
        self._closed = True
        if self._subscribing is not None:
            self._subscribing.cancel()
        if self._subscription is not None:
            await self._subscription.aclose()


def _transaction(value: Any) -> str | dict[str, Any]:
    # A node that knows no second parameter sends hashes.
    return value if is_object(value) else block_hash(value)


def _result(task: asyncio.Task[Subscription[Any]]) -> Subscription[Any] | None:
    return None if task.exception() is not None else task.result()
