"""What waits in an inbox behind the run that arrives: runs, and what stands between.

Rules: a *run* is an uninterrupted stretch of messages of one connection. Between two
runs stand the losses of connections, each as its ``ConnectionDropped``, and behind them
one ``Interruption``, which ends with the next connection: holes with no message between
them are one. Of the losses that nobody has read only the newest are kept; the hole
behind them counts them all.
"""

from __future__ import annotations

from typing import Final

import attrs

from resilient_ws.events import ConnectionDropped
from resilient_ws.inbox.interruption import Interruption
from resilient_ws.inbox.message import Message


#: The most unread losses of connections that are kept for a consumer that wants them.
MAX_DROPS: Final = 100


@attrs.frozen
class Run:
    """Messages that arrived without a hole, and their payload bytes."""

    messages: list[Message]
    size: int
    #: Whether it was read from already: its newest message is the first one then.
    #: To turn it again would cost as much as it is long, for each that is discarded.
    turned: bool


class Line:
    """Runs of messages in order, with the losses and holes between them."""

    __slots__ = ("_max_drops", "drops_discarded", "items", "queued")

    def __init__(self) -> None:
        #: What waits. A list, for it is short where there is anything.
        self.items: list[Run | Interruption | ConnectionDropped] = []
        #: Messages in the runs.
        self.queued = 0
        # Until a consumer asks for losses, one is kept: it may tell, then, that there
        # is no connection.
        self._max_drops = 1
        #: Losses that a consumer wanted and will not see, for it was too slow.
        self.drops_discarded = 0

    def keep_drops(self) -> None:
        """Keep more than the newest loss: a consumer has asked for them."""
        self._max_drops = MAX_DROPS

    def pop(self) -> Run | Interruption | ConnectionDropped:
        """Take the first."""
        head = self.items.pop(0)
        if isinstance(head, Run):
            self.queued -= len(head.messages)
        return head

    def append_run(self, messages: list[Message], size: int) -> None:
        """Put messages after all that waits."""
        self.items.append(Run(messages, size, turned=False))
        self.queued += len(messages)

    def append_drop(self, dropped: ConnectionDropped) -> None:
        """Put the loss of a connection after all that waits."""
        self.items.append(dropped)
        drops = [item for item in self.items if isinstance(item, ConnectionDropped)]
        if len(drops) > self._max_drops:
            self.items.remove(drops[0])
            self.drops_discarded += self._max_drops == MAX_DROPS

    def append_hole(self, hole: Interruption) -> None:
        """Put a hole after all that waits, or widen the one that is there."""
        place = len(self.items)
        while place and isinstance(self.items[place - 1], ConnectionDropped):
            place -= 1
        last = self.items[place - 1] if place else None
        if isinstance(last, Interruption):
            del self.items[place - 1]
            hole = last.merged(hole)
        self.items.append(hole)

    def prepend_run(self, messages: list[Message], size: int) -> None:
        """Put messages back that were turned to be read, before all that waits."""
        self.items.insert(0, Run(messages, size, turned=True))
        self.queued += len(messages)

    def prepend_hole(self, hole: Interruption, drops: list[ConnectionDropped]) -> None:
        """Put a hole, behind the losses in it, before all that waits, or widen one."""
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
        """Return the epoch of what is read before the line; ``newest`` is the last."""
        for item in self.items:
            if isinstance(item, Interruption):
                return item.epoch - item.drops
        return newest
