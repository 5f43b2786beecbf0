"""The outbox: what the session and the supervisor call.

Rules: messages leave in the order of their sequence numbers. A message is accepted in
one step, without a suspension between the decision and the move to its place; with a
durable store, ``send`` waits until the message is on disk, and then takes that step.
One connection at a time is written to, and its pongs also confirm after writing has
stopped. When it ends, the messages that it left unconfirmed either wait to be written
again, before anything newer, or fail.
"""

from __future__ import annotations

import asyncio
import contextlib
from itertools import chain
from typing import TYPE_CHECKING, Final

from resilient_ws.outbox.admission import Admission
from resilient_ws.outbox.backlog import Backlog
from resilient_ws.outbox.delivery import Delivery, Place, Terms, payload_of
from resilient_ws.outbox.flight import Flight
from resilient_ws.outbox.leftovers import take_over
from resilient_ws.outbox.places import Places
from resilient_ws.outbox.settlement import Settlement
from resilient_ws.outbox.writer import Writer
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from typing import Literal

    from resilient_ws.events import Event
    from resilient_ws.outbox.delivery import Sendable
    from resilient_ws.outbox.flight import OpenLink
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.outbox.store.rows import Row
    from resilient_ws.protocol.message import Message


#: Seconds that a cancelled ``send`` waits for the store to delete its message.
WITHDRAWAL_TIMEOUT: Final = 1.0
_NO_ID: Final = (
    "message_id is needed, because Outbox.confirm is a callable: an acknowledgement "
    "finds its message by this id. If the server never acknowledges this message, "
    "send it with confirm='write'"
)


class OutboxQueue:
    """The outbox at work: one loop, one link at a time, any number of senders.

    Args:
        policy: The settings of the outbox.
        loop: The session's loop.
        report: Called with each event.
        check_waiting: Raises if waiting for a delivery could never end.
    """

    __slots__ = (
        "_admission",
        "_backlog",
        "_flight",
        "_is_open",
        "_ledger",
        "_max_bytes",
        "_needs_id",
        "_places",
        "_progress",
        "_sequence",
        "_settlement",
        "_terms",
        "_terms_of_write",
        "_ttl",
        "_writer",
    )

    def __init__(
        self,
        policy: Outbox,
        *,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
        check_waiting: Callable[[], None],
    ) -> None:
        # Copied, because every message needs them.
        self._max_bytes, self._ttl = policy.max_bytes, policy.ttl
        self._needs_id = policy.ack_of is not None
        self._terms = self._terms_of_write = Terms(policy.goal, check_waiting)
        if self._terms.awaited:
            # For messages that nobody will confirm, whatever the policy asks for.
            self._terms_of_write = Terms(DeliveryState.WRITTEN, check_waiting)
        self._ledger = ledger = policy.store.ledger(loop, report)
        progressed = self._progressed
        self._places = places = Places(policy)
        self._flight = flight = Flight(
            policy, places, loop=loop, report=report, proceed=self.resume
        )
        self._settlement = settlement = Settlement(
            policy, places, flight, ledger=ledger, report=report
        )
        self._backlog = backlog = Backlog(
            places, settlement, loop=loop, clock=ledger.clock, progressed=progressed
        )
        self._writer = writer = Writer(
            places,
            backlog,
            flight,
            settlement,
            ledger=ledger,
            loop=loop,
            progressed=progressed,
        )
        self._admission = Admission(
            policy, places, writer, durable=ledger.durable, loop=loop, report=report
        )
        self._sequence = 0
        # What ``drain`` and ``close`` wait for; resolved when they should look again.
        self._progress: asyncio.Future[None] | None = None
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
            self._sequence = self._ledger.last
            await take_over(
                rows,
                self._terms_of,
                backlog=self._backlog,
                flight=self._flight,
                settlement=self._settlement,
            )
        except BaseException:
            await self._ledger.close()
            raise
        self._is_open = True

    def _terms_of(self, row: Row) -> Terms:
        """Return the terms of a message that an earlier session accepted."""
        # Stored under another confirm, without an id: nothing could acknowledge it.
        nameless = self._needs_id and row.message_id is None
        return self._terms if row.awaited and not nameless else self._terms_of_write

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
        if (
            admission.needs_room
            or admission.senders
            or (link := self._writer.ready()) is None
        ):
            return self._send_later(
                terms, message, size, message_id, expires_at, only_epoch
            )
        self._sequence = sequence = self._sequence + 1
        delivery = Delivery(
            terms, sequence, message, size, message_id, expires_at, only_epoch
        )
        if (expires_at is None and only_epoch is None) or not self._lose_late(delivery):
            self._writer.write(delivery, link)
        return delivery

    async def _send_later(  # noqa: PLR0917 - the arguments of a delivery
        self,
        terms: Terms,
        message: Message,
        size: int,
        message_id: str | None,
        expires_at: float | None,
        only_epoch: int | None,
    ) -> Delivery:
        """Accept a message once there is room for it and the store holds it."""
        self._check_open()
        kept = await self._admission.wait(size, only_epoch)
        self._sequence += 1
        delivery = Delivery(
            terms, self._sequence, message, size, message_id, expires_at, only_epoch
        )
        if not kept:
            self._settlement.lose((delivery,), DeliveryState.DROPPED)
            return delivery
        saved = self._ledger.put(delivery)
        if saved is None:
            if not self._lose_late(delivery):
                self._writer.write(delivery, self._writer.ready())
            return delivery
        await self._save(delivery, saved)
        if not self._is_open:
            # The store took the message while the session ended.
            self._settlement.leave((delivery,))
        elif not self._lose_late(delivery):
            self._writer.write_saved(delivery)
        return delivery

    def _check_open(self) -> None:
        if not self._is_open:
            raise RuntimeError("The session is not entered yet: its store is opening.")

    def _lose_late(self, delivery: Delivery) -> bool:
        """Lose a message whose ttl or connection has ended; return whether it has."""
        if self._backlog.is_stale(delivery):
            self._settlement.lose((delivery,), DeliveryState.EXPIRED)
        elif not self._writer.takes(delivery.only_epoch):
            self._settlement.lose((delivery,), DeliveryState.DROPPED)
        else:
            return False
        return True

    async def _save(self, delivery: Delivery, saved: asyncio.Future[None]) -> None:
        """Wait until a message is on disk; if cancelled, delete it from the store."""
        self._places.move(delivery, Place.SAVING)
        try:
            await self._saved(delivery, saved)
        except BaseException:
            self._places.move(delivery, Place.GONE)
            raise
        finally:
            self._progressed()

    async def _saved(self, delivery: Delivery, saved: asyncio.Future[None]) -> None:
        try:
            await saved
        except asyncio.CancelledError:
            forgotten = self._ledger.forget((delivery,))
            if forgotten is not None:
                await asyncio.wait({forgotten}, timeout=WITHDRAWAL_TIMEOUT)
            raise

    def resume(self) -> None:
        """Continue writing: the transport is below its high-water mark again."""
        self._writer.run()

    # Connections.

    def attach(self, link: OpenLink, ping: Callable[[], None], *, epoch: int) -> None:
        """Begin writing to an open connection, waiting messages first.

        Args:
            link: The connection.
            ping: Sends a ping after everything that was written to it.
            epoch: The ordinal of the connection.
        """
        self._flight.begin(link, ping)
        self._writer.begin(link, epoch)

    def halt(self, link: OpenLink) -> None:
        """Stop writing to a connection; it may still confirm what it was handed."""
        if link is self._writer.link:
            self._writer.halt()
            self._flight.ask()
            self._progressed()

    def detach(
        self, link: OpenLink | None = None, because: Exception | None = None
    ) -> None:
        """Forget the connection, if it is ``link`` (default: any).

        Args:
            link: The connection.
            because: Why it ended, ``None`` if we ended it. A halted connection counts
                as ended by us, however its peer then hangs up.
        """
        if link is not None and link is not self._flight.link:
            return
        if self._writer.link is None:
            because = None
        self._writer.halt()
        landed, accused = self._flight.land(because)
        if accused:
            self._settlement.accuse(landed[0])
        is_spent = self._settlement.is_spent
        self._writer.put_back([d for d in landed if not is_spent(d)])
        self._settlement.lose([d for d in landed if is_spent(d)], DeliveryState.FAILED)
        bound = [d for d in self._backlog if d.only_epoch is not None]
        self._settlement.lose(bound, DeliveryState.DROPPED)
        self._progressed()

    @property
    def suspected(self) -> bool:
        """Whether the last connection ended because of a message in flight on it."""
        return self._flight.suspected

    def note_pong(self, link: OpenLink, mark: int) -> None:
        """Record a pong that covers the first ``mark`` messages of a connection."""
        if link is self._flight.link:
            self._confirm(self._flight.note_pong(mark))

    def acknowledge(self, message_id: str) -> None:
        """Record that the peer's application has acknowledged a message."""
        self._confirm(self._flight.find(message_id))

    def _confirm(self, deliveries: Sequence[Delivery]) -> None:
        """Settle messages that are confirmed, and write what that makes room for."""
        if deliveries:
            self._settlement.confirm(deliveries)
            self._flight.note_confirmed(len(deliveries))
        self._writer.run()

    def _progressed(self) -> None:
        """Let the tasks that wait for room or for the end look again."""
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)
        self._admission.call_next()

    # Looking.

    @property
    def epoch(self) -> int:
        """The epoch of the open connection, 0 if none is open."""
        return 0 if self._writer.link is None else self._writer.epoch

    @property
    def oldest_accepted_at(self) -> float | None:
        """When the oldest outstanding message was accepted.

        In Unix seconds; ``None`` if there is no message.
        """
        first = next(self._outstanding(), None)
        return None if first is None else first.accepted_at

    def outstanding(self) -> list[Delivery]:
        """Return the messages in flight and those that wait, in order."""
        return list(self._outstanding())

    def _outstanding(self) -> Iterator[Delivery]:
        return chain(self._flight, self._writer.claimed(), self._backlog)

    def __len__(self) -> int:
        """Count the messages that wait."""
        return self._places.waiting.messages + self._places.claimed.messages

    @property
    def size(self) -> int:
        """The payload bytes of the messages that wait."""
        return self._places.waiting.size + self._places.claimed.size

    @property
    def lost(self) -> int:
        """How many accepted messages will never be transmitted (again)."""
        return self._settlement.lost

    @property
    def unconfirmed(self) -> int:
        """How many written messages still have to be confirmed."""
        return self._places.in_flight.messages

    # Ending.

    def refuse(self, why: Exception | None) -> None:
        """Refuse all messages from now on."""
        self._admission.refuse(why)

    async def drain(self, limit: float, patience: float) -> None:
        """Wait until all messages are written and confirmed, or cannot be.

        Args:
            limit: Seconds to wait at most.
            patience: Seconds to wait for confirmations once all is written.
        """
        writer, flight = self._writer, self._flight
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while writer.link is not None and self._unwritten and not writer.stuck:
                    await self._next_progress()
                async with asyncio.timeout(patience):
                    flight.ask()
                    while flight.hopeful:
                        await self._next_progress()

    @property
    def _unwritten(self) -> int:
        """How many messages are accepted, or being accepted, and not written."""
        return len(self) + self._places.saving.messages

    async def _next_progress(self) -> None:
        self._progress = asyncio.get_running_loop().create_future()
        await self._progress

    async def close(self) -> tuple[int, int]:
        """Stop sending, and close the store, unless it could not be opened.

        Returns:
            How many messages were dropped, and how many stay in the store.
        """
        if not self._is_open:
            return 0, 0
        self.detach()
        self._backlog.stop()
        self._writer.stop()
        while self._writer.claiming:
            await self._next_progress()
        self._writer.stop()
        self._is_open = False
        await self._ledger.close()
        # A turn for the senders that waited for the store.
        await asyncio.sleep(0)
        waiting = list(self._backlog)
        dropped = [delivery for delivery in waiting if not delivery.stored]
        self._settlement.leave([delivery for delivery in waiting if delivery.stored])
        self._settlement.lose(dropped, DeliveryState.DROPPED)
        return len(dropped), self._settlement.left
