"""What a user holds for one chain: items that wait to be read, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from resilient_ws.feeds.buffer import Buffer


if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from resilient_ws.feeds.evm.cursor import Cursor
    from resilient_ws.feeds.evm.follower import Follower


T = TypeVar("T")


class ChainStream(Generic[T]):
    """A stream of a chain, which outlives the connections that bring it.

    Iterate over it with ``async for``. It has one consumer, and begins when it is first
    read. ``aclose``, or ``async with``, ends it, and so does leaving its client.
    """

    def __init__(self, begin: Callable[[Buffer[T]], Follower], size: int) -> None:
        self._buffer: Buffer[T] = Buffer(size)
        self._begin = begin
        self._follower: Follower | None = None
        self._cursor: Cursor | None = None
        self._closed = False

    def __repr__(self) -> str:
        """Show the position and how much waits."""
        return f"<ChainStream at {self._cursor!r}, {self.lag} waiting>"

    @property
    def cursor(self) -> Cursor | None:
        """The position of the last item that was read, ``None`` at first."""
        return self._cursor

    @property
    def lag(self) -> int:
        """How many items wait to be read."""
        return len(self._buffer)

    def __aiter__(self) -> Self:
        """Iterate over the items."""
        return self

    async def __anext__(self) -> T:
        """Return the next item.

        Raises:
            ResilientWSError: The session ended with an error.
            RuntimeError: Another task reads, or the client was not entered.
            StopAsyncIteration: The stream or the session has ended.
            UnknownTag: The node does not know the tag of ``confirmations``.
            WrongChain: The node is of another chain.

        Cancellation:
            Safe: nothing is lost.
        """
        if self._follower is None and not self._closed:
            self._follower = self._begin(self._buffer)
        item = await self._buffer.take()
        self._cursor = getattr(item, "cursor", self._cursor)
        return item

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
        self._buffer.finish(None)
        if self._follower is not None:
            await self._follower.aclose()


async def put(buffer: Buffer[Any], item: Any) -> None:
    """Put an item, when there is room."""
    if buffer.full:
        await buffer.until_half_empty()
    buffer.put(item)
