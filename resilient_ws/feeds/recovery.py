"""Streams whose server remembers, and sends what was missed with its first answer.

Rules: what the server recovered is taken from its answer, once. What a slow consumer
left, or the server left out, is fetched from its history, page by page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import attrs

from resilient_ws.feeds.errors import BackfillFailed, RequestRefused, StreamReset
from resilient_ws.feeds.requests import Requests
from resilient_ws.feeds.source import Key, Source, in_epochs
from resilient_ws.policy._validate import require_callable, whole_number


class Position(NamedTuple):
    """A place in a stream.

    Attributes:
        epoch: The server's name of its count, another one when it begins anew.
        offset: The number of the item in it.
    """

    epoch: str
    offset: int


@attrs.frozen
class Publication:
    """An item of a stream with positions.

    Attributes:
        data: What was published, decoded.
        position: Where it is in the stream, ``None`` if that has no positions.
        info: Who published it, and what else the server said of it.
    """

    data: Any
    position: tuple[str, int] | None
    info: dict[str, Any]


@attrs.frozen
class Recovered:
    """What a server answered to a subscription.

    Attributes:
        key: The key of the items.
        position: Where the stream is now; ``None`` for one without positions.
        missed: What came since the position that was asked for, as items come; ``None``
            where the server does not remember it.
    """

    key: Key
    position: tuple[str, int] | None = None
    missed: Sequence[Any] | None = None


#: Asks for the stream, from a position where there is one.
SubscribeFrom: TypeAlias = Callable[[Requests, Position | None], Awaitable[Recovered]]
#: Asks for what came after a position; the last argument is how many items at most.
History: TypeAlias = Callable[[Requests, Position, int], Awaitable[Sequence[Any]]]
#: Returns the data, the offset (0 for none) and the rest of what came.
Parts: TypeAlias = Callable[[Any], tuple[Any, int, dict[str, Any]]]


def recovering(
    subscribe: SubscribeFrom,
    history: History,
    parts: Parts,
    unsubscribe: Callable[[Requests], Awaitable[object]],
    *,
    page: int = 100,
    name: str | None = None,
) -> Source[Publication, Any]:
    """Return the source of a stream whose server remembers.

    Args:
        subscribe: Asks for the stream, from a position where there is one.
        history: Asks for what came after a position: oldest first, and at most as many
            as its last argument says.
        parts: Returns the data of what came, its offset (0 for none), and the rest.
        unsubscribe: Tells the server that the stream is not needed any more.
        page: Items that are asked for at once (default 100); fewer are the last.
        name: What ``Subscription.id`` calls the stream.

    Raises:
        TypeError: A value of another type.
        ValueError: ``page`` is less than 1.
    """
    require_callable(subscribe, "subscribe")
    require_callable(history, "history")
    require_callable(parts, "parts")
    require_callable(unsubscribe, "unsubscribe")
    whole_number("page", page, at_least=1)
    stream = _Stream(subscribe, history, parts, page)
    return Source(
        subscribe=stream.subscribe,
        unsubscribe=lambda requests, _: unsubscribe(requests),
        parse=stream.parse,
        cursor_of=lambda item: item.position,
        begins_at=lambda: stream.position,
        follows=in_epochs(lambda item: item.position),
        backfill=stream.backfill,
        name=name,
    )


class _Stream:
    """A stream, as its newest subscription has it."""

    def __init__(
        self, subscribe: SubscribeFrom, history: History, parts: Parts, page: int
    ) -> None:
        self._subscribe = subscribe
        self._history = history
        self._parts = parts
        self._page = page
        self._requests: Requests | None = None
        # The newest answer, until what it recovered is taken.
        self._fresh: Recovered | None = None
        self.position: Position | None = None

    async def subscribe(self, requests: Requests) -> Key:
        """Ask for the stream on a new connection."""
        self._requests, self._fresh = requests, None
        since = None if requests.after is None else Position(*requests.after)
        answer = await self._subscribe(requests, since)
        at = answer.position
        self.position = None if at is None else Position(*at)
        self._fresh = None if since is None else answer
        return answer.key

    def parse(self, value: Any) -> Publication:
        """Return the item of what came."""
        data, offset, info = self._parts(value)
        if self.position is None or not offset:
            return Publication(data, None, info)
        return Publication(data, Position(self.position.epoch, offset), info)

    async def backfill(
        self,
        after: Position,
        until: Position | None,  # noqa: ARG002 - what is beyond it is a repeat
    ) -> AsyncIterator[Publication]:
        """Return what came after a position."""
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            if fresh.missed is None:
                raise StreamReset("The server has forgotten what was missed.")
            for value in fresh.missed:
                yield self.parse(value)
            return
        try:
            async for item in self._pages(Position(*after)):
                yield item
        except RequestRefused as error:
            raise BackfillFailed(str(error)) from error

    async def _pages(self, after: Position) -> AsyncIterator[Publication]:
        assert self._requests is not None  # noqa: S101 - for the type checker
        while True:
            values = await self._history(self._requests, after, self._page)
            last = None
            for value in values:
                item = self.parse(value)
                last = item.position
                yield item
            if last is None or last <= after or len(values) < self._page:
                return
            after = Position(*last)
