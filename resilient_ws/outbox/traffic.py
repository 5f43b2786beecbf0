"""What happens to messages when connections open, answer and end.

Rules: one connection at a time is written to. Its pongs confirm what was written to it,
also after writing has stopped; a pong from another connection confirms nothing. When
the connection has gone, its unconfirmed messages wait to be written again, before
anything newer, unless too many ends count against them.
"""

from __future__ import annotations

import asyncio
import contextlib
from itertools import chain
from typing import TYPE_CHECKING

from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resilient_ws.outbox.confirmation import Confirmation
    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.fate import Fates
    from resilient_ws.outbox.flight import Flight
    from resilient_ws.outbox.line import Line
    from resilient_ws.outbox.link import Link
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.outbox.pump import Pump
    from resilient_ws.outbox.room import Room
    from resilient_ws.outbox.store.ledger import Ledger


class Traffic:
    """The connections of an outbox, one after the other."""

    __slots__ = (
        "_confirmation",
        "_fates",
        "_flight",
        "_ledger",
        "_line",
        "_link",
        "_policy",
        "_progress",
        "_pump",
        "_room",
    )

    def __init__(
        self,
        policy: Outbox,
        *,
        line: Line,
        flight: Flight,
        room: Room,
        fates: Fates,
        pump: Pump,
        ledger: Ledger,
        confirmation: Confirmation | None,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._line = line
        self._flight = flight
        self._room = room
        self._fates = fates
        self._pump = pump
        self._confirmation = confirmation
        # The present connection, also after ``halt`` has stopped writing to it.
        self._link: Link | None = None
        self._progress: asyncio.Future[None] | None = None

    # Connections.

    def attach(self, link: Link, ping: Callable[[], None], *, epoch: int) -> None:
        """Begin writing to an open connection, waiting messages first.

        Args:
            link: The connection.
            ping: Sends a ping after everything that was written to it.
            epoch: The ordinal of the connection.
        """
        self._link = self._pump.link = link
        self._pump.epoch = epoch
        if self._confirmation is not None:
            self._confirmation.begin(link, ping)
        self._pump.draining = bool(self._line)
        self._pump.run()

    def halt(self, link: Link) -> None:
        """Stop writing to a connection; it may still confirm what it was handed."""
        if link is self._pump.link:
            self._pump.link = None
            self._pump.draining = False
            if self._confirmation is not None:
                self._confirmation.ask()
            self._pump.note_progress()

    def detach(
        self, link: Link | None = None, because: Exception | None = None
    ) -> None:
        """Forget the connection, if it is ``link`` (default: any).

        Args:
            link: The connection.
            because: Why it ended, ``None`` if we ended it. A halted connection counts
                as ended by us, however its peer then hangs up.
        """
        if link is not None and link is not self._link:
            return
        if self._pump.link is None:
            because = None
        self._link = self._pump.link = None
        self._pump.draining = False
        if self._confirmation is not None:
            landed = self._confirmation.end()
            if self._confirmation.suspects.ended(because, len(landed)):
                self._accuse(landed[0])
            self._land(landed)
        gone = [delivery for delivery in self._line if delivery.only_epoch is not None]
        self._fates.lose(gone, DeliveryState.DROPPED)
        self._pump.note_progress()

    def _accuse(self, delivery: Delivery) -> None:
        """Count the end of a connection against a message, also across restarts."""
        delivery.accused += 1
        if delivery.stored and self._policy.resend:
            self._ledger.accuse(delivery)

    def _land(self, landed: Sequence[Delivery]) -> None:
        """Requeue or fail the messages that a connection left unconfirmed."""
        if not self._policy.resend:
            self._fates.lose(landed, DeliveryState.FAILED)
            return
        self._room.release(landed)
        limit = self._policy.max_transmissions
        again = [d for d in landed if d.accused < limit]
        last = [d for d in landed if d.accused >= limit]
        self._fates.requeue(again)
        self._pump.put_back(again)
        self._fates.lose(last, DeliveryState.FAILED)

    @property
    def suspected(self) -> bool:
        """Whether the last connection ended because of a message in flight on it."""
        return self._confirmation is not None and self._confirmation.suspects.named

    # Answers.

    def passed(self, link: Link, mark: int) -> None:
        """Record a pong that covers the first ``mark`` messages of a connection."""
        confirmation = self._confirmation
        if confirmation is None:
            return
        before = confirmation.suspects.window
        self._confirm(confirmation, confirmation.passed(link, mark))
        if confirmation.suspects.window > before:
            self._pump.run()

    def acknowledge(self, message_id: str) -> None:
        """Record that the peer's application has acknowledged a message."""
        if self._confirmation is not None:
            self._confirm(self._confirmation, self._flight.named(message_id))

    def _confirm(
        self, confirmation: Confirmation, deliveries: Sequence[Delivery]
    ) -> None:
        if deliveries:
            self._fates.confirm(deliveries)
            confirmation.confirmed(len(deliveries))
            self._pump.run()

    @property
    def stuck(self) -> bool:
        """Whether a peer that confirms nothing keeps the rest from being written."""
        confirmation = self._confirmation
        return (
            confirmation is not None and confirmation.overdue and not self._pump.ready()
        )

    # Looking, and waiting for the end.

    def outstanding(self) -> list[Delivery]:
        """Return the messages in flight and those that wait, in order."""
        return [*self._flight.deliveries(), *self._pump.claimed, *self._line]

    def first(self) -> Delivery | None:
        """Return the oldest message that is in flight or waits."""
        return self._flight.first() or next(chain(self._pump.claimed, self._line), None)

    def doubt(self) -> None:
        """Go slowly: a message of an earlier session may have ended its connection."""
        if self._confirmation is not None:
            self._confirmation.suspects.doubt()

    def oldest(self) -> Delivery | None:
        """Return the oldest waiting message, else the oldest in flight to be resent."""
        first = next(iter(self._line), None)
        return self._flight.first() if first is None and self._policy.resend else first

    def note_progress(self) -> None:
        """Let ``drained`` and ``settled`` check again."""
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)

    async def drained(
        self, busy: Callable[[], bool], limit: float, patience: float
    ) -> None:
        """Wait until all messages are written and confirmed, or cannot be.

        Args:
            busy: Tells whether messages wait or are being stored.
            limit: Seconds to wait at most.
            patience: Seconds to wait for confirmations once all is written.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while self._pump.link is not None and busy() and not self.stuck:
                    await self._next_progress()
                async with asyncio.timeout(patience):
                    await self._confirmed()

    async def _confirmed(self) -> None:
        """Wait until all written messages are confirmed, or cannot be."""
        confirmation = self._confirmation
        if confirmation is None:
            return
        confirmation.ask()
        while self._link is not None and confirmation.hopeful:
            await self._next_progress()

    async def settled(self) -> None:
        """Wait until no claim is pending; nothing can be written any more."""
        self._pump.stop()
        while self._pump.claimed:
            await self._next_progress()
        self._pump.stop()

    async def _next_progress(self) -> None:
        self._progress = asyncio.get_running_loop().create_future()
        await self._progress
