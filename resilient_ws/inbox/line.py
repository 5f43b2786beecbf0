"""The waiting part of an inbox: runs of messages, with drops and holes between them.

Rules: a *run* is an uninterrupted stretch of messages of one connection. Between two
runs there is a ``ConnectionDropped`` for each drop, and after them one ``Interruption``
that ends with the next connection. Holes without a message between them are merged into
one. Only the newest unread drops are kept; the hole behind them counts them all.
"""

from __future__ import annotations

from typing import Final

import attrs

from resilient_ws.events import ConnectionDropped
from resilient_ws.inbox.interruption import Interruption
from resilient_ws.protocol.message import Message


#: Unread drops that are kept for a consumer that wants them.
MAX_DROPS: Final = 100


@attrs.frozen
class Run:
    """Messages that arrived without a hole between them, and their payload bytes."""

    messages: list[Message]
    size: int
    #: Whether the list is reversed, newest first, because reading has begun. Reversing
    #: it back would cost its whole length for each message that is discarded.
    turned: bool


class Line:
    """Holds runs of messages in order, with the drops and holes between them."""

    __slots__ = ("_max_drops", "drops_discarded", "items", "queued")

    def __init__(self) -> None:
        #: The waiting items. A list is fast enough, because it is short.
        self.items: list[Run | Interruption | ConnectionDropped] = []
        #: How many messages the runs hold.
        self.queued = 0
        # Until a consumer asks for drops, keep one: if it asks during an outage, it
        # learns that there is no connection.
        self._max_drops = 1
        #: Drops that a consumer wanted but will not see, because it was too slow.
        self.drops_discarded = 0

    def keep_drops(self) -> None:
        """Keep more than the newest drop from now on, because a consumer wants them."""
        self._max_drops = MAX_DROPS

    def pop(self) -> Run | Interruption | ConnectionDropped:
        """Remove and return the first item."""
        head = self.items.pop(0)
        if isinstance(head, Run):
            self.queued -= len(head.messages)
        return head

    def append_run(self, messages: list[Message], size: int) -> None:
        """Append messages as a new run."""
        self.items.append(Run(messages, size, turned=False))
        self.queued += len(messages)

    def append_drop(self, dropped: ConnectionDropped) -> None:
        """Append a drop; beyond the limit, discard the oldest one."""
        self.items.append(dropped)
        drops = [item for item in self.items if isinstance(item, ConnectionDropped)]
        if len(drops) > self._max_drops:
            self.items.remove(drops[0])
            self.drops_discarded += self._max_drops == MAX_DROPS

    def append_hole(self, hole: Interruption) -> None:
        """Append a hole, or merge it with the one at the end."""
        place = len(self.items)
        while place and isinstance(self.items[place - 1], ConnectionDropped):
            place -= 1
        last = self.items[place - 1] if place else None
        if isinstance(last, Interruption):
            del self.items[place - 1]
            hole = last.merged(hole)
        self.items.append(hole)

    def prepend_run(self, messages: list[Message], size: int) -> None:
        """Put the rest of a reversed run back, before everything else."""
        self.items.insert(0, Run(messages, size, turned=True))
        self.queued += len(messages)

    def prepend_hole(self, hole: Interruption, drops: list[ConnectionDropped]) -> None:
        """Put drops and their hole first; merge the hole with one that follows it."""
        self.items[:0] = drops
        place = 0
        while place < len(self.items) and isinstance(
            self.items[place], ConnectionDropped
        ):
            place += 1
        first = self.items[place] if place < len(self.items) else None
        if isinstance(first, Interruption):
            self.items[place] = hole.merged(first)
        else:
            self.items.insert(place, hole)

    def first_epoch(self, newest: int) -> int:
        """Return the epoch of the messages before the line.

        Args:
            newest: The epoch to return if the line holds no hole.
        """
        for item in self.items:
            if isinstance(item, Interruption):
                return item.epoch - item.drops
        return newest
