"""What a subscription has put in order so far, and how an item stands to it.

Rules: everything through the cursor was emitted, or named by a gap. What is emitted
goes to the consumer's buffer; the caller has looked whether there is room, for an item
or for a gap and the item behind it. Its fields are written here alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from resilient_ws.feeds.errors import StreamReset
from resilient_ws.feeds.holes import (
    after,
    before,
    no_history,
    unfilled,
    was_reset,
)
from resilient_ws.feeds.identities import Identities
from resilient_ws.feeds.source import JUMP, NEXT, REPEAT, RESET, Consecutive, Gap


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.buffer import Buffer
    from resilient_ws.feeds.errors import FeedError
    from resilient_ws.feeds.source import Continuity, Source


T = TypeVar("T")
C = TypeVar("C")


class Order(Generic[T, C]):
    """The items of one subscription, in order.

    Args:
        name: What gaps call it.
        source: How its items follow.
        buffer: Where they wait for the consumer.
        cursor: The position of the last item that the consumer had before.

    Attributes:
        gapped: Whether a gap whose end is not known is the last that was emitted:
            whatever comes next follows it.
        repeats: Items that came more than once.
        gaps: Gaps that were emitted.
    """

    __slots__ = (
        "_buffer",
        "_cursor_of",
        "_first_of",
        "_follows",
        "_has_history",
        "_name",
        "_number_of",
        "_reset",
        "cursor",
        "gapped",
        "gaps",
        "repeats",
        "seen",
    )

    def __init__(
        self,
        name: str,
        source: Source[T, C],
        buffer: Buffer[T | Gap],
        cursor: C | None,
    ) -> None:
        self._name = name
        self._buffer = buffer
        self._cursor_of = source.cursor_of
        self._first_of = source.first_of or source.cursor_of
        self._follows = follows = source.follows
        # Where one number is both, it is looked for once.
        self._number_of: Callable[[T], Any] | None = None
        if isinstance(follows, Consecutive):
            counted = cast("Consecutive[T]", follows)
            if counted.number_of is source.cursor_of:
                self._number_of = source.cursor_of
        self._has_history = source.backfill is not None
        identity = source.identity
        #: The identities of what was emitted or skipped.
        self.seen = None if identity is None else Identities(identity, source.window)
        self.cursor: C | None = cursor
        self.gapped = False
        # Whether the gap that was last emitted says that the count began anew.
        self._reset = False
        self.repeats = 0
        self.gaps = 0

    def begin_at(self, cursor: C) -> None:
        """Take a position for that of the last item, before any has come."""
        self.cursor = cursor

    def repeated(self) -> None:
        """Count an item that came once more."""
        self.repeats += 1

    def how(self, item: T) -> Continuity:
        """Tell how an item stands to the last one."""
        return self.how_behind(self.cursor, item)

    def how_behind(self, last: C | None, item: T) -> Continuity:
        """Tell how an item stands to the one at a position."""
        if self.seen is not None and self.seen.has(item):
            return REPEAT
        return NEXT if self._follows is None else self._follows(last, item)

    def advance(self, item: T) -> bool:
        """Emit an item if it is the next, and return whether it was.

        As ``how`` and ``emit``, in one call for each item of a feed.
        """
        seen = self.seen
        if seen is not None and seen.has(item):
            return False
        if self._number_of is not None:
            cursor: Any = self._number_of(item)
            number: object = cursor
            last: Any = self.cursor
            if type(number) is not int or (last is not None and cursor != last + 1):
                return False
            self.cursor = cursor
        else:
            follows = self._follows
            if follows is not None and follows(self.cursor, item) is not NEXT:
                return False
            if self._cursor_of is not None:
                self.cursor = self._cursor_of(item)
        if seen is not None:
            seen.add(item)
        self.gapped = False
        self._buffer.put(item)
        return True

    def told(self, how: Continuity) -> bool:
        """Whether the gap before it says already what is before an item."""
        return self.gapped and (how is JUMP or (how is RESET and self._reset))

    def position(self, item: T) -> C | None:
        """Return the cursor of an item."""
        return None if self._cursor_of is None else self._cursor_of(item)

    def emit(self, item: T) -> None:
        """Put an item behind the last."""
        # First what may raise, so that an item which fails has changed nothing.
        cursor = self.cursor if self._cursor_of is None else self._cursor_of(item)
        if self.seen is not None:
            self.seen.add(item)
        self.cursor = cursor
        self.gapped = False
        self._buffer.put(item)

    def emit_as(self, how: Continuity, item: T) -> None:
        """Put an item behind the last, and a gap before it unless it is the next."""
        if how is NEXT:
            self.emit(item)
        elif how is RESET:
            self.emit_behind_gap(item, was_reset())
        else:
            reason = unfilled() if self._has_history else no_history()
            self.emit_behind_gap(item, reason)

    def emit_behind_gap(self, item: T, because: FeedError) -> None:
        """Put an item behind the last, and a gap before it."""
        begin = None if self._first_of is None else self._first_of(item)
        self.emit_gap(because, until=before(begin))
        self.emit(item)

    def emit_gap(self, because: FeedError, *, until: Any = None) -> None:
        """Put a gap behind the last item, through a position if that is known."""
        first = after(self.cursor)
        if isinstance(first, int) and isinstance(until, int) and until < first:
            until = None  # a count that began anew, or nothing that could be counted
        gap = Gap(key=self._name, first_missing=first, until=until, because=because)
        self.gaps += 1
        self.gapped = True
        self._reset = isinstance(because, StreamReset)
        self._buffer.put(gap)

    def pass_over(self, because: FeedError, last: C | None, *, is_open: bool) -> None:
        """Put a gap behind the last item for those that were skipped, and go on there.

        Args:
            because: Why they are missing.
            last: The position of the newest of them.
            is_open: Whether more may be missing behind it.
        """
        until = None if is_open else last
        self.emit_gap(because, until=until)
        self.gapped = until is None
        self.cursor = last
