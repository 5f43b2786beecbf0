"""What was received and not yet read, in order: messages, holes and drops.

Rules: the wire appends messages to the newest run, and reports their bytes once for
each chunk. A consumer reads the oldest run page by page, and its bytes are freed page
by page. On the fast path it pops all but the last message of a page directly; the last
one is taken with a method, which does the accounting. Nothing here waits, and nothing
knows a limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws.inbox.interruption import Interruption
from resilient_ws.inbox.runs import ENDS, Run, Runs
from resilient_ws.protocol.message import Message, size_of


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.events import ConnectionEnd


#: Messages of one run that are read at once; a longer run is read in parts.
MAX_PAGE: Final = 4096
#: The items that may stand between two runs.
_BETWEEN: Final = (Interruption, *ENDS)


class UnreadStream:
    """The part of the received stream that no consumer has taken yet.

    Args:
        on_freed: Called each time a consumer has freed payload bytes.
    """

    __slots__ = (
        "_arriving",
        "_epoch",
        "_on_freed",
        "_page_size",
        "_runs",
        "begun",
        "deliver",
        "message_epoch",
        "page",
        "size",
    )

    def __init__(self, on_freed: Callable[[], None]) -> None:
        self._on_freed = on_freed
        #: The messages that are being read, newest first. While there are several, a
        #: consumer may pop one. A list, because it is usually empty and an empty deque
        #: takes 760 bytes.
        self.page: list[Message] = []
        # Payload bytes of the page, including the messages already popped from it.
        self._page_size = 0
        self._runs = Runs()
        self._arriving: list[Message] = []
        #: Appends a message; another callable once the newest run is being read.
        self.deliver: Callable[[Message], None] = self._arriving.append
        #: Payload bytes that are not freed yet. What arrives is counted only here;
        #: the owner adds it.
        self.size = 0
        #: Messages in all the pages and runs that a consumer has begun to read, except
        #: those that it found alone.
        self.begun = 0
        # The epoch of the messages that arrive now.
        self._epoch = 0
        #: The epoch of the newest message that was taken.
        self.message_epoch = 0

    def __len__(self) -> int:
        """Return how many messages are waiting."""
        return len(self.page) + self._runs.count + len(self._arriving)

    @property
    def drops_discarded(self) -> int:
        """The number of drops that a consumer wanted but will not see."""
        return self._runs.drops_discarded

    # Appending.

    def begin(self, epoch: int) -> None:
        """Set the epoch of the first connection."""
        self._epoch = self.message_epoch = epoch

    def extend(self, messages: list[Message]) -> None:
        """Append messages; the owner adds their bytes to ``size``."""
        self._arriving.extend(messages)

    def append_hole(self, hole: Interruption) -> None:
        """Put a hole after all messages that have arrived."""
        self._end_run()
        self._epoch = hole.epoch
        self._runs.append_hole(hole)

    def append_drop(self, dropped: ConnectionEnd) -> None:
        """Put a drop after all messages that have arrived."""
        self._end_run()
        self._runs.append_drop(dropped)

    def keep_drops(self) -> None:
        """Keep the drops from now on, for a consumer that wants them."""
        self._runs.keep_drops()

    def _begin_run(self) -> list[Message]:
        """Start a new run for later messages; return the one that ends here."""
        run, self._arriving = self._arriving, []
        self.deliver = self._arriving.append
        return run

    def _end_run(self) -> None:
        """Move the arrived messages to the runs, before a hole or drop follows them."""
        if self._arriving:
            size = self.size - self._page_size - self._runs.size
            run = self._begin_run()
            run.reverse()
            self._runs.append_run(run, size)

    # Taking.

    def take_message(self) -> Message | None:
        """Return the next message, skipping holes; ``None`` if there is none."""
        arriving = self._arriving
        if not self.page and not self._runs.items and len(arriving) < 2:  # noqa: PLR2004 - one or none
            # As in take_item(), without a call: this is every message that comes alone.
            if not arriving:
                return None
            self.size = 0
            message = arriving.pop()
            self._on_freed()
            return message
        item = self.take_item()
        while isinstance(item, _BETWEEN):
            item = self.take_item()
        return item

    def take_message_or_hole(self) -> Message | Interruption | None:
        """Return the next message or hole; ``None`` if there is none."""
        item = self.take_item()
        while isinstance(item, ENDS):
            item = self.take_item()
        return item

    def take_item(self) -> Message | Interruption | ConnectionEnd | None:
        """Return the next message, hole or drop; ``None`` if there is none."""
        if not self.page:
            if not self._runs.items:
                if len(self._arriving) == 1:
                    # Nothing else waits: making a page of it would cost more.
                    self.size = 0
                    message = self._arriving.pop()
                    self._on_freed()
                    return message
                if not self._arriving:
                    return None
            between = self._turn_page()
            if between is not None:
                self._pass(between)
                return between
            self.begun += len(self.page)
        message = self.page.pop()
        if not self.page:
            size, self._page_size = self._page_size, 0
            self._free(size)
        return message

    def take_run(self) -> list[Message] | None:
        """Return all messages up to the next hole; ``None`` if there are none."""
        if not self.page:
            self._pass_all()
        run, size = self.page, self._page_size
        self.page, self._page_size = [], 0
        self.begun -= len(run)  # They were counted when their page was begun.
        run.reverse()
        while self._runs.items and isinstance(later := self._runs.items[0], Run):
            self._runs.pop()
            run += reversed(later.messages)
            size += later.size
        if self._arriving and not self._runs.items:
            arrived, size = self._begin_run(), self.size
            # Usually nothing was read before, and the consumer gets the list itself.
            run = run + arrived if run else arrived
        if not run:
            return None
        self.begun += len(run)
        self._free(size)
        return run

    def take_batch(self) -> list[Message] | Interruption | ConnectionEnd | None:
        """Return the next hole or drop, else all messages up to the next of them."""
        if not self.page and self._runs.items:
            head = self._runs.items[0]
            if not isinstance(head, Run):
                self._runs.pop()
                self._pass(head)
                return head
        return self.take_run()

    def _free(self, size: int) -> None:
        self.size -= size
        self._on_freed()

    def _pass(self, between: Interruption | ConnectionEnd) -> None:
        """Update ``message_epoch``: the consumer has passed a hole or drop."""
        if isinstance(between, Interruption):
            self.message_epoch = between.epoch

    def _pass_all(self) -> None:
        """Pass the holes and drops before the next message."""
        while self._runs.items and isinstance(head := self._runs.items[0], _BETWEEN):
            self._runs.pop()
            self._pass(head)

    def _turn_page(self) -> Interruption | ConnectionEnd | None:
        """Make a page of the next run, or return the hole or drop before it."""
        if self._runs.items:
            head = self._runs.pop()
            if not isinstance(head, Run):
                return head
            self.page, self._page_size = head.messages, head.size
        else:
            self.page, self._page_size = self._begin_run(), self.size
            self.page.reverse()
        if len(self.page) > MAX_PAGE:
            self._split_page()
        return None

    def _split_page(self) -> None:
        """Keep one page, and put the rest of its run back."""
        rest, page = self.page, self.page[-MAX_PAGE:]
        del rest[-MAX_PAGE:]
        size = sum(map(size_of, page))
        self._runs.prepend_run(rest, self._page_size - size)
        self.page, self._page_size = page, size

    # Discarding.

    def discard_newest(self, is_over: Callable[[], bool], now: float) -> int:
        """Discard arrived messages, newest first, and leave a hole in their place.

        Args:
            is_over: Whether there are too many messages or bytes.
            now: The time of the hole, in Unix seconds.

        Returns:
            How many were discarded.
        """
        self._free_popped()
        count = 0
        while is_over():
            self.size -= size_of(self._arriving.pop())
            count += 1
        if count:
            hole = Interruption(cause=None, since=now, until=now, epoch=self._epoch)
            self.append_hole(attrs.evolve(hole, discarded=count))
        return count

    def discard_oldest(self, is_over: Callable[[], bool], now: float) -> int:
        """Discard messages, oldest first, and leave a hole in their place.

        The hole takes in the holes before the last discarded message; drops stay.

        Args:
            is_over: Whether there are too many messages or bytes.
            now: The time of the hole, in Unix seconds.

        Returns:
            How many were discarded.
        """
        self._free_popped()
        epoch = self._runs.first_epoch(self._epoch)
        hole = Interruption(cause=None, since=now, until=now, epoch=epoch)
        drops: list[ConnectionEnd] = []
        count = 0
        while is_over():
            while not self.page:
                between = self._turn_page()
                if isinstance(between, Interruption):
                    hole = hole.merged(between)
                elif between is not None:
                    drops.append(between)
            self._discard_first()
            count += 1
        if count:
            self._put_page_back()
            hole = attrs.evolve(hole, discarded=hole.discarded + count)
            self._runs.prepend_hole(hole, drops)
        return count

    def _free_popped(self) -> None:
        """Free the bytes of the messages that were popped from the page."""
        left = sum(map(size_of, self.page))
        self.size -= self._page_size - left
        self._page_size = left

    def _discard_first(self) -> None:
        """Discard the oldest message of the page."""
        size = size_of(self.page.pop())
        self._page_size -= size
        self.size -= size

    def _put_page_back(self) -> None:
        """Make the page a run again, because a hole goes before it."""
        if self.page:
            self._runs.prepend_run(self.page, self._page_size)
            self.page, self._page_size = [], 0
