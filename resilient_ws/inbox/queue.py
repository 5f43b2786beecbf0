"""The inbox: a bounded hand-over of messages from the wire to one consumer.

Rules: one wire at a time delivers messages, and asks for room before it does. When the
inbox is full, the wire stops reading, or the inbox discards messages. A consumer takes
an item in the same step in which it wakes, so cancelling it loses nothing. A consumer
that always finds a message yields to the loop now and then.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, TypeVar

from resilient_ws.events import InboxOverflowed
from resilient_ws.inbox.interruption import Interruption
from resilient_ws.inbox.unread import UnreadStream


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from resilient_ws.events import ConnectionEnd, Event
    from resilient_ws.inbox.policy import Inbox
    from resilient_ws.protocol.message import Message


_NOT_ALONE: Final = (
    "Another receive() or iteration is already waiting on this session; a session has "
    "one consumer, which may make one call at a time."
)
#: After this many messages a consumer yields to the loop. However fast the server
#: sends, other tasks wait only a few milliseconds plus the consumer's own time.
MAX_AT_ONCE: Final = 4096
T = TypeVar("T")


class InboxQueue:
    """The inbox of one session, with one wire at a time and one consumer."""

    __slots__ = (
        "_discards",
        "_finished",
        "_loop",
        "_max_bytes",
        "_max_messages",
        "_on_room",
        "_policy",
        "_report",
        "_waiter",
        "_wall",
        "_yield_at",
        "discarded",
        "failure",
        "unread",
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
        self._discards = policy.overflow in {"drop_oldest", "drop_newest"}
        # The limits that stop delivery, precomputed because every chunk checks them.
        self._max_bytes = sys.maxsize if self._discards else policy.max_bytes
        self._max_messages = sys.maxsize if self._discards else policy.max_messages
        #: The messages, holes and drops, which consumers take from here.
        self.unread = UnreadStream(self._freed)
        # What to call when there is room, while reading has stopped for lack of it.
        self._on_room: Callable[[], None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        # The count of begun messages at which the consumer must yield to the loop.
        self._yield_at = MAX_AT_ONCE
        self._finished = False
        self.failure: Exception | None = None
        #: Messages that were received and discarded.
        self.discarded = 0

    def __len__(self) -> int:
        """Return how many messages are waiting."""
        return len(self.unread)

    # The wire's side.

    @property
    def deliver(self) -> Callable[[Message], None]:
        """The callable that the engine passes messages to, read for each chunk."""
        return self.unread.deliver

    def room(self) -> int:
        """Return how many messages may be delivered now."""
        if self.unread.size >= self._max_bytes:
            return 0
        return self._max_messages - len(self.unread)

    def space(self) -> int:
        """Return how many payload bytes may be delivered now.

        A full inbox that discards messages takes them one at a time, so that the ones
        it will discard never fill the memory.
        """
        space = self._policy.max_bytes - self.unread.size
        return max(space, 1) if self._discards else space

    def arrived(self, size: int) -> bool:
        """Count the messages of a chunk, ``size`` payload bytes in all.

        Returns:
            Whether the inbox has no room for another byte.
        """
        unread = self.unread
        unread.size += size
        if self._discards and self._is_over():
            self._discard()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        return unread.size >= self._max_bytes

    def extend(self, messages: list[Message], size: int) -> None:
        """Append messages that arrived elsewhere, ``size`` payload bytes in all."""
        self.unread.extend(messages)
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

    def _freed(self) -> None:
        """Tell the wire that there is room, if it waits for it."""
        if self._on_room is not None and self.room() > 0:
            self._on_room()

    def _is_over(self) -> bool:
        """Whether more is waiting than the limits allow."""
        policy = self._policy
        return self.unread.size > policy.max_bytes or len(self) > policy.max_messages

    def _discard(self) -> None:
        """Discard messages until the limits hold, and report how many."""
        newest = self._policy.overflow == "drop_newest"
        discard = self.unread.discard_newest if newest else self.unread.discard_oldest
        count = discard(self._is_over, self._wall())
        if count:
            self.discarded += count
            overflow = self._policy.overflow
            self._report(InboxOverflowed(overflow=overflow, discarded=count))

    # The supervisor's side.

    def begin(self, epoch: int) -> None:
        """Set the epoch when the first connection opens."""
        self.unread.begin(epoch)

    def append_end(self, end: ConnectionEnd) -> None:
        """Append the end of a connection, for consumers that asked for drops."""
        self.unread.append_drop(end)
        self._wake()

    def interrupt(
        self, cause: Exception | None, *, since: float, until: float, epoch: int
    ) -> None:
        """Append a hole: a connection ended, and ``epoch`` begins here."""
        # Reading of the connection that ended may have been paused to its end.
        self.reading_resumed()
        self.unread.append_hole(
            Interruption(cause=cause, since=since, until=until, epoch=epoch, drops=1)
        )
        self._wake()

    def finish(self, failure: Exception | None) -> None:
        """Record that nothing more will arrive, and wake the consumer."""
        self._finished = True
        self.failure = failure
        self._wake()

    # The consumer's side.

    async def wait_and_take(self, take: Callable[[], T | None]) -> T | None:
        """Wait until ``take`` returns something; return ``None`` if the session ends.

        Args:
            take: One of the methods of ``unread`` that take something.

        Raises:
            RuntimeError: Another consumer is waiting.

        Cancellation:
            Safe: nothing was taken.
        """
        if self._waiter is not None:
            # The next item belongs to the consumer that is already waiting.
            raise RuntimeError(_NOT_ALONE)
        if self.unread.begun >= self._yield_at:
            await self.yield_to_loop()
        while (found := take()) is None and not self._finished:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return found

    @property
    def must_yield(self) -> bool:
        """Whether the consumer has taken so many messages that it must yield."""
        return self.unread.begun >= self._yield_at

    async def yield_to_loop(self) -> None:
        """Let the loop make one turn.

        Cancellation:
            Safe: nothing was taken.
        """
        self._yield_at = self.unread.begun + MAX_AT_ONCE
        self._waiter = self._loop.create_future()
        self._loop.call_soon(self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def set_waiter(self, waiter: asyncio.Future[None]) -> None:
        """Have ``waiter`` completed once there may be something to take."""
        self._waiter = waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
