"""The one writer of what becomes of a message.

Rules: every change of a delivery's state is made here, once it is a fact. What is
reported as lost cannot be transmitted later, not even after a crash: it has left the
outbox, and its store, unless the store has it marked as written for the only time. That
is reported first, so that a crash meanwhile has it reported twice rather than never.
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
    from resilient_ws.outbox.store import Ledger

#: To look a member of an enum up costs ten times as much, and each message gets here.
_WRITTEN: Final = DeliveryState.WRITTEN


class Fates:
    """Writes the state of deliveries, counts, and reports losses.

    Args:
        policy: The outbox.
        line: Where a message may stand whose fate is sealed.
        flight: Where it may be on its way.
        room: Where it may take room.
        ledger: What may hold it.
        report: Where losses are reported to.
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
        #: Whether memory holds what is written, to write it again.
        self._keeps_data = policy.resend and not ledger.durable
        self.lost = 0
        #: Messages that stay in the store beyond the session.
        self.left = 0

    # On their way.

    def write_at_once(self, delivery: Delivery, epoch: int) -> None:
        """Say that a message was handed to a connection as it was accepted."""
        delivery.transmissions = 1
        delivery.written_at = delivery.accepted_at
        delivery.epoch = epoch
        if not (self._keeps_data and delivery.awaited):
            delivery.data = None
        # Nobody has it yet, and so nobody waits for it.
        delivery._state = _WRITTEN  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def write(self, deliveries: Sequence[Delivery], now: float, epoch: int) -> None:
        """Say that messages were handed to a connection.

        Args:
            deliveries: The messages.
            now: When, in Unix seconds.
            epoch: The ordinal of the connection.
        """
        keeps_data = self._keeps_data
        for delivery in deliveries:
            delivery.transmissions += 1
            delivery.written_at = now
            delivery.epoch = epoch
            if not (keeps_data and delivery.awaited):
                delivery.data = None
            # As _settle does, without a call for each message.
            delivery._state = _WRITTEN  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            if delivery._waiters:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                _wake(delivery)

    def requeue(self, deliveries: Sequence[Delivery]) -> None:
        """Say that messages were written and are to be written again."""
        for delivery in deliveries:
            _settle(delivery, DeliveryState.QUEUED)

    # At the end.

    def confirm(self, deliveries: Sequence[Delivery]) -> None:
        """Say that messages are known to have arrived."""
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
        """Let messages never be transmitted (again), and say so once it is certain."""
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
        """Whether the store has a message marked as written for the only time."""
        return delivery.stored and delivery.transmissions > 0 and not self._resend

    def leave(self, deliveries: Sequence[Delivery]) -> None:
        """Say that messages stay in a durable store, for the next session."""
        self.left += len(deliveries)
        for delivery in deliveries:
            delivery.data = None
            _settle(delivery, DeliveryState.DROPPED)

    def _take_out(self, deliveries: Sequence[Delivery]) -> None:
        """Let messages leave the line and the flight, and give their room back."""
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
        # The store could not let go of them before it was closed.
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


# A delivery shows its state to the user, and this module alone writes it.
def _settle(delivery: Delivery, state: DeliveryState) -> None:
    delivery._state = state  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    _wake(delivery)


def _wake(delivery: Delivery) -> None:
    for waiter in delivery._waiters:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if not waiter.done():
            waiter.set_result(None)
