"""The outbox: order, bounds, overflow, expiry.

Rules: one queue, first in, first out; a message is accepted in one step, without a
suspension between the decision and its place in the order; it leaves the queue in
the step that hands it to the transport, so that what a drop finds here was never
written. Senders that must wait do so in order, each waking the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from resilient_ws.errors import MessageTooBig, OutboxFull
from resilient_ws.events import DeliveryFailed, OutboxOverflowed, SessionClosed
from resilient_ws.outbox.delivery import Delivery
from resilient_ws.outbox.payload import payload_of
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.events import Event
    from resilient_ws.inbox import Message
    from resilient_ws.outbox.payload import Sendable
    from resilient_ws.outbox.policy import Outbox


#: A joined write leaves when it has grown to this many bytes.
JOINED_WRITE: Final = 64 * 1024
#: The most that one turn of the loop may hand over, so that the loop stays free.
TURN_LIMIT: Final = 4 * JOINED_WRITE
#: What a message costs besides its bytes, in bytes: small ones cost by their number.
MESSAGE_COST: Final = 64


class Link(Protocol):
    """What the outbox needs of an open connection."""

    @property
    def writable(self) -> bool:
        """Whether the transport lives and is below its high-water mark."""
        ...

    def send(self, message: Message) -> None:
        """Hand one message to the transport."""

    def send_many(self, messages: list[Message]) -> None:
        """Hand several messages to the transport in one write."""


class OutboxQueue:
    """The outbox at work. One loop, one link at a time, any number of senders."""

    def __init__(
        self,
        policy: Outbox,
        *,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
        check_waiting: Callable[[], None],
    ) -> None:
        self._policy = policy
        self._loop = loop
        self._report = report
        self._check_waiting = check_waiting
        self._queue = policy.store.open()
        self._link: Link | None = None
        self._draining = False
        self._turn_taken = False
        self._senders: deque[asyncio.Future[None]] = deque()
        self._empty: asyncio.Future[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._sequence = 0
        self._end: Exception | None = None
        self.accepted = 0
        self.written = 0
        self.lost = 0

    def __len__(self) -> int:
        """Count the messages that wait."""
        return len(self._queue)

    @property
    def size(self) -> int:
        """The payload bytes that wait."""
        return self._queue.size

    # Accepting.

    async def send(
        self,
        data: Sendable,
        *,
        ttl: float | None,
        message_id: str | None,
        only_if_open: bool,
    ) -> Delivery:
        """Accept a message, after waiting for room if need be."""
        if self._end is not None:
            raise self._end.with_traceback(None)
        message, size = payload_of(data)
        if size > self._policy.max_bytes:
            msg = (
                f"A message of {size} bytes cannot be kept: Outbox.max_bytes is "
                f"{self._policy.max_bytes}; raise it or send less at once"
            )
            raise MessageTooBig(msg)
        # Before any wait: what is too old to matter may grow so while waiting.
        expires_at = self._expiry_of(ttl)
        if self._senders or not self._link or not self._link.writable:
            kept = await self._room(size, only_if_open=only_if_open)
        else:
            kept = True
        delivery = self._delivery(message, size, expires_at, message_id)
        if not kept:
            self._lose(delivery, DeliveryState.DROPPED)
        else:
            self._accept(delivery, message)
        return delivery

    def _expiry_of(self, ttl: float | None) -> float | None:
        lifetime = self._policy.ttl if ttl is None else ttl
        return None if lifetime is None else self._loop.time() + lifetime

    def _delivery(
        self,
        message: Message,
        size: int,
        expires_at: float | None,
        message_id: str | None,
    ) -> Delivery:
        self._sequence += 1
        return Delivery(
            message,
            size,
            sequence=self._sequence,
            message_id=message_id,
            expires_at=expires_at,
            check_waiting=self._check_waiting,
        )

    async def _room(self, size: int, *, only_if_open: bool) -> bool:
        """Wait until the message may be accepted; say whether it is kept at all."""
        if not self._senders:
            answer = self._decide(size, only_if_open=only_if_open)
            if answer is not None:
                return answer
        turn = self._loop.create_future()
        self._senders.append(turn)
        try:
            while True:
                await turn
                answer = self._decide(size, only_if_open=only_if_open)
                if answer is not None:
                    return answer
                turn = self._senders[0] = self._loop.create_future()
        finally:
            self._senders.remove(turn)
            # The next one looks only after this message has taken its place.
            self._loop.call_soon(self._call_next)

    def _decide(self, size: int, *, only_if_open: bool) -> bool | None:
        """Answer whether to keep a message of this size now; ``None`` means wait."""
        if self._end is not None:
            raise self._end.with_traceback(None)
        if self._link is not None:
            if self._link.writable:
                return True
            return True if self._draining and self._fits(size) else None
        if only_if_open:
            return False
        if self._fits(size):
            return True
        return self._overflow(size)

    def _fits(self, size: int) -> bool:
        policy, queue = self._policy, self._queue
        return (
            len(queue) < policy.max_messages and queue.size + size <= policy.max_bytes
        )

    def _overflow(self, size: int) -> bool | None:
        """Decide for a message that finds the outbox full and the session not open."""
        overflow = self._policy.overflow
        if overflow == "wait":
            return None
        if overflow == "raise":
            msg = (
                f"The outbox is full ({len(self._queue)} messages, "
                f"{self._queue.size} bytes) and the session is not open; raise "
                "Outbox.max_messages or max_bytes, or choose another overflow"
            )
            raise OutboxFull(msg)
        discarded = 0
        if overflow == "drop_newest":
            discarded = 1
        else:
            while not self._fits(size):
                self._lose(self._queue.popleft(), DeliveryState.DROPPED)
                discarded += 1
        self._report(OutboxOverflowed(overflow=overflow, discarded=discarded))
        return overflow == "drop_oldest"

    def _accept(self, delivery: Delivery, message: Message) -> None:
        """Give a message its place: on the wire at once, or at the end of the queue.

        The first message of a loop turn leaves at once. Those that follow it in the
        same turn are joined, and leave at 64 KiB or at the end of the turn.
        """
        self.accepted += 1
        if self._is_stale(delivery):
            self._lose(delivery, DeliveryState.EXPIRED)
            return
        link = self._link
        if link is None or self._queue or self._turn_taken or not link.writable:
            self._queue.append(delivery)
            if delivery.expires_at is not None:
                self._watch_expiry(delivery.expires_at)
            if link is not None and self._joined_size() >= JOINED_WRITE:
                self._pump()
            return
        link.send(message)
        self._mark_written(delivery)
        self._take_turn()

    def _is_stale(self, delivery: Delivery) -> bool:
        expires_at = delivery.expires_at
        return expires_at is not None and expires_at <= self._loop.time()

    def _joined_size(self) -> int:
        return self._queue.size + MESSAGE_COST * len(self._queue)

    # Sending.

    def attach(self, link: Link) -> None:
        """Begin to send through an open connection, what waits first."""
        self._link = link
        self._draining = bool(self._queue)
        self._pump()
        self._call_next()

    def detach(self, link: Link | None = None) -> None:
        """Stop sending, if it is through ``link`` (default: any) that we do."""
        if link is not None and link is not self._link:
            return
        self._link = None
        self._draining = False
        self._release_drain()
        self._call_next()

    def resume(self) -> None:
        """Go on: the transport is below its high-water mark again."""
        self._pump()
        self._call_next()

    async def drained(self) -> None:
        """Wait until nothing waits, or there is no link to send it through."""
        while self._queue and self._link is not None:
            self._empty = self._loop.create_future()
            await self._empty

    def _take_turn(self) -> None:
        if not self._turn_taken:
            self._turn_taken = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_taken = False
        if self._queue:
            self._pump()
            self._call_next()

    def _pump(self) -> None:
        """Hand over what waits, as far as the transport and the loop's turn go."""
        sent = 0
        while self._queue and self._link is not None and self._link.writable:
            if sent >= TURN_LIMIT:
                self._take_turn()
                return
            batch = self._next_batch()
            self._link.send_many([d.data for d in batch if d.data is not None])
            for delivery in batch:
                sent += delivery.size + MESSAGE_COST
                self._mark_written(delivery)
        self._note_empty()

    def _note_empty(self) -> None:
        """Tell whoever waits for the queue to be empty, if it is."""
        if not self._queue:
            self._draining = False
            self._release_drain()

    def _release_drain(self) -> None:
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _next_batch(self) -> list[Delivery]:
        """Take the oldest messages for one joined write, leaving out the expired."""
        batch: list[Delivery] = []
        size = 0
        while self._queue and size < JOINED_WRITE:
            delivery = self._queue.popleft()
            if self._is_stale(delivery):
                self._lose(delivery, DeliveryState.EXPIRED)
                continue
            batch.append(delivery)
            size += delivery.size + MESSAGE_COST
        return batch

    def _mark_written(self, delivery: Delivery) -> None:
        self.written += 1
        delivery.settle(DeliveryState.WRITTEN)

    def _call_next(self) -> None:
        """Let the first sender in line look again."""
        if self._senders and not self._senders[0].done():
            self._senders[0].set_result(None)

    # Losing.

    def _lose(self, delivery: Delivery, state: DeliveryState) -> None:
        self.lost += 1
        delivery.settle(state)
        self._report(DeliveryFailed(state=state, message_id=delivery.message_id))

    def _watch_expiry(self, when: float) -> None:
        """Have the one expiry timer ring at ``when`` or earlier."""
        if self._expiry is None or when < self._expiry.when():
            if self._expiry is not None:
                self._expiry.cancel()
            self._expiry = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        """Lose what is too old, and set the timer for what will be."""
        self._expiry = None
        now = self._loop.time()
        dated = [d for d in self._queue if d.expires_at is not None]
        lost = {d for d in dated if d.expires_at is not None and d.expires_at <= now}
        self._queue.remove(lost)
        for delivery in dated:
            if delivery in lost:
                self._lose(delivery, DeliveryState.EXPIRED)
        later = [d.expires_at for d in dated if d not in lost]
        if later:
            self._watch_expiry(min(when for when in later if when is not None))
        self._note_empty()
        self._call_next()

    def refuse(self, why: Exception | None) -> None:
        """Accept nothing from now on; what waits may still be sent."""
        if self._end is None:
            self._end = why or SessionClosed()
        self._call_next()

    def discard(self) -> int:
        """Drop what waits, and return how many messages that was."""
        self.detach()
        if self._expiry is not None:
            self._expiry.cancel()
        dropped = 0
        while self._queue:
            self._lose(self._queue.popleft(), DeliveryState.DROPPED)
            dropped += 1
        return dropped
