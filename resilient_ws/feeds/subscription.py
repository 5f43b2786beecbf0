"""What a user holds for one stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from types import TracebackType
    from typing import Self

    from resilient_ws.feeds.buffer import Buffer
    from resilient_ws.feeds.flow import Flow, Stage
    from resilient_ws.feeds.source import Gap


T = TypeVar("T")


class Subscription(Generic[T]):
    """One stream, which outlives the connections that bring it.

    Iterate over it with ``async for``: it yields the items, in order, and a ``Gap``
    wherever something is missing that could not be fetched. It has one consumer. Made
    by ``Channel.subscribe`` and its like; ``aclose``, or ``async with``, ends it.

    Attributes:
        id: Its name in gaps and logs; stable, while the server's changes underneath.
    """

    def __init__(
        self,
        id: str,
        buffer: Buffer[T | Gap],
        flow: Flow[T, Any],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self.id = id
        self._buffer = buffer
        self._flow = flow
        self._close = close

    def __repr__(self) -> str:
        """Show the name, the state and how much waits."""
        return f"<Subscription {self.id}, {self.state.value}, {self.lag} waiting>"

    @property
    def state(self) -> Stage:
        """What happens to items that arrive now."""
        return self._flow.stage

    @property
    def cursor(self) -> Any:
        """The position of the newest item that was put in order, ``None`` at first.

        Everything through it was yielded, waits to be, or is in a ``Gap``.
        """
        return self._flow.order.cursor

    @property
    def lag(self) -> int:
        """How many items wait to be read."""
        return self._flow.waiting

    @property
    def dropped(self) -> int:
        """How many items were not kept because nobody read, and are in a ``Gap``."""
        return self._flow.dropped

    @property
    def repeats(self) -> int:
        """How many items came more than once, and were yielded once."""
        return self._flow.order.repeats

    @property
    def gaps(self) -> int:
        """How many holes could not be filled."""
        return self._flow.order.gaps

    def __aiter__(self) -> Self:
        """Iterate over the items and the gaps."""
        return self

    def __anext__(self) -> Coroutine[Any, Any, T | Gap]:
        """Return the next item or gap.

        Raises:
            FeedError: The server ended the stream with an error.
            ResilientWSError: The session ended with an error.
            RuntimeError: Another task reads.
            StopAsyncIteration: The stream or the session has ended.

        Cancellation:
            Safe: nothing is lost.
        """
        return self._buffer.take()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the subscription, and tell the server; do nothing if it has ended.

        Cancellation:
            The subscription has ended; the server may not have been told.
        """
        await self._close()
