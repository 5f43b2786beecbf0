"""The senders that wait until their messages are accepted, and what ``overflow`` does.

Rules: senders are served in order of arrival. The next sender is tried only after the
message of the one before has been moved to its place. While the link is open, a sender
waits for the transport, and for confirmations that may come; otherwise ``overflow``
decides.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import MessageTooBig, OutboxFull
from resilient_ws.events import OutboxOverflowed, SessionClosed


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from resilient_ws.events import Event
    from resilient_ws.outbox.places import Places
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.outbox.writer import Writer


#: Shared by every outbox that has no waiting senders: an empty deque of its own would
#: cost 760 bytes a session.
_NOBODY: Final[deque[asyncio.Future[None]]] = deque(maxlen=0)


class Admission:
    """Admits messages to the outbox, one after the other.

    Args:
        policy: The settings of the outbox.
        places: The places of the messages, and the room that they take.
        writer: Writes to the connection.
        durable: Whether the store keeps a message before it is written.
        loop: The session's loop.
        report: Called with an event when ``overflow`` discards messages.
    """

    __slots__ = (
        "_loop",
        "_places",
        "_policy",
        "_report",
        "_writer",
        "end",
        "needs_room",
        "senders",
    )

    def __init__(
        self,
        policy: Outbox,
        places: Places,
        writer: Writer,
        *,
        durable: bool,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
    ) -> None:
        self._policy = policy
        self._places = places
        self._writer = writer
        self._loop = loop
        self._report = report
        #: Whether a message needs room although it can be written at once: it is kept.
        self.needs_room = places.keeps_written or durable
        #: The senders that wait, in order of arrival.
        self.senders: deque[asyncio.Future[None]] = _NOBODY
        #: Why nothing is accepted any more; ``None`` while messages are.
        self.end: Exception | None = None

    def too_big(self, size: int) -> MessageTooBig:
        """Return the error for a message that can never fit."""
        return MessageTooBig(
            f"A message of {size} bytes cannot be kept: Outbox.max_bytes is "
            f"{self._policy.max_bytes}; raise it or send less at once"
        )

    async def wait(self, size: int, only_epoch: int | None) -> bool:
        """Wait until a message is admitted or discarded; return whether to keep it."""
        if not self.senders:
            answer = self._decide(size, only_epoch)
            if answer is not None:
                return answer
        turn = self._loop.create_future()
        if self.senders is _NOBODY:
            self.senders = deque()
        self.senders.append(turn)
        try:
            while True:
                await turn
                answer = self._decide(size, only_epoch)
                if answer is not None:
                    return answer
                turn = self.senders[0] = self._loop.create_future()
        finally:
            self.senders.remove(turn)
            # Try the next sender only after this message has been moved to its place.
            self._loop.call_soon(self.call_next)

    def call_next(self) -> None:
        """Let the first sender in line try again."""
        if self.senders and not self.senders[0].done():
            self.senders[0].set_result(None)

    def refuse(self, why: Exception | None) -> None:
        """Refuse all messages from now on."""
        if self.end is None:
            self.end = why or SessionClosed()
        self.call_next()

    def _decide(self, size: int, only_epoch: int | None) -> bool | None:
        """Return whether to keep a message of this size now; ``None`` means wait."""
        if self.end is not None:
            raise self.end
        writer = self._writer
        if not writer.takes(only_epoch):
            return False
        link, fits = writer.link, self._places.fits(size)
        if link is not None:
            if not link.writable():
                return True if writer.draining and fits else None
            if not self.needs_room and writer.ready() is not None:
                return True
            if not fits and not writer.stuck:
                return None
        return True if fits else self._overflow(size)

    def _overflow(self, size: int) -> bool | None:
        """Apply ``overflow`` to a message that finds the outbox full."""
        overflow = self._policy.overflow
        if overflow == "wait":
            return None
        if overflow == "raise":
            raise self._full()
        discarded = 1
        if overflow == "drop_oldest":
            discarded = 0
            while not self._places.fits(size) and self._writer.drop_oldest():
                discarded += 1
            if not self._places.fits(size):
                return None  # the store is busy with the messages that take the room
        self._report(OutboxOverflowed(overflow=overflow, discarded=discarded))
        return overflow == "drop_oldest"

    def _full(self) -> OutboxFull:
        open_ = self._writer.link is not None
        doing = "the peer confirms nothing" if open_ else "the session is not open"
        messages, size = self._places.room_taken()
        return OutboxFull(
            f"The outbox is full ({messages} messages, {size} bytes) and {doing}; "
            "raise Outbox.max_messages or max_bytes, or choose another overflow"
        )
