"""Admission of messages to the outbox, and the line of senders that wait for it.

Rules: senders are served in order of arrival. The next sender is tried only after the
message of the one before has taken its place. While the link is open a sender waits for
the transport, and for confirmations that may come; otherwise ``overflow`` decides.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import MessageTooBig, OutboxFull
from resilient_ws.events import OutboxOverflowed, SessionClosed
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from resilient_ws.events import Event
    from resilient_ws.outbox.fate import Fates
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.outbox.pump import Pump
    from resilient_ws.outbox.room import Room
    from resilient_ws.outbox.traffic import Traffic


#: Shared by every outbox that has no waiting senders: an empty deque of its own would
#: cost 760 bytes a session.
_NOBODY: Final[deque[asyncio.Future[None]]] = deque(maxlen=0)


class Admission:
    """Admits messages to the outbox, one after the other."""

    __slots__ = (
        "_bounded",
        "_fates",
        "_loop",
        "_policy",
        "_pump",
        "_report",
        "_room",
        "_traffic",
        "end",
        "senders",
    )

    def __init__(
        self,
        policy: Outbox,
        *,
        room: Room,
        pump: Pump,
        traffic: Traffic,
        fates: Fates,
        bounded: bool,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
    ) -> None:
        self._policy = policy
        self._room = room
        self._pump = pump
        self._traffic = traffic
        self._fates = fates
        self._bounded = bounded
        self._loop = loop
        self._report = report
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
            # Try the next sender only after this message has taken its place.
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
        if not self._pump.takes(only_epoch):
            return False
        link, fits = self._pump.link, self._room.fits(size)
        if link is not None:
            if not link.writable():
                return True if self._pump.draining and fits else None
            if self._pump.ready() and not self._bounded:
                return True
            if not fits and not self._traffic.stuck:
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
            while not self._room.fits(size) and (oldest := self._traffic.oldest()):
                self._fates.lose([oldest], DeliveryState.DROPPED)
                discarded += 1
            if not self._room.fits(size):
                return None  # the store is busy with the messages that take the room
        self._report(OutboxOverflowed(overflow=overflow, discarded=discarded))
        return overflow == "drop_oldest"

    def _full(self) -> OutboxFull:
        open_ = self._pump.link is not None
        doing = "the peer confirms nothing" if open_ else "the session is not open"
        return OutboxFull(
            f"The outbox is full ({self._room.messages} messages, {self._room.size} "
            f"bytes) and {doing}; raise Outbox.max_messages or max_bytes, or choose "
            "another overflow"
        )
