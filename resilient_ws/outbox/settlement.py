"""Decides which messages are lost, and writes the states of deliveries.

Rules: a state changes only after the event that it stands for. A message that was
reported as lost is never transmitted later, not even after a crash, because it has left
the outbox and the store before the report. The exception is a stored message that was
written and may not be written again: it is reported before it is deleted, so that a
crash in between causes a second report rather than none.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from resilient_ws.events import DeliveryFailed
from resilient_ws.outbox.delivery import Place
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from resilient_ws.events import Event
    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.flight import Flight
    from resilient_ws.outbox.places import Places
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.outbox.store.ledger import Ledger

# Every message comes here, and looking up an enum member costs ten times as much.
_WRITTEN: Final = DeliveryState.WRITTEN
_GONE: Final = Place.GONE


class Settlement:
    """Writes the states of deliveries, and counts and reports losses.

    Args:
        policy: The settings of the outbox.
        places: The places of the messages.
        flight: The messages written and not confirmed.
        ledger: The store at work.
        report: Called with an event for each loss.
    """

    __slots__ = (
        "_flight",
        "_keeps_data",
        "_ledger",
        "_places",
        "_policy",
        "_report",
        "left",
        "lost",
    )

    def __init__(
        self,
        policy: Outbox,
        places: Places,
        flight: Flight,
        *,
        ledger: Ledger,
        report: Callable[[Event], None],
    ) -> None:
        self._policy = policy
        self._places = places
        self._flight = flight
        self._ledger = ledger
        self._report = report
        # Whether memory keeps written messages, to write them again.
        self._keeps_data = policy.resend and not ledger.durable
        #: How many messages are lost.
        self.lost = 0
        #: How many messages stay in the store for the next session.
        self.left = 0

    # On their way.

    def mark_written_at_once(self, delivery: Delivery, epoch: int) -> None:
        """Mark a message as written when it was accepted, and as gone.

        Nothing will confirm it, so it never takes a place that is counted.
        """
        delivery.data = None
        delivery.transmissions = 1
        delivery.written_at = delivery.accepted_at
        delivery.epoch = epoch
        # ``send`` has not returned it yet, so nobody can be waiting for it.
        delivery._state = _WRITTEN  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        # The same as ``Places.move``, which counts a message in neither place.
        delivery._place = _GONE  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def mark_written(self, deliveries: Sequence[Delivery], epoch: int) -> None:
        """Mark messages as written to the connection with this epoch."""
        now = time.time()
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

    def accuse(self, delivery: Delivery) -> None:
        """Count the end of a connection against a message, also across restarts."""
        delivery.accused += 1
        if delivery.stored and self._policy.resend:
            self._ledger.accuse(delivery)

    def is_spent(self, delivery: Delivery) -> bool:
        """Whether a message was written and may not be written again.

        With ``resend`` that is after ``max_transmissions`` ends that count against it.
        """
        if not self._policy.resend:
            return delivery.transmissions > 0
        return delivery.accused >= self._policy.max_transmissions

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
        certain = [d for d in deliveries if self._is_certain(d)]
        rest = [d for d in deliveries if not self._is_certain(d)]
        stored = [delivery for delivery in deliveries if delivery.stored]
        self._report_lost(certain, state)
        forgotten = self._ledger.forget(stored) if stored else None
        if forgotten is None:
            self._report_lost(rest, state)
        else:
            forgotten.add_done_callback(partial(self._forgotten, rest, state))

    def _is_certain(self, delivery: Delivery) -> bool:
        """Whether no session would write a message, even if the store kept it."""
        return (
            delivery.stored and delivery.transmissions > 0 and not self._policy.resend
        )

    def _forgotten(
        self,
        deliveries: Sequence[Delivery],
        state: DeliveryState,
        forgotten: asyncio.Future[None],
    ) -> None:
        # Otherwise the store was closed before it could delete the messages.
        stuck = forgotten.cancelled() or forgotten.exception() is not None
        self._report_lost([d for d in deliveries if not (stuck and d.stored)], state)
        self._mark_left([d for d in deliveries if stuck and d.stored])

    def leave(self, deliveries: Sequence[Delivery]) -> None:
        """Leave messages in the store for the next session."""
        self._take_out(deliveries)
        self._mark_left(deliveries)

    def _take_out(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._places.move(delivery, _GONE)
        self._flight.remove(deliveries)

    def _mark_left(self, deliveries: Sequence[Delivery]) -> None:
        self.left += len(deliveries)
        for delivery in deliveries:
            delivery.data = None
            _settle(delivery, DeliveryState.DROPPED)

    def _report_lost(
        self, deliveries: Sequence[Delivery], state: DeliveryState
    ) -> None:
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
