"""The outbox: what is accepted, and what becomes of it.

Rules: one queue, first in, first out; a message is accepted in one step, without a
suspension between the decision and its place in the order. With a durable store that
step comes when the message is on disk: its ``send`` waits, and the order is that of the
requests to the store.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from resilient_ws.outbox.admission import Admission
from resilient_ws.outbox.confirmation import Confirmation
from resilient_ws.outbox.delivery import Delivery, Terms
from resilient_ws.outbox.expiry import Expiry
from resilient_ws.outbox.fate import Fates
from resilient_ws.outbox.flight import Flight
from resilient_ws.outbox.line import Line
from resilient_ws.outbox.payload import payload_of
from resilient_ws.outbox.pump import Pump
from resilient_ws.outbox.room import Room
from resilient_ws.outbox.traffic import Traffic
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Literal

    from resilient_ws.events import Event
    from resilient_ws.outbox.payload import Sendable
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.outbox.store.ledger import Row


#: Seconds that a cancelled ``send`` waits for a store to forget its message.
WITHDRAWAL: Final = 1.0
#: Messages of an earlier session that are taken over in one turn of the loop.
MANY: Final = 1000
_NO_ID: Final = (
    "message_id is needed, because Outbox.confirm is a callable: an acknowledgement "
    "finds its message by this id. If the server never acknowledges this message, "
    "send it with confirm='write'"
)


class OutboxQueue:
    """The outbox at work. One loop, one link at a time, any number of senders."""

    __slots__ = (
        "_admission",
        "_bounded",
        "_expiry",
        "_fates",
        "_flight",
        "_is_open",
        "_ledger",
        "_line",
        "_max_bytes",
        "_needs_id",
        "_policy",
        "_pump",
        "_room",
        "_saving",
        "_sequence",
        "_terms",
        "_terms_of_write",
        "_ttl",
        "traffic",
    )

    def __init__(
        self,
        policy: Outbox,
        *,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
        check_waiting: Callable[[], None],
    ) -> None:
        self._policy = policy
        # Copied, because every message needs them.
        self._max_bytes, self._ttl = policy.max_bytes, policy.ttl
        self._needs_id = policy.ack_of is not None
        self._terms = Terms(policy.goal, check_waiting)
        # For messages that nobody will confirm, whatever the policy asks for.
        self._terms_of_write = Terms(DeliveryState.WRITTEN, check_waiting)
        self._ledger = ledger = policy.store.ledger(loop, report)
        # A message written at once takes no room, unless it is kept nevertheless.
        self._bounded = policy.resend or ledger.durable
        self._line = line = Line()
        self._flight = flight = Flight()
        self._room = room = Room(policy, line)
        self._fates = fates = Fates(
            policy, line=line, flight=flight, room=room, ledger=ledger, report=report
        )
        self._expiry = Expiry(
            line, loop=loop, clock=ledger.clock, expire=self._on_expired
        )
        confirmation = None
        if policy.goal is DeliveryState.CONFIRMED:
            confirmation = Confirmation(policy, flight, loop=loop, report=report)
            confirmation.on_overdue = self._on_progress
        self._pump = Pump(
            policy,
            line=line,
            room=room,
            fates=fates,
            ledger=ledger,
            expiry=self._expiry,
            confirmation=confirmation,
            loop=loop,
        )
        self._pump.on_progress = self._on_progress
        if confirmation is not None:
            confirmation.on_proceed = self._pump.run
        #: Where the session attaches and detaches its connections.
        self.traffic = Traffic(
            policy,
            line=line,
            flight=flight,
            room=room,
            fates=fates,
            pump=self._pump,
            ledger=ledger,
            confirmation=confirmation,
        )
        self._admission = Admission(
            policy,
            room=room,
            pump=self._pump,
            traffic=self.traffic,
            fates=fates,
            bounded=self._bounded,
            loop=loop,
            report=report,
        )
        self._sequence = 0
        # How many messages are being stored, and will then be accepted.
        self._saving = 0
        # Whether the store is open, so that messages can be accepted.
        self._is_open = False

    # Beginning.

    async def open(self) -> None:
        """Open the store, and take over what an earlier session left in it.

        Raises:
            StoreError: The store cannot be used; it was left as it is.

        Cancellation:
            Leaves the store closed.
        """
        rows = await self._ledger.open()
        try:
            await self._take_over(rows)
        except BaseException:
            await self._ledger.close()
            raise
        self._is_open = True

    async def _take_over(self, rows: Sequence[Row]) -> None:
        """Queue the messages found in the store, without blocking the loop."""
        self._sequence = self._ledger.last
        for count, row in enumerate(rows):
            self._restore(row)
            if count % MANY == 0:
                await asyncio.sleep(0)

    def _restore(self, row: Row) -> None:
        """Queue a message that an earlier session accepted, if it may still be sent."""
        # Stored under another confirm, without an id: nothing could acknowledge it.
        awaited = row.awaited and not (self._needs_id and row.message_id is None)
        terms = self._terms if awaited else self._terms_of_write
        delivery = Delivery(
            terms,
            row.sequence,
            None,
            row.size,
            row.message_id,
            row.expires_at,
            None,
        )
        delivery.accepted_at = row.accepted_at
        delivery.transmissions = row.transmissions
        delivery.accused = row.accused
        delivery.stored = row.poison is None
        if row.transmissions:
            # It may have ended its connection, even if it is not written again.
            self.traffic.doubt()
        if row.only_if_open:
            self._fates.lose([delivery], DeliveryState.DROPPED)
        elif row.poison is not None or self._spent(row):
            self._fates.lose([delivery], DeliveryState.FAILED)
        else:
            self._line.append(delivery)
            self._expiry.watch(delivery)
            if row.transmissions:
                self._flight.name(delivery)

    def _spent(self, row: Row) -> bool:
        """Whether a message was written and may not be written again."""
        if not self._policy.resend:
            return row.transmissions > 0
        return row.accused >= self._policy.max_transmissions

    # Accepting.

    def send(
        self,
        data: Sendable,
        ttl: float | None,
        message_id: str | None,
        only_epoch: int | None = None,
        confirm: Literal["write"] | None = None,
    ) -> Delivery | Awaitable[Delivery]:
        """Accept a message at once, or return an awaitable that accepts it later.

        Args:
            data: The message.
            ttl: Seconds after which the message is too old to be written.
            message_id: The id of the message.
            only_epoch: The epoch of the only connection that may carry it.
            confirm: ``"write"`` if nothing will confirm it, ``None`` for what the
                policy says.
        """
        admission = self._admission
        if admission.end is not None:
            raise admission.end
        message, size = payload_of(data)
        if size > self._max_bytes:
            raise admission.too_big(size)
        if self._needs_id and message_id is None and confirm is None:
            raise ValueError(_NO_ID)
        # Computed before any wait, because the ttl also passes while ``send`` waits.
        if ttl is None:
            ttl = self._ttl
        expires_at = None if ttl is None else self._ledger.clock() + ttl
        terms = self._terms if confirm is None else self._terms_of_write
        if self._bounded or admission.senders or not self._pump.ready():
            return self._send_later(
                Delivery(terms, 0, message, size, message_id, expires_at, only_epoch)
            )
        self._sequence = sequence = self._sequence + 1
        delivery = Delivery(
            terms, sequence, message, size, message_id, expires_at, only_epoch
        )
        if expires_at is None and only_epoch is None:
            self._pump.place(delivery, ready=True)
        else:
            self._place_if_due(delivery, ready=True)
        return delivery

    async def _send_later(self, delivery: Delivery) -> Delivery:
        """Accept a message once there is room for it and the store holds it."""
        self._check_open()
        kept = await self._admission.wait(delivery.size, delivery.only_epoch)
        ready = self._pump.ready()
        self._sequence += 1
        delivery.sequence = self._sequence
        delivery.accepted_at = time.time()
        if not kept:
            self._fates.lose((delivery,), DeliveryState.DROPPED)
            return delivery
        saved = self._ledger.put(delivery)
        if saved is not None:
            await self._save(delivery, saved)
        if not self._is_open:
            # The store took the message while the session ended.
            self._fates.leave((delivery,))
        else:
            self._place_if_due(delivery, ready=ready)
        return delivery

    def _check_open(self) -> None:
        if not self._is_open:
            raise RuntimeError("The session is not entered yet: its store is opening.")

    def _place_if_due(self, delivery: Delivery, *, ready: bool) -> None:
        """Place an accepted message, unless its ttl or its connection has ended."""
        if self._expiry.is_stale(delivery):
            self._fates.lose((delivery,), DeliveryState.EXPIRED)
        elif not self._pump.takes(delivery.only_epoch):
            self._fates.lose((delivery,), DeliveryState.DROPPED)
        else:
            self._pump.place(delivery, ready=ready)

    async def _save(self, delivery: Delivery, saved: asyncio.Future[None]) -> None:
        """Wait until a message is on disk; if cancelled, delete it from the store."""
        held = (delivery,)
        self._room.hold(held)
        self._saving += 1
        try:
            await saved
        except asyncio.CancelledError:
            forgotten = self._ledger.forget(held)
            if forgotten is not None:
                await asyncio.wait({forgotten}, timeout=WITHDRAWAL)
            raise
        finally:
            self._saving -= 1
            self._room.release(held)
            self._pump.note_progress()

    def resume(self) -> None:
        """Continue writing: the transport is below its high-water mark again."""
        self._pump.run()

    # Callbacks of the parts.

    def _on_expired(self, deliveries: list[Delivery]) -> None:
        self._fates.lose(deliveries, DeliveryState.EXPIRED)
        self._pump.note_progress()

    def _on_progress(self) -> None:
        self.traffic.note_progress()
        self._admission.call_next()

    def _busy(self) -> bool:
        return bool(len(self) or self._saving)

    # Looking.

    @property
    def epoch(self) -> int:
        """The epoch of the open connection, 0 if none is open."""
        return 0 if self._pump.link is None else self._pump.epoch

    @property
    def oldest_accepted_at(self) -> float | None:
        """When the oldest message that waits or is in flight was accepted.

        In Unix seconds; ``None`` if there is no message.
        """
        first = self.traffic.first()
        return None if first is None else first.accepted_at

    def __len__(self) -> int:
        """Count the messages that wait."""
        return self._line.count + len(self._pump.claimed)

    @property
    def size(self) -> int:
        """The payload bytes that wait."""
        return self._line.size

    @property
    def lost(self) -> int:
        """How many accepted messages will never be transmitted (again)."""
        return self._fates.lost

    @property
    def unconfirmed(self) -> int:
        """How many written messages still have to be confirmed."""
        return len(self._flight)

    # Ending.

    def refuse(self, why: Exception | None) -> None:
        """Refuse all messages from now on."""
        self._admission.refuse(why)

    async def drained(self, limit: float, patience: float) -> None:
        """Wait until all messages are written and confirmed, or cannot be.

        Args:
            limit: Seconds to wait at most.
            patience: Seconds to wait for confirmations once all is written.
        """
        await self.traffic.drained(self._busy, limit, patience)

    async def close(self) -> tuple[int, int]:
        """Stop sending, and close the store, unless it could not be opened.

        Returns:
            How many messages were dropped, and how many stay in the store.
        """
        if not self._is_open:
            return 0, 0
        self.traffic.detach()
        self._expiry.stop()
        await self.traffic.settled()
        self._is_open = False
        await self._ledger.close()
        # A turn for the senders that waited for the store.
        await asyncio.sleep(0)
        waiting = list(self._line)
        dropped = [delivery for delivery in waiting if not delivery.stored]
        self._fates.leave([delivery for delivery in waiting if delivery.stored])
        self._fates.lose(dropped, DeliveryState.DROPPED)
        return len(dropped), self._fates.left
