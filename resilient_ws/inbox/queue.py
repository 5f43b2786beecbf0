"""Messages received and not yet taken: a bounded hand-over from wire to consumer.

Rules: the inbox is a ``Line`` of *runs*, uninterrupted stretches of messages, with an
``Interruption`` between two of them. The wire only appends to ``arriving``. The
consumer pops from ``reading``, takes a whole run, or pops the only message from
``arriving``. Only the consumer moves a run from ``arriving`` to ``reading``, so bytes
are counted per run, not per message. A consumer takes a message in the same step in
which it wakes, so cancelling it loses nothing. A consumer that always finds a message
yields to the loop now and then.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from resilient_ws.events import ConnectionDropped, InboxOverflowed
from resilient_ws.inbox.interruption import Interruption
from resilient_ws.inbox.line import Line, Run
from resilient_ws.protocol.message import Message, size_of


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.events import Event
    from resilient_ws.inbox.policy import Inbox


_NOT_ALONE: Final = (
    "Another receive() or iteration is already waiting on this session; a session has "
    "one consumer, which may make one call at a time."
)
#: The items that may stand between two runs.
_BETWEEN: Final = (Interruption, ConnectionDropped)
#: Messages of one run that are read at once; a longer run is read in parts.
MAX_PAGE: Final = 4096
#: After this many messages a consumer yields to the loop. However fast the server
#: sends, other tasks wait only a few milliseconds plus the consumer's own time.
MAX_AT_ONCE: Final = 4096
T = TypeVar("T")


class InboxQueue:
    """The inbox of one session, with one wire at a time and one consumer."""

    __slots__ = (
        "_arriving",
        "_arriving_size",
        "_at_once",
        "_bounded",
        "_epoch",
        "_finished",
        "_line",
        "_loop",
        "_max_bytes",
        "_max_messages",
        "_on_room",
        "_policy",
        "_reading_size",
        "_report",
        "_size",
        "_waiter",
        "_wall",
        "deliver",
        "discarded",
        "failure",
        "greedy",
        "message_epoch",
        "reading",
    )

    def __init__(
        self,
        policy: Inbox,
        *,
        loop: asyncio.AbstractEventLoop,
        wall: Callable[[], float],
        report: Callable[[Event], None],
    ) -> None:
        self._policy = policy
        self._loop = loop
        self._wall = wall
        self._report = report
        self._bounded = policy.overflow in {"pause", "close"}
        # The limits that stop delivery, precomputed because every chunk checks them.
        self._max_bytes = policy.max_bytes if self._bounded else sys.maxsize
        self._max_messages = policy.max_messages if self._bounded else sys.maxsize
        self._line = Line()
        #: The run that is being read, newest first. On the fast path consumers pop all
        #: but its last message directly; ``take_item`` pops the last and does the
        #: accounting. A list, because it is usually empty and an empty deque takes 760
        #: bytes.
        self.reading: list[Message] = []
        self._reading_size = 0
        self._arriving: list[Message] = []
        self._arriving_size = 0
        #: The callable that the engine passes messages to, read again for each chunk.
        self.deliver: Callable[[Message], None] = self._arriving.append
        # Messages in the runs that were begun since the consumer last yielded, except
        # lone messages.
        self._at_once = 0
        #: Whether the consumer has taken so many messages that it must yield.
        self.greedy = False
        self._size = 0  # payload bytes of every run
        self._epoch = 0
        #: The epoch of the newest message that was taken.
        self.message_epoch = 0
        self._waiter: asyncio.Future[None] | None = None
        self._finished = False
        # Called when there is room again, while reading has stopped for want of it.
        self._on_room: Callable[[], None] | None = None
        self.failure: Exception | None = None
        self.discarded = 0

    def __len__(self) -> int:
        """Return how many messages are waiting."""
        return len(self.reading) + self._line.queued + len(self._arriving)

    @property
    def drops_discarded(self) -> int:
        """The number of drops that a consumer wanted but will not see."""
        return self._line.drops_discarded

    @property
    def full(self) -> bool:
        """Whether the inbox has reached a limit."""
        policy = self._policy
        return self._size >= policy.max_bytes or len(self) >= policy.max_messages

    # The wire's side.

    def room(self) -> int:
        """Return how many messages may be delivered now."""
        if self._size >= self._max_bytes:
            return 0
        waiting = len(self.reading) + self._line.queued + len(self._arriving)
        return self._max_messages - waiting

    def space(self) -> int:
        """Return how many payload bytes may be delivered now.

        A full inbox that discards messages takes them one at a time, so that the ones
        it will discard never fill the memory.
        """
        space = self._policy.max_bytes - self._size
        return space if self._bounded else max(space, 1)

    def arrived(self, size: int) -> bool:
        """Count the messages of a chunk, ``size`` payload bytes in all.

        Returns:
            Whether the inbox has no room for another byte.
        """
        self._arriving_size += size
        self._size += size
        if not self._bounded and self._over():
            self._discard()
        if self._waiter is not None:
            self._wake()
        return self._size >= self._max_bytes

    def absorb(self, messages: list[Message], size: int) -> None:
        """Take over the messages that arrived while the connection was restored."""
        if messages:
            self._arriving.extend(messages)
            messages.clear()
            self.arrived(size)

    @property
    def closes(self) -> bool:
        """Whether a full inbox ends the connection."""
        return self._policy.overflow == "close"

    def reading_paused(self, on_room: Callable[[], None]) -> None:
        """Report that reading has stopped because the inbox is full.

        Args:
            on_room: Called when there is room again, until ``reading_resumed``.
        """
        if self._on_room is None:
            self._report(InboxOverflowed(overflow=self._policy.overflow, discarded=0))
        self._on_room = on_room

    def reading_resumed(self) -> None:
        """Record that reading continues."""
        self._on_room = None

    def dropped(self, dropped: ConnectionDropped) -> None:
        """Append a drop for consumers that asked for drops."""
        self._end_run()
        self._line.append_drop(dropped)
        self._wake()

    def interrupt(
        self, cause: Exception | None, *, since: float, until: float, epoch: int
    ) -> None:
        """Append a hole: a connection ended, and ``epoch`` begins here."""
        self._epoch = epoch
        self._append_hole(
            Interruption(cause=cause, since=since, until=until, epoch=epoch, drops=1)
        )

    def begin(self, epoch: int) -> None:
        """Set the epoch when the first connection opens."""
        self._epoch = self.message_epoch = epoch

    def finish(self, failure: Exception | None) -> None:
        """Record that nothing more will arrive, and wake the consumer."""
        self._finished = True
        self.failure = failure
        self._wake()

    # The consumer's side.

    async def first(self, take: Callable[[], T | None]) -> T | None:
        """Wait until ``take`` returns something; return ``None`` if the session ends.

        Args:
            take: One of the methods below that take an item.

        Raises:
            RuntimeError: Another consumer is waiting.

        Cancellation:
            Safe: nothing was taken.
        """
        if self._waiter is not None:
            # The next item belongs to the consumer that is already waiting.
            raise RuntimeError(_NOT_ALONE)
        if self.greedy:
            await self.give_way()
        while (found := take()) is None and not self._finished:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return found

    async def give_way(self) -> None:
        """Let the loop make one turn.

        Cancellation:
            Safe: nothing was taken.
        """
        self._at_once, self.greedy = 0, False
        self._waiter = self._loop.create_future()
        self._loop.call_soon(self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _count(self, run: list[Message]) -> None:
        """Count a run that the consumer has begun to read."""
        self._at_once += len(run)
        self.greedy = self._at_once >= MAX_AT_ONCE

    def take_nowait(self) -> Message | None:
        """Return the next message, skipping holes; ``None`` if there is none."""
        item = self.take_item()
        while isinstance(item, _BETWEEN):
            item = self.take_item()
        return item

    def take_message_or_hole(self) -> Message | Interruption | None:
        """Return the next message or hole; ``None`` if there is none."""
        item = self.take_item()
        while isinstance(item, ConnectionDropped):
            item = self.take_item()
        return item

    def take_run(self) -> list[Message] | None:
        """Return all messages up to the next hole; ``None`` if there are none."""
        while not self.reading:
            if self._line.items:
                self._pass(self._turn_page())
            elif self._arriving:
                # Not reversed: the consumer takes all of the run, in order of arrival.
                run, size = self._arriving, self._arriving_size
                self._begin_run()
                self._count(run)
                self._give_back(size)
                return run
            else:
                return None
        run, self.reading = self.reading, []
        run.reverse()
        size, self._reading_size = self._reading_size, 0
        if self._line.items and isinstance(rest := self._line.items[0], Run):
            # The rest of a run that was longer than a page, or messages that came
            # before the connection ended.
            self._line.pop()
            run += reversed(rest.messages) if rest.turned else rest.messages
            size += rest.size
        self._count(run)
        self._give_back(size)
        return run

    def keep_drops(self) -> None:
        """Keep the drops from now on, for a consumer that wants them."""
        self._line.keep_drops()

    def notify(self, waiter: asyncio.Future[None]) -> None:
        """Complete ``waiter`` when there may be an item to take."""
        self._waiter = waiter

    def take_item(self) -> Message | Interruption | ConnectionDropped | None:
        """Return the next message, hole or drop; ``None`` if there is none."""
        if not self.reading:
            if not self._line.items and len(self._arriving) < 2:  # noqa: PLR2004 - one or none
                return self._take_lone() if self._arriving else None
            passed = self._turn_page()
            if passed is not None or not self.reading:
                self._pass(passed)
                return passed
            self._count(self.reading)
        message = self.reading.pop()
        if not self.reading:
            self._settle()
        return message

    def _take_lone(self) -> Message:
        """Take the only message directly, without making it the run being read."""
        message = self._arriving.pop()
        size, self._arriving_size = self._arriving_size, 0
        self._give_back(size)
        return message

    def _settle(self) -> None:
        """Free the bytes of the run that was just read."""
        size, self._reading_size = self._reading_size, 0
        self._give_back(size)

    def _give_back(self, size: int) -> None:
        """Free ``size`` bytes, and tell the wire if it waits for room."""
        self._size -= size
        if self._on_room is not None and not self.full:
            self._on_room()

    def _begin_run(self) -> None:
        """Start a new run for the messages that arrive from now on."""
        self._arriving, self._arriving_size = [], 0
        self.deliver = self._arriving.append

    def _end_run(self) -> None:
        """Move the arrived messages to the line before a hole or drop follows them."""
        if self._arriving:
            self._line.append_run(self._arriving, self._arriving_size)
            self._begin_run()

    def _pass(self, passed: Interruption | ConnectionDropped | None) -> None:
        """Update ``message_epoch`` after the consumer has passed a hole."""
        if isinstance(passed, Interruption):
            self.message_epoch = passed.epoch

    def _turn_page(self) -> Interruption | ConnectionDropped | None:
        """Begin to read the next run, or return the hole or drop before it."""
        if self._reading_size:
            self._settle()
        if not self._line.items:
            self.reading, self._reading_size = self._arriving, self._arriving_size
            self._begin_run()
            self.reading.reverse()
        else:
            head = self._line.pop()
            if not isinstance(head, Run):
                return head
            self.reading, self._reading_size = head.messages, head.size
            if not head.turned:
                self.reading.reverse()
        if len(self.reading) > MAX_PAGE:
            self._split_page()
        return None

    def _split_page(self) -> None:
        """Keep one page of the run being read, and put the rest back in the line."""
        rest, page = self.reading, self.reading[-MAX_PAGE:]
        del rest[-MAX_PAGE:]
        size = sum(map(size_of, page))
        self._line.prepend_run(rest, self._reading_size - size)
        self.reading, self._reading_size = page, size

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Holes and overflow.

    def _append_hole(self, hole: Interruption) -> None:
        """Put a hole after all messages that have arrived."""
        self._end_run()
        self._line.append_hole(hole)
        self._wake()

    def _prepend_hole(self, hole: Interruption, drops: list[ConnectionDropped]) -> None:
        """Put drops and their hole before all waiting messages."""
        if self.reading:
            self._line.prepend_run(self.reading, self._reading_size)
            self.reading, self._reading_size = [], 0
        self._line.prepend_hole(hole, drops)

    def _over(self) -> bool:
        policy = self._policy
        return self._size > policy.max_bytes or len(self) > policy.max_messages

    def _discard(self) -> None:
        """Discard messages until the limits hold, and mark the hole that they leave."""
        self._recount()
        if not self._over():
            return
        newest = self._policy.overflow == "drop_newest"
        now = self._wall()
        epoch = self._epoch if newest else self._line.first_epoch(self._epoch)
        hole = Interruption(cause=None, since=now, until=now, epoch=epoch)
        drops: list[ConnectionDropped] = []
        count = 0
        while self._over() and len(self):
            if newest:
                self._drop_last()
            else:
                hole = self._drop_first(hole, drops)
            count += 1
        hole = attrs.evolve(hole, discarded=hole.discarded + count)
        if newest:
            self._append_hole(hole)
        else:
            self._prepend_hole(hole, drops)
        self.discarded += count
        self._report(InboxOverflowed(overflow=self._policy.overflow, discarded=count))

    def _recount(self) -> None:
        """Free the bytes of the current run's read messages, before discarding any."""
        left = sum(map(size_of, self.reading))
        self._size -= self._reading_size - left
        self._reading_size = left

    def _drop_last(self) -> None:
        """Discard the newest message, which came with the chunk that just arrived."""
        lost = size_of(self._arriving.pop())
        self._arriving_size -= lost
        self._size -= lost

    def _drop_first(
        self, hole: Interruption, drops: list[ConnectionDropped]
    ) -> Interruption:
        """Discard the oldest message; return ``hole`` merged with the holes before it.

        Args:
            hole: The hole left by the messages discarded so far.
            drops: The drops inside that hole; any before the message are added.
        """
        while not self.reading:
            passed = self._turn_page()
            if isinstance(passed, Interruption):
                hole = hole.merged(passed)
            elif passed is not None:
                drops.append(passed)
        lost = size_of(self.reading.pop())
        self._reading_size -= lost
        self._size -= lost
        return hole
