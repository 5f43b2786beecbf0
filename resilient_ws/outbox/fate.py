"""The only writer of delivery states.

Rules: every change of a delivery's state is made here, after the fact. A message that
was reported as lost is never transmitted later, not even after a crash: it has left the
outbox and the store before the report. A stored message that was written and may not be
written again is reported before it is deleted: a crash in between causes a second
report, rather than none.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from resilient_ws.events import DeliveryFailed
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from resilient_ws.events import Event
    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.flight import Flight
    from resilient_ws.outbox.line import Line
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.outbox.room import Room
    from resilient_ws.outbox.store.ledger import Ledger

#: Every message gets here, and looking up the enum member costs ten times as much.
_WRITTEN: Final = DeliveryState.WRITTEN


class Fates:
    """Writes the state of deliveries, and counts and reports losses.

    Args:
        policy: The settings of the outbox.
        line: The messages that wait.
        flight: The messages written and not confirmed.
        room: The bounds of the outbox.
        ledger: The store at work.
        report: Called with an event for each loss.
    """

    __slots__ = (
        "_flight",
        "_keeps_data",
        "_ledger",
        "_line",
        "_report",
        "_resend",
        "_room",
        "left",
        "lost",
    )

    def __init__(
        self,
        policy: Outbox,
        *,
        line: Line,
        flight: Flight,
        room: Room,
        ledger: Ledger,
        report: Callable[[Event], None],
    ) -> None:
        self._line = line
        self._flight = flight
        self._room = room
        self._ledger = ledger
        self._report = report
        self._resend = policy.resend
        #: Whether written messages stay in memory, to be written again.
        self._keeps_data = policy.resend and not ledger.durable
        self.lost = 0
        #: Number of messages that stay in the store for the next session.
        self.left = 0

    # On their way.

    def write_at_once(self, delivery: Delivery, epoch: int) -> None:
        """Mark a message as handed to a connection when it was accepted."""
        delivery.transmissions = 1
        delivery.written_at = delivery.accepted_at
        delivery.epoch = epoch
        if not (self._keeps_data and delivery.awaited):
            delivery.data = None
        # ``send`` has not returned it yet, so nobody can be waiting for it.
        delivery._state = _WRITTEN  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def write(self, deliveries: Sequence[Delivery], now: float, epoch: int) -> None:
        """Mark messages as handed to a connection.

        Args:
            deliveries: The messages.
            now: The time, in Unix seconds.
            epoch: The ordinal of the connection.
        """
        keeps_data = self._keeps_data
        for delivery in deliveries:
            delivery.transmissions += 1
            delivery.written_at = now
            delivery.epoch = epoch
            if not (keeps_data and delivery.awaited):
                delivery.data = None
            # The same as _settle, without a call for each message.
            delivery._state = _WRITTEN  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            if delivery._waiters:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                _wake(delivery)

    def requeue(self, deliveries: Sequence[Delivery]) -> None:
        """Mark written messages as waiting to be written again."""
        for delivery in deliveries:
            _settle(delivery, DeliveryState.QUEUED)

    # At the end.

    def confirm(self, deliveries: Sequence[Delivery]) -> None:
        """Mark messages as confirmed, and delete them from the store."""
        self._take_out(deliveries)
        now = time.time()
        for delivery in deliveries:
            delivery.data = None
            delivery.confirmed_at = now
            _settle(delivery, DeliveryState.CONFIRMED)
        stored = [delivery for delivery in deliveries if delivery.stored]
        if stored:
            self._ledger.forget(stored)

    def lose(self, deliveries: Sequence[Delivery], state: DeliveryState) -> None:
        """Give up on messages, and report each loss once it is certain."""
        if not deliveries:
            return
        self._take_out(deliveries)
        stored = [delivery for delivery in deliveries if delivery.stored]
        self._lost([d for d in deliveries if self._is_spent(d)], state)
        rest = [d for d in deliveries if not self._is_spent(d)]
        forgotten = self._ledger.forget(stored) if stored else None
        if forgotten is None:
            self._lost(rest, state)
        else:
            forgotten.add_done_callback(partial(self._forgotten, rest, state))

    def _is_spent(self, delivery: Delivery) -> bool:
        """Whether a stored message was written and may not be written again."""
        return delivery.stored and delivery.transmissions > 0 and not self._resend

    def leave(self, deliveries: Sequence[Delivery]) -> None:
        """Mark messages as left in the store for the next session."""
        self.left += len(deliveries)
        for delivery in deliveries:
            delivery.data = None
            _settle(delivery, DeliveryState.DROPPED)

    def _take_out(self, deliveries: Sequence[Delivery]) -> None:
        """Remove messages from the line and the flight, and release their room."""
        for delivery in deliveries:
            if delivery.in_line:
                self._line.remove(delivery)
        flown = self._flight.remove(deliveries)
        if self._resend:
            self._room.release(flown)

    def _forgotten(
        self,
        deliveries: Sequence[Delivery],
        state: DeliveryState,
        forgotten: asyncio.Future[None],
    ) -> None:
        # The store could not delete these before it was closed.
        stuck = forgotten.cancelled() or forgotten.exception() is not None
        self._lost([d for d in deliveries if not (stuck and d.stored)], state)
        self.leave([d for d in deliveries if stuck and d.stored])

    def _lost(self, deliveries: Sequence[Delivery], state: DeliveryState) -> None:
        for delivery in deliveries:
            self.lost += 1
            delivery.data = None
            _settle(delivery, state)
            self._report(
                DeliveryFailed(
                    state=state,
                    message_id=delivery.message_id,
                    maybe_delivered=delivery.maybe_delivered,
                )
            )


# Users only read a delivery's state; this module is the only one to write it.
def _settle(delivery: Delivery, state: DeliveryState) -> None:
    delivery._state = state  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    _wake(delivery)


def _wake(delivery: Delivery) -> None:
    for waiter in delivery._waiters:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if not waiter.done():
            waiter.set_result(None)
