"""The one writer of what becomes of a message.

Rules: every change of a delivery's state is made here, once it is a fact. What is
reported as lost has left the outbox and its store before, so that it is not
transmitted later, not even after a crash.
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

    def write(self, deliveries: Sequence[Delivery], now: float) -> None:
        """Say that messages were handed to a connection at ``now``, in Unix seconds."""
        for delivery in deliveries:
            delivery.transmissions += 1
            delivery.written_at = now
            if not self._keeps_data:
                delivery.data = None
            delivery.settle(_WRITTEN)

    def requeue(self, deliveries: Sequence[Delivery]) -> None:
        """Say that messages were written and are to be written again."""
        for delivery in deliveries:
            delivery.settle(DeliveryState.QUEUED)

    # At the end.

    def confirm(self, deliveries: Sequence[Delivery]) -> None:
        """Say that messages are known to have arrived."""
        self._take_out(deliveries)
        now = time.time()
        for delivery in deliveries:
            delivery.data = None
            delivery.confirmed_at = now
            delivery.settle(DeliveryState.CONFIRMED)
        stored = [delivery for delivery in deliveries if delivery.stored]
        if stored:
            self._ledger.forget(stored)

    def lose(self, deliveries: Sequence[Delivery], state: DeliveryState) -> None:
        """Let messages never be transmitted (again), and say so once it is certain."""
        if not deliveries:
            return
        self._take_out(deliveries)
        stored = [delivery for delivery in deliveries if delivery.stored]
        forgotten = self._ledger.forget(stored) if stored else None
        if forgotten is None:
            self._lost(deliveries, state)
        else:
            forgotten.add_done_callback(partial(self._forgotten, deliveries, state))

    def leave(self, deliveries: Sequence[Delivery]) -> None:
        """Say that messages stay in a durable store, for the next session."""
        self.left += len(deliveries)
        for delivery in deliveries:
            delivery.data = None
            delivery.settle(DeliveryState.DROPPED)

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
            delivery.settle(state)
            self._report(
                DeliveryFailed(
                    state=state,
                    message_id=delivery.message_id,
                    maybe_delivered=delivery.maybe_delivered,
                )
            )
