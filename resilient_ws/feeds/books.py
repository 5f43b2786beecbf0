"""Books: snapshots and the differences that follow them, for many keys at once.

An order book, a leaderboard, a cache: the server sends a snapshot, and then what has
changed. ``Books`` keeps one for each key, and says of each when it is whole and when it
is not. A key that is hurt is made anew alone; the others go on.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from resilient_ws.feeds.buffer import Buffer
from resilient_ws.feeds.errors import FeedError, StreamEnded
from resilient_ws.feeds.keeper import Keeper
from resilient_ws.feeds.requests import Requests
from resilient_ws.feeds.source import Continuity, Key
from resilient_ws.policy._validate import (
    check_callables,
    check_positive,
    check_seconds_or_none,
    require_callable,
    whole_number,
)


if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from resilient_ws.feeds.channel import Channel


T = TypeVar("T")
B = TypeVar("B")
C = TypeVar("C")


@attrs.frozen
class Synced(Generic[B]):
    """A book is whole, and has changed.

    Attributes:
        key: The key.
        book: The book itself, not a copy: it changes while you await.
    """

    key: Key
    book: B


@attrs.frozen
class Stale:
    """A book is not known any more, until it is ``Synced`` again.

    Told again when a snapshot could not be fetched, and for the last time when the
    server refused or ended the stream of the key (``SubscribeRefused``,
    ``StreamEnded``).

    Attributes:
        key: The key.
        because: Why.
    """

    key: Key
    because: FeedError


@attrs.frozen(kw_only=True)
class BookSource(Generic[T, B, C]):
    """How the book of a key is made.

    A snapshot comes in band, where ``is_snapshot`` tells it from a difference, or is
    fetched by ``snapshot``. A server that numbers the messages of a connection, and not
    those of a key, is watched by its protocol, which returns ``Missed``.

    Attributes:
        subscribe: Asks the server for the differences of a key on a new connection, and
            returns the key under which they will come.
        unsubscribe: Ends that; gets the key that ``subscribe`` returned, or where its
            answer was lost the key of the book. A key whose snapshot comes in band is
            left and subscribed to again when it is hurt.
        make: Makes a book of a snapshot.
        apply: Changes a book by a difference. It may meet one that the book contains
            already, so it should set values, not add to them.
        is_snapshot: Tells whether what came is a snapshot.
        snapshot: Fetches the snapshot of a key. Where its position and its data are two
            requests, read the position first: too old a position applies a difference
            twice, too new a one would leave one out.
        position_of: The position of a snapshot, and of a difference.
        follows: Tells how a difference stands to the position before it. By default
            everything follows.
        verify: Whether a book is what the server has after a snapshot or a difference,
            by the checksum that came with it.
        parse: Makes an item of what came; ``None`` (default) to take it as it is.
        stale_after: Seconds of silence after which a key is subscribed to again;
            ``None`` (default) for keys that may be silent.
    """

    subscribe: Callable[[Requests, Key], Awaitable[Key]]
    make: Callable[[T], B]
    apply: Callable[[B, T], object]
    unsubscribe: Callable[[Requests, Key], Awaitable[object]] | None = None
    is_snapshot: Callable[[T], bool] | None = None
    snapshot: Callable[[Key], Awaitable[T]] | None = None
    position_of: Callable[[T], C] | None = None
    follows: Callable[[C | None, T], Continuity] | None = None
    verify: Callable[[B, T], bool] | None = None
    parse: Callable[[Any], T] | None = None
    stale_after: float | None = None

    def __attrs_post_init__(self) -> None:
        """Check that a snapshot can come from somewhere."""
        check_callables(
            unsubscribe=self.unsubscribe,
            is_snapshot=self.is_snapshot,
            snapshot=self.snapshot,
            position_of=self.position_of,
            follows=self.follows,
            verify=self.verify,
            parse=self.parse,
        )
        for name in ("subscribe", "make", "apply"):
            require_callable(getattr(self, name), name)
        check_seconds_or_none("stale_after", self.stale_after)
        if self.is_snapshot is None and self.snapshot is None:
            msg = "Say where snapshots come from: is_snapshot (in band) or snapshot."
            raise ValueError(msg)


class Books(Generic[T, B, C]):
    """The books of many keys on one channel.

    Iterate over it with ``async for``: it yields ``Synced`` when a book was made or has
    changed, and ``Stale`` when it is not known any more. It has one consumer. If that
    is slow, changes of one book become one; a ``Stale`` is always told. So what waits
    is bounded by the number of keys.

    Args:
        channel: Brings the differences; entered.
        source: How a book is made.
        keys: The first keys.
        held: Differences that wait for a snapshot, for each key (default 1,024).
        patience: Seconds within which a snapshot has to come (default 10).
        fetches: Snapshots that are fetched at once (default 8).
    """

    def __init__(
        self,
        channel: Channel,
        source: BookSource[T, B, C],
        keys: Iterable[Key] = (),
        *,
        held: int = 1024,
        patience: float = 10.0,
        fetches: int = 8,
    ) -> None:
        whole_number("held", held, at_least=1)
        check_positive("patience", patience)
        whole_number("fetches", fetches, at_least=1)
        self._channel = channel
        self._source = source
        self._held = held
        self._patience = patience
        self._fetching = asyncio.Semaphore(fetches)
        self._keepers: dict[Key, Keeper[T, B, C]] = {}
        self._news: Buffer[Keeper[T, B, C]] = Buffer(sys.maxsize)
        channel.watch(self._finish)
        for key in keys:
            self.add(key)

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._keepers)

    def add(self, key: Key) -> None:
        """Keep the book of a key too; do nothing if it is kept.

        A key that the server refuses becomes ``Stale`` because of that, and is
        forgotten.
        """
        if key not in self._keepers:
            self._keepers[key] = Keeper(
                key,
                self._source,
                self._channel,
                fetching=self._fetching,
                held=self._held,
                patience=self._patience,
                changed=self._changed,
            )

    async def remove(self, key: Key) -> None:
        """Keep the book of a key no longer, and tell the server.

        Cancellation:
            The book is not kept; the server may not have been told.
        """
        keeper = self._keepers.pop(key, None)
        if keeper is not None:
            await keeper.aclose()

    def get(self, key: Key) -> B | None:
        """Return the book of a key, or ``None`` while it is not whole."""
        keeper = self._keepers.get(key)
        return None if keeper is None else keeper.book

    def resyncs(self, key: Key) -> int:
        """Return how often the book of a key had to be made anew."""
        keeper = self._keepers.get(key)
        return 0 if keeper is None else keeper.resyncs

    def repeats(self, key: Key) -> int:
        """Return how many differences of a key came more than once."""
        keeper = self._keepers.get(key)
        return 0 if keeper is None else keeper.repeats

    def __aiter__(self) -> Self:
        """Iterate over what becomes of the books."""
        return self

    async def __anext__(self) -> Synced[B] | Stale:
        """Return what has become of a book.

        Raises:
            ResilientWSError: The session ended with an error.
            RuntimeError: Another task reads.
            StopAsyncIteration: The session has ended, or the books were closed.

        Cancellation:
            Safe: nothing is lost.
        """
        while True:
            keeper = await self._news.take()
            keeper.queued = False
            event = self._event(keeper)
            if event is not None:
                return event

    def _event(self, keeper: Keeper[T, B, C]) -> Synced[B] | Stale | None:
        because = keeper.take_lost()
        if because is not None:
            if keeper.fresh:
                self._changed(keeper)
            return Stale(keeper.key, because)
        book = keeper.take_fresh()
        return None if book is None else Synced(keeper.key, book)

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
        """Keep no book any more, and tell the server.

        Cancellation:
            No book is kept; the server may not have been told of all.
        """
        keepers, self._keepers = self._keepers, {}
        for keeper in keepers.values():
            keeper.ended = True
        self._channel.unwatch(self._finish)
        self._news.finish(None)
        await asyncio.gather(*(keeper.aclose() for keeper in keepers.values()))

    def _changed(self, keeper: Keeper[T, B, C]) -> None:
        if keeper.ended and self._keepers.get(keeper.key) is keeper:
            del self._keepers[keeper.key]
        if not keeper.queued:
            keeper.queued = True
            self._news.put(keeper)

    def _finish(self, failure: Exception | None) -> None:
        """Take note that the channel has ended."""
        keepers, self._keepers = self._keepers, {}
        for keeper in keepers.values():
            keeper.end(StreamEnded("The session has ended."))
        self._news.finish(failure)
