"""What the coming, the answers and the going of connections mean for messages.

Rules: one connection at a time is written to, and what was written to it is confirmed
by it, also while it is only waited for; an answer that comes from another one confirms
nothing. When it has gone, what it leaves unconfirmed waits to be written again, before
anything newer, unless that was its last time.
"""

from __future__ import annotations

import asyncio
import contextlib
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


class Traffic:
    """The connections of an outbox, one after the other."""

    __slots__ = (
        "_confirmation",
        "_fates",
        "_flight",
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
        confirmation: Confirmation | None,
    ) -> None:
        self._policy = policy
        self._line = line
        self._flight = flight
        self._room = room
        self._fates = fates
        self._pump = pump
        self._confirmation = confirmation
        # Also while no more is written to it.
        self._link: Link | None = None
        self._progress: asyncio.Future[None] | None = None

    # Connections.

    def attach(self, link: Link, ping: Callable[[], None]) -> None:
        """Begin to write to an open connection, what waits first.

        Args:
            link: The connection.
            ping: Sends a ping behind all that was written to it.
        """
        self._link = self._pump.link = link
        if self._confirmation is not None:
            self._confirmation.begin(link, ping)
        self._pump.draining = bool(self._line)
        self._pump.run()

    def halt(self, link: Link) -> None:
        """Write no more to a connection; what it was handed may still be confirmed."""
        if link is self._pump.link:
            self._pump.link = None
            self._pump.draining = False
            if self._confirmation is not None:
                self._confirmation.ask()
            self._pump.note_progress()

    def detach(self, link: Link | None = None) -> None:
        """Be done with the connection, if it is ``link`` (default: any)."""
        if link is not None and link is not self._link:
            return
        self._link = self._pump.link = None
        self._pump.draining = False
        if self._confirmation is not None:
            self._land(self._confirmation.end())
        gone = [delivery for delivery in self._line if delivery.only_if_open]
        self._fates.lose(gone, DeliveryState.DROPPED)
        self._pump.note_progress()

    def _land(self, landed: Sequence[Delivery]) -> None:
        """See to what its connection has left unconfirmed."""
        limit = self._policy.transmissions
        if self._policy.resend:
            self._room.release(landed)
        again = [d for d in landed if d.transmissions < limit]
        last = [d for d in landed if d.transmissions >= limit]
        self._fates.requeue(again)
        self._pump.put_back(again)
        self._fates.lose(last, DeliveryState.FAILED)

    # Answers.

    def passed(self, link: Link, mark: int) -> None:
        """Take note that a connection's peer has passed its first ``mark`` messages."""
        if self._confirmation is not None:
            self._confirm(self._confirmation.passed(link, mark))

    def acknowledge(self, message_id: str) -> None:
        """Take note that the peer's application has taken a message."""
        self._confirm(self._flight.named(message_id))

    def _confirm(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self._fates.confirm(deliveries)
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
        """Return what is on its way or waits, in order."""
        return [*self._flight.deliveries(), *self._pump.claimed, *self._line]

    def oldest(self) -> Delivery | None:
        """Return what has waited longest, or been on its way where that takes room."""
        first = next(iter(self._line), None)
        return self._flight.first() if first is None and self._policy.resend else first

    def note_progress(self) -> None:
        """Let whoever waits for the end look again."""
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)

    async def drained(self, busy: Callable[[], bool], patience: float) -> None:
        """Wait until nothing waits, or there is no link to write it to.

        Args:
            busy: Whether messages wait, or are about to.
            patience: Seconds to wait beyond that for what was written to be confirmed.
        """
        while self._pump.link is not None and busy() and not self.stuck:
            await self._next_progress()
        confirmation = self._confirmation
        if confirmation is None:
            return
        confirmation.ask()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._link is not None and confirmation.hopeful:
                    await self._next_progress()

    async def settled(self) -> None:
        """Wait until no claim is open, when nothing can be written any more."""
        self._pump.stop()
        while self._pump.claimed:
            await self._next_progress()
        self._pump.stop()

    async def _next_progress(self) -> None:
        self._progress = asyncio.get_running_loop().create_future()
        await self._progress
