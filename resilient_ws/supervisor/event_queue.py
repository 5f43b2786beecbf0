"""The events that wait for the user's callbacks.

Rules: events are delivered in the order in which they happened. Each has a *mark*, the
number of messages that were received before it. At most ``MAX_WAITING`` events wait;
beyond that the oldest are discarded and counted. Events that repeat are merged into the
one that waits, with a count, but never across the opening or the end of a connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws.events import (
    ConnectionDropped,
    ConnectionOpened,
    InboxOverflowed,
    LoopLagged,
    OutboxOverflowed,
    PongReceived,
)


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.events import Event


#: The most events that wait.
MAX_WAITING: Final = 1000

#: Events that are merged with a waiting one of their class, which counts them.
_MERGED: Final = (PongReceived, LoopLagged, OutboxOverflowed, InboxOverflowed)
#: Events across which nothing is merged, so that no report spans two connections.
_BORDERS: Final = (ConnectionOpened, ConnectionDropped)


class EventQueue:
    """Events and their marks, in the order in which they are delivered."""

    __slots__ = ("_waiting", "discarded")

    def __init__(self) -> None:
        # A list is fast enough, because it is short and usually empty.
        self._waiting: list[tuple[int, Event]] = []
        #: How many events were discarded because callbacks were too slow.
        self.discarded = 0

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._waiting)

    def merge(self, event: Event) -> bool:
        """Merge an event with a waiting one of its class; return whether it was."""
        if not isinstance(event, _MERGED):
            return False
        for place in reversed(range(len(self._waiting))):
            mark, waiting = self._waiting[place]
            if type(waiting) is type(event):
                # The merged event keeps the place of the first. If each new one moved
                # it back, it might never be delivered while messages keep coming.
                self._waiting[place] = mark, _merged(waiting, event)
                return True
            if isinstance(waiting, _BORDERS):
                break
        return False

    def append(self, mark: int, event: Event) -> bool:
        """Queue an event; return whether that discarded the oldest one."""
        return self._insert(len(self._waiting), mark, event)

    def insert_behind(
        self, mark: int, event: Event, *, is_due: Callable[[int], bool]
    ) -> bool:
        """Queue an event behind those whose mark is due, and ahead of the others.

        Returns:
            Whether that discarded the oldest event.
        """
        place = sum(is_due(mark) for mark, _ in self._waiting)
        return self._insert(place, mark, event)

    def _insert(self, place: int, mark: int, event: Event) -> bool:
        self._waiting.insert(place, (mark, event))
        if len(self._waiting) <= MAX_WAITING:
            return False
        del self._waiting[0]
        self.discarded += 1
        return True

    def next_mark(self) -> int:
        """Return the mark of the event to deliver next; there must be one."""
        return self._waiting[0][0]

    def pop(self) -> Event:
        """Remove and return the event to deliver next; there must be one."""
        return self._waiting.pop(0)[1]


def _merged(waiting: Event, event: Event) -> Event:
    """Return one event for both: the newer one's values, with the counts added up."""
    match waiting, event:
        case PongReceived(), PongReceived():
            return attrs.evolve(event, count=waiting.count + event.count)
        case LoopLagged(), LoopLagged():
            by, count = max(waiting.by, event.by), waiting.count + event.count
            return attrs.evolve(event, by=by, count=count)
        case OutboxOverflowed(), OutboxOverflowed():
            discarded = waiting.discarded + event.discarded
            count = waiting.count + event.count
            return attrs.evolve(event, discarded=discarded, count=count)
        case InboxOverflowed(), InboxOverflowed():
            discarded = waiting.discarded + event.discarded
            count = waiting.count + event.count
            return attrs.evolve(event, discarded=discarded, count=count)
        case _:
            return event
