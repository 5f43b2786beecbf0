"""From what arrives for a subscription to what its consumer gets, without a hole.

Rules: the pump calls ``deliver`` and never waits. While a hole is open, one task fills
it and live items are held; what is emitted is always in order, and every hole that
cannot be filled is emitted as a ``Gap`` in its place. The cursor is that of the last
item that was emitted, so that a fill which is cut short goes on from there. A consumer
that is too slow leaves a hole like any other.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from resilient_ws.feeds.errors import (
    BackfillFailed,
    CallLost,
    CallTimeout,
    ConsumerTooSlow,
    FeedError,
    NotBackfillable,
    StreamReset,
    Undecodable,
)
from resilient_ws.feeds.identities import Identities
from resilient_ws.feeds.source import Continuity, Gap


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from resilient_ws.feeds.buffer import Buffer
    from resilient_ws.feeds.source import Source


T = TypeVar("T")
C = TypeVar("C")

_NOWHERE: Final = object()
#: How often a fetch that got no answer is tried on one connection.
MAX_ATTEMPTS: Final = 3
#: Seconds before the second attempt; the third waits twice as long.
ATTEMPT_PAUSE: Final = 0.5


class Stage(enum.Enum):
    """What a flow does with an item that arrives."""

    #: There is no subscription on a connection: nothing should arrive.
    DOWN = "down"
    #: A hole is open: items are held until it is filled.
    FILLING = "filling"
    #: Items go straight to the consumer.
    LIVE = "live"
    #: The consumer is too slow: items are not kept.
    BEHIND = "behind"


class _Missing:
    """Stands in the place of items that nobody can have."""

    __slots__ = ("because",)

    def __init__(self, because: FeedError) -> None:
        self.because = because


class Flow(Generic[T, C]):
    """The stream of one subscription.

    Args:
        name: What gaps call it.
        source: How its items follow, and how a hole is fetched.
        buffer: Where its items wait for the consumer.
        after: The cursor of the last item that the consumer had before.
        refill: Whether items that a slow consumer left are fetched again.
        spawn: Starts the task that fills a hole.
    """

    def __init__(
        self,
        name: str,
        source: Source[T, C],
        buffer: Buffer[T | Gap],
        *,
        after: C | None,
        refill: bool,
        spawn: Callable[[Any], asyncio.Task[None]],
    ) -> None:
        self._name = name
        self._source = source
        self._buffer = buffer
        self._refill = refill and source.backfill is not None
        self._spawn = spawn
        self._held: deque[T | _Missing] = deque()
        identity = source.identity
        self._seen = None if identity is None else Identities(identity, source.window)
        self._task: asyncio.Task[None] | None = None
        # The positions of the items that a slow consumer left, first and last.
        self._left: tuple[C | None, C | None] | None = None
        # Whether items may be missing behind the last one that was emitted.
        self._hole = after is not None
        # Whether a hole is being filled just now.
        self._filling = False
        # Stands where the last drop was, behind what was held; and whether nothing was
        # missing before it.
        self._drop: _Missing | None = None
        self._whole = False
        # Where the last fetch ended: what is missing there cannot be fetched.
        self._fetched_to: object = _NOWHERE
        # Whether a gap stands behind it, so that the next item follows in any case.
        self._gapped = False
        self.stage = Stage.DOWN
        self.cursor = after
        #: Items that arrived again, and those that a slow consumer left for good.
        self.repeats = 0
        self.dropped = 0
        self.gaps = 0

    # What the channel tells.

    def resume(self) -> None:
        """Begin with what arrives on a new subscription; fill the hole before it."""
        self._cancel()
        if self._source.resumed is not None and self._source.resumed():
            self._forgive()
        self._whole = False
        if self.cursor is None and self._source.begins_at is not None:
            self.cursor = self._source.begins_at()
        self._fill_in_task()

    def suspend(self) -> None:
        """Take note that the subscription is gone: something may be missed from now."""
        self._cancel()
        if self.stage is Stage.DOWN:
            return
        self._whole = self.stage is Stage.LIVE
        self.stage = Stage.DOWN
        if self._source.backfill is None and self._held:
            # They are all that is left of them; something may be missing behind them.
            if self._source.follows is None:
                self._drop = _Missing(_reason(Continuity.JUMP))
                self._held.append(self._drop)
            return
        # They are fetched again, from the last that was emitted.
        self._held.clear()
        self._hole = True

    def _forgive(self) -> None:
        """Take back the hole of the last drop, but none that was there before it."""
        if self._held and self._held[-1] is self._drop:
            self._held.pop()
        if self._whole:
            self._hole = False

    def interrupted(self) -> None:
        """Take note that items were lost on the way, while the subscription lives."""
        if self.stage in {Stage.LIVE, Stage.BEHIND}:
            self._cancel()
            self._hole = True
            self._fill_in_task()
        elif self.stage is Stage.FILLING:
            self._hole = True

    def finish(self) -> None:
        """Stop filling: the subscription has ended."""
        self._cancel()
        self._held.clear()
        self.stage = Stage.DOWN

    def deliver(self, value: Any) -> None:
        """Take what arrived. Never waits."""
        parse = self._source.parse
        if parse is None:
            item: T | _Missing = value
        else:
            try:
                item = parse(value)
            except Exception as failure:  # noqa: BLE001 - told in the place of the item
                item = _Missing(_undecodable(failure))
        if self.stage is Stage.LIVE:
            self._live(item)
        elif self.stage is Stage.FILLING:
            self._hold(item)
        elif self.stage is Stage.BEHIND:
            self._leave(item)

    # Live.

    def _live(self, item: T | _Missing) -> None:
        if isinstance(item, _Missing):
            if self._buffer.full:
                self._fall_behind(item)
            else:
                self._emit_gap(item.because)
            return
        how = self._how(item)
        if how is Continuity.REPEAT:
            self.repeats += 1
        elif self._buffer.full:
            self._fall_behind(item)
        elif how is Continuity.NEXT:
            self._emit(item)
        elif how is Continuity.JUMP and self._source.backfill is not None:
            self._held.append(item)
            self._hole = True
            self._fill_in_task()
        else:
            self._emit_gap(_reason(how), before=item)
            self._emit(item)

    def _how(self, item: T) -> Continuity:
        """Tell how an item stands to the last one that was emitted."""
        if self._seen is not None and self._seen.has(item):
            return Continuity.REPEAT
        follows = self._source.follows
        if follows is None:
            return Continuity.NEXT
        how = follows(self.cursor, item)
        told = self._gapped and how in {Continuity.JUMP, Continuity.RESET}
        return Continuity.NEXT if told else how

    def _emit(self, item: T) -> None:
        if self._source.cursor_of is not None:
            self.cursor = self._source.cursor_of(item)
        if self._seen is not None:
            self._seen.add(item)
        self._gapped = False
        self._buffer.put(item)

    def _emit_gap(
        self,
        because: FeedError,
        *,
        before: T | None = None,
        until: C | None = None,
    ) -> None:
        """Put a gap behind the last item.

        Args:
            because: Why it could not be filled.
            before: The item behind it, where that is known.
            until: The last position in it, where that is known instead.
        """
        self.gaps += 1
        if before is not None and self._source.cursor_of is not None:
            until = _before(self._source.cursor_of(before))
        self._buffer.put(
            Gap(
                key=self._name,
                first_missing=_after(self.cursor),
                until=until,
                because=because,
            )
        )
        self._gapped = True

    # A slow consumer.

    def _fall_behind(self, item: T | _Missing) -> None:
        """Leave an item for which there is no room."""
        self.stage = Stage.BEHIND
        self._leave(item)
        self._task = self._spawn(self._catch_up())

    def _leave(self, item: T | _Missing) -> None:
        if self._refill:
            return  # it is fetched when there is room
        self.dropped += 1
        position = None
        if self._source.cursor_of is not None and not isinstance(item, _Missing):
            position = self._source.cursor_of(item)
        first = position if self._left is None else self._left[0]
        self._left = first, position

    async def _catch_up(self) -> None:
        """Go on when the consumer has made room."""
        await self._buffer.until_half_empty()
        if self._refill:
            self._hole = True
            self.stage = Stage.FILLING
            await self._fill()
            return
        if self._left is not None:
            first, last = self._left
            self._left = None
            self.gaps += 1
            reason = ConsumerTooSlow("The buffer of the subscription was full.")
            self._buffer.put(
                Gap(key=self._name, first_missing=first, until=last, because=reason)
            )
            self.cursor = last
            self._gapped = True
        self._task = None
        self.stage = Stage.LIVE

    # Filling.

    def _hold(self, item: T | _Missing) -> None:
        """Keep an item until the hole before it is filled."""
        if len(self._held) >= self._buffer.size:
            # Too many: they become part of the hole.
            if self._source.backfill is None:
                self.dropped += len(self._held)
            self._held.clear()
            self._hole = True
        self._held.append(item)

    def _fill_in_task(self) -> None:
        self.stage = Stage.FILLING
        self._task = self._spawn(self._fill())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._filling:
            # The gap that waited for room is still to come.
            self._hole, self._filling = True, False

    async def _fill(self) -> None:
        """Fill holes until there is none, and go live."""
        while self._hole or self._held:
            if self._hole:
                self._hole, self._filling = False, True
                await self._fill_once()
                self._filling = False
            await self._release()
        self._task = None
        self.stage = Stage.LIVE

    async def _fill_once(self) -> None:
        """Fetch what is missing before the first item that is held, or say so."""
        source = self._source
        if source.backfill is None and source.follows and self.cursor is not None:
            return  # the next item tells whether anything is missing, and what
        if source.backfill is None or self.cursor is None:
            if not self._gapped:
                await self._gap(_reason(Continuity.JUMP))
            return
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                await self._fetch(source.backfill)
            except (CallLost, CallTimeout) as failure:
                if attempt == MAX_ATTEMPTS:
                    await self._gap(_failed(failure))
                else:
                    await asyncio.sleep(ATTEMPT_PAUSE * attempt)
            except FeedError as failure:
                await self._gap(failure)
                return
            except Exception as failure:  # noqa: BLE001 - a user's callable; it is told
                await self._gap(_failed(failure))
                return
            else:
                self._fetched_to = self.cursor
                return

    async def _fetch(self, backfill: Callable[[C, C | None], AsyncIterator[T]]) -> None:
        assert self.cursor is not None  # noqa: S101 - for the type checker
        until = None
        item = self._held[0] if self._held else None
        if self._source.cursor_of is not None and not isinstance(item, _Missing | None):
            until = self._source.cursor_of(item)
        async with aclosing(_closable(backfill(self.cursor, until))) as items:
            async for item in items:
                await self._put(item)

    async def _put(self, item: T) -> None:
        """Emit an item when there is room, and a gap before it where one is missing."""
        how = self._how(item)
        if how is Continuity.REPEAT:
            self.repeats += 1
            return
        await self._room()
        if how is not Continuity.NEXT:
            text = "What the server returned for the hole does not fill it."
            reset = how is Continuity.RESET or self._source.backfill is None
            reason = _reason(how) if reset else BackfillFailed(text)
            self._emit_gap(reason, before=item)
        self._emit(item)

    async def _release(self) -> None:
        """Emit what is held, up to the next hole."""
        while self._held and not self._hole:
            item = self._held[0]
            if isinstance(item, _Missing):
                await self._gap(item.because)
            elif self._can_fetch_before(item):
                self._hole = True
                return
            else:
                await self._put(item)
            # ``_hold`` may have left them all while this waited for room.
            if self._held and self._held[0] is item:
                self._held.popleft()

    def _can_fetch_before(self, item: T) -> bool:
        """Whether something is missing before an item that was not asked for yet."""
        return (
            self._source.backfill is not None
            and self._fetched_to != self.cursor
            and self._how(item) is Continuity.JUMP
        )

    async def _gap(self, because: FeedError) -> None:
        await self._room()
        item = self._held[0] if self._held else None
        self._emit_gap(because, before=None if isinstance(item, _Missing) else item)

    async def _room(self) -> None:
        if self._buffer.full:
            await self._buffer.until_half_empty()


def _after(cursor: Any) -> Any:
    """Return the position behind one: known where positions are numbers."""
    return cursor + 1 if isinstance(cursor, int) else None


def _before(cursor: Any) -> Any:
    return cursor - 1 if isinstance(cursor, int) else None


def _reason(how: Continuity) -> FeedError:
    if how is Continuity.RESET:
        return StreamReset("The server began its count anew.")
    return NotBackfillable("The stream has no history that could be fetched.")


def _failed(failure: Exception) -> BackfillFailed:
    error = BackfillFailed(
        f"What was missed could not be fetched: {type(failure).__name__}."
    )
    error.__cause__ = failure.with_traceback(None)
    return error


def _undecodable(failure: Exception) -> Undecodable:
    kind = type(failure).__name__
    error = Undecodable(f"An item could not be decoded: {kind}.")
    error.__cause__ = failure.with_traceback(None)
    return error


async def _closable(items: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """Return the items as a generator, which can be closed in any case."""
    async for item in items:
        yield item
