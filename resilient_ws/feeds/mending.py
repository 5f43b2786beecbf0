"""Closes the holes of a flow: fetches what is missing, or tells that it is.

Rules: one task works from the first thing that is held to the last, so that everything
is emitted in order. It may be cancelled at any time, and another goes on from there.
What the source's callables raise is told in the place of the item.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from resilient_ws.feeds.errors import CallLost, CallTimeout, FeedError
from resilient_ws.feeds.holes import (
    Hole,
    Skipped,
    cut_short,
    failed,
    no_history,
    too_slow,
    undecodable,
)
from resilient_ws.feeds.source import JUMP, REPEAT, RESET


if TYPE_CHECKING:
    from collections import deque
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from resilient_ws.feeds.buffer import Buffer
    from resilient_ws.feeds.order import Order
    from resilient_ws.feeds.source import Continuity, Gap, Source


T = TypeVar("T")
C = TypeVar("C")

_NOWHERE: Final = object()
_NOTHING: Final = object()
#: How often a fetch that got no answer is tried on one connection.
MAX_ATTEMPTS: Final = 3
#: Seconds before the second attempt; the third waits twice as long.
ATTEMPT_PAUSE: Final = 0.5


class Mender(Generic[T, C]):
    """Empties what a flow holds.

    Args:
        source: How a hole is fetched.
        order: Where the items go.
        buffer: Tells whether there is room.
        held: The items, with holes among them.
    """

    __slots__ = ("_buffer", "_fetched_to", "_held", "_order", "_source")

    def __init__(
        self,
        source: Source[T, C],
        order: Order[T, C],
        buffer: Buffer[T | Gap],
        held: deque[T | Hole],
    ) -> None:
        self._source = source
        self._order = order
        self._buffer = buffer
        self._held = held
        # Where the last fetch ended: what is missing there cannot be fetched.
        self._fetched_to: object = _NOWHERE

    async def run(self) -> None:
        """Emit all that is held, and close the holes in it.

        Cancellation:
            Safe: what is not emitted is still held.
        """
        held = self._held
        while held:
            entry = held[0]
            try:
                if isinstance(entry, Skipped):
                    await self._close_skipped(entry)
                elif isinstance(entry, Hole):
                    await self._close(entry)
                else:
                    await self._put_held(entry)
            except Exception as failure:  # noqa: BLE001 - the source's: told in its place
                self._spoil_first(entry, undecodable(failure))

    def _spoil_first(self, entry: T | Hole, because: FeedError) -> None:
        """Make a gap of the first item that is held, or the one behind the hole."""
        if isinstance(entry, Hole) and self._nearest() is not _NOTHING:
            del self._held[1]
        self._held[0] = Hole(because)

    def _nearest(self) -> T | object:
        """Return the item behind the first hole, or ``_NOTHING``."""
        if len(self._held) > 1 and not isinstance(self._held[1], Hole):
            return self._held[1]
        return _NOTHING

    async def _put_held(self, item: T) -> None:
        """Emit the first item that is held, or find that a hole is before it."""
        how = self._order.how(item)
        if how is JUMP and self._may_fetch():
            self._held.appendleft(Hole())
            return
        if how is not REPEAT:
            await self._room()
        self._emit_held(item, how)

    def _emit_held(self, item: T, how: Continuity) -> None:
        """Emit the first item that is held."""
        if how is REPEAT:
            self._order.repeated()
        elif self._order.told(how):
            self._order.emit(item)
        else:
            self._order.emit_as(how, item)
        self._held.popleft()

    def _may_fetch(self) -> bool:
        """Whether what is missing behind the cursor was not asked for yet."""
        order = self._order
        was_asked = order.gapped or self._fetched_to == order.cursor
        return self._source.backfill is not None and not was_asked

    def drain(self) -> None:
        """Emit all that is held at once, for nothing comes behind it any more."""
        held = self._held
        while held:
            entry = held[0]
            try:
                if isinstance(entry, Skipped):
                    self._tell_skipped(entry)
                elif isinstance(entry, Hole):
                    certain = entry.because is not None
                    self._tell(entry.because or cut_short(), certain=certain)
                    held.popleft()
                else:
                    self._emit_held(entry, self._order.how(entry))
            except Exception as failure:  # noqa: BLE001 - the source's: told in its place
                self._spoil_first(entry, undecodable(failure))

    async def _close_skipped(self, skipped: Skipped) -> None:
        """Go on behind what was skipped, when the slow consumer has made room."""
        await self._buffer.until_half_empty()
        self._tell_skipped(skipped)

    def _tell_skipped(self, skipped: Skipped) -> None:
        self._held.popleft()
        if self._order.seen is not None and skipped.seen is not None:
            self._order.seen.take_in(skipped.seen)
        if skipped.count or skipped.is_open:
            because = skipped.because or too_slow()
            self._order.pass_over(because, skipped.last, is_open=skipped.is_open)

    async def _close(self, hole: Hole) -> None:
        """Fill the first hole, or emit it as a gap."""
        hole.begun = True
        because = hole.because or await self._fetch_missing()
        if because is not None:
            await self._room()
            self._tell(because, certain=hole.because is not None)
        self._held.popleft()

    def _tell(self, because: FeedError, *, certain: bool) -> None:
        """Emit a gap for the first hole, together with the item behind it.

        Args:
            because: Why it could not be filled.
            certain: Whether something is missing even where the next item follows.
        """
        if self._drop_repeats() and certain:
            return  # what came before them was fetched
        item: Any = self._nearest()
        if item is _NOTHING:
            if certain or not self._order.gapped:
                self._order.emit_gap(because)
        elif certain or self._is_missed(item):
            self._order.emit_behind_gap(item, because)
            del self._held[1]

    def _is_missed(self, item: T) -> bool:
        """Whether something may be missing between the last item and one behind it."""
        if self._order.cursor is None and not self._order.gapped:
            return True  # nothing came before it that could tell
        return self._source.follows is None or self._order.how(item) is JUMP

    # Fetching.

    async def _fetch_missing(self) -> FeedError | None:
        """Fetch what the first hole lacks; return why that cannot be done."""
        backfill = self._source.backfill
        if backfill is None or self._order.cursor is None:
            # With ``follows``, the next item tells whether anything is missing.
            known = self._source.follows is not None and self._order.cursor is not None
            return None if known else no_history()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                await self._fetch_until_filled(backfill)
            except (CallLost, CallTimeout) as failure:
                if attempt == MAX_ATTEMPTS:
                    return failed(failure)
                await asyncio.sleep(ATTEMPT_PAUSE * attempt)
            except FeedError as failure:
                return failure
            except Exception as failure:  # noqa: BLE001 - a user's callable; it is told
                return failed(failure)
            else:
                break
        return None

    async def _fetch_until_filled(
        self, backfill: Callable[[C, C | None], AsyncIterator[T]]
    ) -> None:
        """Fetch as long as that brings anything, for servers answer in parts."""
        self._drop_repeats()
        item: Any = self._nearest()
        if item is _NOTHING or self._source.follows is None:
            # Through the newest: what is held and was fetched too is a repeat.
            while await self._fetch(backfill, None):
                if self._drop_repeats():
                    return
            return
        while self._order.how(item) is JUMP:
            if not await self._fetch(backfill, self._order.position(item)):
                self._fetched_to = self._order.cursor
                return

    def _drop_repeats(self) -> bool:
        """Drop the items behind the first hole that were emitted; return if any was."""
        before = self._order.repeats
        while (item := self._nearest()) is not _NOTHING:
            if self._order.how(cast("T", item)) is not REPEAT:
                break
            self._order.repeated()
            del self._held[1]
        return self._order.repeats > before

    async def _fetch(
        self, backfill: Callable[[C, C | None], AsyncIterator[T]], until: C | None
    ) -> bool:
        """Put what is fetched in order; return whether asking again may bring more."""
        assert self._order.cursor is not None  # noqa: S101 - for the type checker
        more = False
        async with aclosing(_closable(backfill(self._order.cursor, until))) as items:
            async for item in items:
                how = self._order.how(item)
                if how is REPEAT:
                    self._order.repeated()
                    continue
                await self._room()
                self._order.emit_as(how, item)
                more = how is not RESET
        return more

    async def _room(self) -> None:
        if self._buffer.full:
            await self._buffer.until_half_empty()


async def _closable(items: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """Return the items as a generator, which can be closed in any case."""
    try:
        async for item in items:
            yield item
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
