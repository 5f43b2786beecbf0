"""Keeps one book: a snapshot, and the differences that follow it.

Rules: a book is given out only while it is whole. Whatever casts doubt on it (a number
that does not follow, a checksum, a drop, an item that cannot be read) takes it away at
once, says why, and has it made anew: this book alone. Nothing here raises or waits
where the channel's pump calls.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from resilient_ws.feeds.errors import (
    BackfillFailed,
    CallLost,
    CallTimeout,
    ChecksumMismatch,
    FeedError,
    ItemsMissed,
    StreamEnded,
    StreamReset,
    Undecodable,
)
from resilient_ws.feeds.flow import Stage
from resilient_ws.feeds.source import Continuity, Source


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.books import BookSource
    from resilient_ws.feeds.channel import Channel
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.seat import Seat
    from resilient_ws.feeds.source import Key
    from resilient_ws.feeds.statistics import ChannelStatistics


T = TypeVar("T")
B = TypeVar("B")
C = TypeVar("C")

#: Seconds before a book that was hurt again is made anew: at once for the first time,
#: then doubled from the first figure up to the second, and forgotten after the third.
PAUSE: Final = 0.1
MAX_PAUSE: Final = 60.0
FORGET: Final = 10.0


class Keeper(Generic[T, B, C]):
    """The book of one key.

    Args:
        key: The key.
        source: How its book is made.
        channel: Brings the differences.
        fetching: Holds the snapshots that may be fetched at once.
        held: How many differences wait for a snapshot.
        patience: Seconds within which a snapshot has to come.
        changed: Called when there is news.
    """

    def __init__(
        self,
        key: Key,
        source: BookSource[T, B, C],
        channel: Channel,
        *,
        fetching: asyncio.Semaphore,
        held: int,
        patience: float,
        changed: Callable[[Keeper[T, B, C]], None],
    ) -> None:
        self.key = key
        self._source = source
        self._channel = channel
        self._fetching = fetching
        self._patience = patience
        self._changed = changed
        self._held: deque[T] = deque(maxlen=held)
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        # The connection on which the server was asked, and the key that it gave.
        self._asked: tuple[int, Key] | None = None
        # Whether the subscription stands.
        self._stands = False
        self._position: C | None = None
        self._pause = 0.0
        self._hurt_at = -math.inf
        #: The book, while it is whole.
        self.book: B | None = None
        self.ended = False
        self.resyncs = 0
        self.repeats = 0
        # Why the book was lost, until that is read.
        self._lost: FeedError | None = None
        #: Whether the book has changed since it was read.
        self.fresh = False
        #: Whether this waits to be read; ``Books`` alone writes it.
        self.queued = False
        self._seat: Seat = channel.attach(
            Source(
                subscribe=self._subscribe,
                unsubscribe=source.unsubscribe,
                stale_after=source.stale_after,
                name=str(key),
            ),
            self,
            self.end,
        )

    async def aclose(self) -> None:
        """End the subscription, and tell the server."""
        self.ended = True
        await self._channel.detach(self._seat)

    async def _subscribe(self, requests: Requests) -> Key:
        """Subscribe; on a connection that has the subscription, leave it first."""
        source = self._source
        if source.unsubscribe is not None and self._asked is not None:
            epoch, key = self._asked
            self._asked = None
            if epoch == requests.epoch:
                await self._leave(requests, key)
                self._seat.forget(key)  # of the old subscription
        self._asked = requests.epoch, self.key
        key = await source.subscribe(requests, self.key)
        self._asked = requests.epoch, key
        return key

    async def _leave(self, requests: Requests, key: Key) -> None:
        assert self._source.unsubscribe is not None  # noqa: S101 - for the type checker
        try:
            await self._source.unsubscribe(requests, key)
        except (CallLost, CallTimeout):
            raise
        except FeedError:
            return  # the server knows nothing of it

    # What its reader takes.

    def take_lost(self) -> FeedError | None:
        """Return, once, why the book was lost; ``None`` if it was not."""
        because, self._lost = self._lost, None
        return because

    def take_fresh(self) -> B | None:
        """Return the book, if it has changed since this was called."""
        fresh, self.fresh = self.fresh, False
        return self.book if fresh else None

    # What the seat tells.

    @property
    def cursor(self) -> None:
        """Nothing: what is missing comes with the snapshot."""

    def resume(self, *, kept: bool = False) -> None:  # noqa: ARG002 - the interface
        """Take note that the subscription stands: a snapshot is wanted."""
        self._stands = True
        if self._source.snapshot is None:
            self._alarm = self._loop.call_later(self._patience, self._none_came)
        else:
            self._fetch_in_task()

    def suspend(self) -> None:
        """Take note that the subscription is gone."""
        self._rest()
        self._stands = False
        self._held.clear()
        self._lose(ItemsMissed("The subscription ended with its connection."))

    def interrupted(self) -> None:
        """Take note that messages were lost on the way."""
        if self._stands:
            self._held.clear()
            self._hurt(ItemsMissed("Messages of the connection are missing."))

    def finish(self) -> None:
        """Stop."""
        self._rest()
        self._stands = False
        self._held.clear()

    def end(self, failure: Exception | None) -> None:
        """Take note that the server refused or ended the subscription."""
        if self.ended:
            return
        self.ended = True
        self.book = None
        self.fresh = False
        if isinstance(failure, FeedError):
            self._lost = failure
        else:
            self._lost = StreamEnded("The stream of the key has ended.")
            self._lost.__cause__ = failure
        self._changed(self)

    def deliver(self, value: Any) -> None:
        """Take what arrived."""
        if not self._stands:
            return
        try:
            item: T = value if self._source.parse is None else self._source.parse(value)
            self._take(item)
        except Exception as failure:  # noqa: BLE001 - a user's callable; it is told
            self._hurt(_undecodable(failure))

    # What the statistics of the channel count.

    @property
    def stage(self) -> Stage:
        """Whether the book is whole, or made, or has no subscription."""
        if not self._stands:
            return Stage.DOWN
        return Stage.FILLING if self.book is None else Stage.LIVE

    @property
    def waiting(self) -> int:
        """How many differences wait for a snapshot."""
        return len(self._held)

    def added_to(self, others: ChannelStatistics) -> ChannelStatistics:
        """Return the counters of other streams with those of this one."""
        return attrs.evolve(others, repeats=others.repeats + self.repeats)

    # The book.

    def _take(self, item: T) -> None:
        source = self._source
        if source.is_snapshot is not None and source.is_snapshot(item):
            self._made_of(item)
        elif self.book is not None:
            self._apply(self.book, item)
        elif source.snapshot is not None:
            # The oldest leaves when there are too many; should it have been needed,
            # the snapshot is not followed by the next, and is fetched again.
            self._held.append(item)

    def _apply(self, book: B, item: T) -> None:
        how = self._advance(book, item)
        if how is Continuity.REPEAT:
            self.repeats += 1
        elif how is Continuity.NEXT:
            self._renewed()
        else:
            self._held.clear()
            if self._source.snapshot is not None and how is Continuity.JUMP:
                self._held.append(item)
            self._hurt(_reason(how))

    def _advance(self, book: B, item: T) -> Continuity:
        """Apply a difference, if it follows; return whether it does.

        Raises:
            ChecksumMismatch: The book is not what the server has.
        """
        source = self._source
        how = Continuity.NEXT
        if source.follows is not None:
            how = source.follows(self._position, item)
        if how is Continuity.NEXT:
            source.apply(book, item)
            self._step(book, item)
        return how

    def _step(self, book: B, item: T) -> None:
        """Move to the position of an item that was applied, and verify the book."""
        source = self._source
        if source.position_of is not None:
            self._position = source.position_of(item)
        if source.verify is not None and not source.verify(book, item):
            raise ChecksumMismatch("The book is not what the server has.")

    def _made_of(self, snapshot: T) -> bool:
        """Make the book of a snapshot, and of the differences that are held.

        Returns:
            Whether they follow it; those that do not stay held.
        """
        book = self._source.make(snapshot)
        self._step(book, snapshot)
        for item in self._held:
            how = self._advance(book, item)
            if how is Continuity.RESET:
                self._leave_counts()
                return False
            if how is Continuity.JUMP:
                return False
        self._held.clear()
        self._rest()
        self.book = book
        self._renewed()
        return True

    def _leave_counts(self) -> None:
        """Let go of what is held of another count than the position is of.

        Be it an older count or a newer one: the next snapshot will be newer than that,
        and if it is not, what follows it tells.
        """
        assert self._source.follows is not None  # noqa: S101 - for the type checker
        left = [self._source.follows(self._position, item) for item in self._held]
        while Continuity.RESET in left:
            left.pop(0)
            self._held.popleft()

    def _renewed(self) -> None:
        self.fresh = True
        self._changed(self)

    def _lose(self, because: FeedError) -> None:
        if self.book is not None:
            self.book = None
            self.fresh = False
            self._lost = because
            self._changed(self)

    # Making it anew.

    def _hurt(self, because: FeedError) -> None:
        """Take the book away, and make it anew."""
        self.resyncs += 1
        self._lose(because)
        self._rest()
        pause = self._next_pause()
        if self._source.snapshot is not None:
            self._fetch_in_task(pause)
        else:
            self._seat.renew(pause)

    def _next_pause(self) -> float:
        now = self._loop.time()
        if now - self._hurt_at > max(FORGET, 2 * self._pause):
            self._pause = 0.0
        else:
            self._pause = min(max(2 * self._pause, PAUSE), MAX_PAUSE)
        self._hurt_at = now
        return self._pause

    def _none_came(self) -> None:
        self._alarm = None
        self._hurt(BackfillFailed("No snapshot came."))

    def _rest(self) -> None:
        """End what waits for a snapshot."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _fetch_in_task(self, pause: float = 0.0) -> None:
        self._task = self._channel.spawn(self._fetch(pause))

    async def _fetch(self, pause: float) -> None:
        """Fetch snapshots until one is followed by what is held."""
        assert self._source.snapshot is not None  # noqa: S101 - for the type checker
        while True:
            await asyncio.sleep(pause)
            try:
                async with self._fetching, asyncio.timeout(self._patience):
                    snapshot = await self._source.snapshot(self.key)
                if self._made_of(snapshot):
                    return
            except Exception as failure:  # noqa: BLE001 - a user's callable; it is told
                self._failed(failure)
            self.resyncs += 1
            pause = self._next_pause()

    def _failed(self, failure: Exception) -> None:
        """Tell why there is still no book."""
        if isinstance(failure, FeedError):
            self._lost = failure
        else:
            kind = type(failure).__name__
            self._lost = BackfillFailed(f"The snapshot could not be fetched: {kind}.")
            self._lost.__cause__ = failure.with_traceback(None)
        self._changed(self)


def _reason(how: Continuity) -> FeedError:
    if how is Continuity.RESET:
        return StreamReset("The server began its count anew.")
    return ItemsMissed("Differences of the book are missing.")


def _undecodable(failure: Exception) -> FeedError:
    if isinstance(failure, FeedError):
        return failure
    kind = type(failure).__name__
    error = Undecodable(f"An item could not be read: {kind}.")
    error.__cause__ = failure.with_traceback(None)
    return error
