"""Runs of received messages, with the drops and holes between them.

Rules: a *run* is a stretch of messages of one connection with nothing missing between
them. Where a connection ended, a ``ConnectionDropped`` for each drop (or
``ConnectionReplaced``, where we ended it to have another) follows the run,
and then one ``Interruption``, which ends with the next connection. Holes without a
message between them are merged into one. Only the newest unread drops are kept; the
hole behind them counts them all.
"""

from __future__ import annotations

from typing import Final

import attrs

from resilient_ws.events import ConnectionDropped, ConnectionEnd, ConnectionReplaced
from resilient_ws.inbox.interruption import Interruption
from resilient_ws.protocol.message import Message


#: Unread drops that are kept for a consumer that wants them.
MAX_DROPS: Final = 100
#: The classes of ``ConnectionEnd``: a tuple is faster to test against than a union.
ENDS: Final = (ConnectionDropped, ConnectionReplaced)


@attrs.frozen
class Run:
    """Messages with nothing missing between them, and their payload bytes."""

    #: Newest first: the oldest is taken, or discarded, with a cheap ``pop()``.
    messages: list[Message]
    size: int


class Runs:
    """Keeps runs of messages in order, with the drops and holes between them.

    Two runs may stand side by side: the rest of a run that is being read, and messages
    that arrived on the same connection later.
    """

    __slots__ = ("_max_drops", "count", "drops_discarded", "items", "size")

    def __init__(self) -> None:
        #: The items, oldest first. A list is fast enough, because it is short.
        self.items: list[Run | Interruption | ConnectionEnd] = []
        #: The number of messages in the runs.
        self.count = 0
        #: Their payload bytes.
        self.size = 0
        # Until a consumer asks for drops, keep one: if it asks during an outage, it
        # learns that there is no connection.
        self._max_drops = 1
        #: Drops that a consumer wanted but will not see, because it was too slow.
        self.drops_discarded = 0

    def keep_drops(self) -> None:
        """Keep more than the newest drop from now on, because a consumer wants them."""
        self._max_drops = MAX_DROPS

    def pop(self) -> Run | Interruption | ConnectionEnd:
        """Remove and return the first item."""
        head = self.items.pop(0)
        if isinstance(head, Run):
            self.count -= len(head.messages)
            self.size -= head.size
        return head

    def append_run(self, messages: list[Message], size: int) -> None:
        """Append messages, newest first, as a run."""
        self._insert_run(len(self.items), messages, size)

    def prepend_run(self, messages: list[Message], size: int) -> None:
        """Put messages, newest first, back before everything else."""
        self._insert_run(0, messages, size)

    def _insert_run(self, place: int, messages: list[Message], size: int) -> None:
        self.items.insert(place, Run(messages, size))
        self.count += len(messages)
        self.size += size

    def append_drop(self, dropped: ConnectionEnd) -> None:
        """Append a drop; beyond the limit, discard the oldest one."""
        self.items.append(dropped)
        drops = [item for item in self.items if isinstance(item, ENDS)]
        if len(drops) > self._max_drops:
            self.items.remove(drops[0])
            self.drops_discarded += self._max_drops == MAX_DROPS

    def append_hole(self, hole: Interruption) -> None:
        """Append a hole, or merge it with the one at the end."""
        place = len(self.items)
        while place and isinstance(self.items[place - 1], ENDS):
            place -= 1
        last = self.items[place - 1] if place else None
        if isinstance(last, Interruption):
            del self.items[place - 1]
            hole = last.merged(hole)
        self.items.append(hole)

    def prepend_hole(self, hole: Interruption, drops: list[ConnectionEnd]) -> None:
        """Put drops and their hole first; merge the hole with one that follows it."""
        self.items[:0] = drops
        place = 0
        while place < len(self.items) and isinstance(self.items[place], ENDS):
            place += 1
        first = self.items[place] if place < len(self.items) else None
        if isinstance(first, Interruption):
            self.items[place] = hole.merged(first)
        else:
            self.items.insert(place, hole)

    def first_epoch(self, newest: int) -> int:
        """Return the epoch of the oldest messages.

        Args:
            newest: The epoch of the newest ones, to return if there is no hole.
        """
        for item in self.items:
            if isinstance(item, Interruption):
                return item.epoch - item.drops
        return newest
