"""Confirmation of written messages, and the report that it is overdue.

Rules: a ping (the *barrier*) follows the messages of a turn, at most one per
``confirm_interval``; any pong confirms everything written before its ping. An overdue
confirmation is reported once per connection and ends nothing, because liveness decides
whether the link is alive. A late confirmation restarts the wait. Where messages are
suspected, a new connection has to answer a ping before anything is written to it; if no
pong comes within ``confirm_timeout``, the head is written anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.events import ConfirmationOverdue
from resilient_ws.outbox.expiry import RESOLUTION
from resilient_ws.outbox.suspects import Suspects


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from resilient_ws.events import Event
    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.flight import Flight
    from resilient_ws.outbox.link import Link
    from resilient_ws.outbox.policy import Outbox


class Confirmation:
    """The messages in flight, with the pings and timers for their confirmation."""

    __slots__ = (
        "_barrier",
        "_barrier_from",
        "_covered",
        "_first",
        "_link",
        "_loop",
        "_overdue",
        "_passed",
        "_ping",
        "_policy",
        "_proceed",
        "_progress",
        "_report",
        "_reported",
        "flight",
        "on_overdue",
        "on_proceed",
        "overdue",
        "suspects",
    )

    def __init__(
        self,
        policy: Outbox,
        flight: Flight,
        *,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
    ) -> None:
        self._policy = policy
        self._loop = loop
        self._report = report
        self.flight = flight
        self.suspects = Suspects(policy.max_in_flight)
        #: Called when a confirmation is overdue; set by ``OutboxQueue``.
        self.on_overdue: Callable[[], None] | None = None
        #: Called when more may be written although no pong came; also set by it.
        self.on_proceed: Callable[[], None] | None = None
        self._link: Link | None = None
        self._ping: Callable[[], None]
        self._barrier: asyncio.Handle | None = None
        # When the next barrier may go out, and how many messages the last one covers.
        self._barrier_from = 0.0
        self._covered = 0
        self._overdue: asyncio.TimerHandle | None = None
        # Ends the wait for the first pong of a new connection.
        self._proceed: asyncio.TimerHandle | None = None
        # The first message of this connection, and how many messages its pongs cover.
        self._first: Delivery | None = None
        self._passed = 0
        # Whether this connection was reported as overdue, and when it last confirmed
        # a message after that.
        self._reported = False
        self._progress = 0.0
        #: Whether a confirmation is overdue, and none has come since.
        self.overdue = False

    @property
    def hopeful(self) -> bool:
        """Whether messages are in flight that the peer may still confirm."""
        return bool(self.flight) and not self.overdue

    def begin(self, link: Link, ping: Callable[[], None]) -> None:
        """Start tracking what is written to a new connection."""
        self._link = link
        self._ping = ping
        self._barrier_from = 0.0
        self._covered = self._passed = 0
        self._first = None
        self.overdue = self._reported = False
        self._progress = 0.0
        self.suspects.begin()
        if self.suspects.waits:
            ping()
            self._proceed = self._loop.call_later(
                self._policy.confirm_timeout, self._wait_no_longer
            )

    def _wait_no_longer(self) -> None:
        """Stop waiting for the first pong, and let the head be written."""
        self._proceed = None
        self.suspects.proceed()
        if self.on_proceed is not None:
            self.on_proceed()

    def window(self) -> int:
        """Return how many more messages may be written now."""
        return self.suspects.window - len(self.flight)

    def end(self) -> list[Delivery]:
        """Stop the timers; return the unconfirmed messages in order."""
        self._link = None
        for timer in (self._barrier, self._overdue, self._proceed):
            if timer is not None:
                timer.cancel()
        self._barrier = self._overdue = self._proceed = None
        return self.flight.land()

    def wrote(self, deliveries: Sequence[Delivery], link: Link) -> list[Delivery]:
        """Record messages that were just handed to the connection, in order.

        Returns:
            The messages that still have to be confirmed.
        """
        when = self._loop.time()
        mark = link.messages_written - len(deliveries)
        self.suspects.wrote(len(deliveries))
        awaited: list[Delivery] = []
        for place, delivery in enumerate(deliveries, 1):
            if delivery.awaited:
                self.flight.add(delivery, mark=mark + place, when=when)
                awaited.append(delivery)
        if awaited:
            if self._first is None:
                self._first = awaited[0]
            self._expect(when)
        return awaited

    def _expect(self, when: float) -> None:
        """Schedule the ping and the deadline for messages written at ``when``."""
        if self._overdue is None and not self.overdue:
            self._watch(when)
        if self._policy.confirm == "pong" and self._barrier is None:
            wait = self._barrier_from - when
            if wait > 0:
                self._barrier = self._loop.call_later(wait, self.ask)
            else:
                self._barrier = self._loop.call_soon(self.ask)

    def ask(self) -> None:
        """Send a barrier now, unless the last one covers all messages."""
        if self._barrier is not None:
            self._barrier.cancel()
            self._barrier = None
        link = self._link
        if link is None or self._policy.confirm != "pong" or not self.flight:
            return
        if self._covered < link.messages_written:
            self._covered = link.messages_written
            self._barrier_from = self._loop.time() + self._policy.confirm_interval
            self._ping()

    def passed(self, link: Link, mark: int) -> list[Delivery]:
        """Record a pong that covers ``mark`` messages; return those it confirms."""
        if link is not self._link:
            return []
        self.suspects.vouch()
        if self._policy.confirm == "pong":
            return self.flight.passed(mark)
        self._passed = mark
        self._outwait(link)
        return []

    def confirmed(self, count: int) -> None:
        """Record confirmations, after the messages have left the flight."""
        first = self._first is not None and self._first is not self.flight.first()
        self.suspects.confirmed(count, len(self.flight), first=first)
        if self._reported:
            self._progress = self._loop.time()
            if self.overdue:
                self.overdue = False
                self._watch(self._progress)

    def _outwait(self, link: Link) -> None:
        """Release the others if the peer has read the head but not confirmed it."""
        if self.overdue and self.suspects.holds_up:
            if self._passed >= link.messages_written:
                self.suspects.outwait()
            elif self._covered < link.messages_written:
                self._covered = link.messages_written
                self._ping()

    def _watch(self, since: float) -> None:
        due = since + self._policy.confirm_timeout
        self._overdue = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        """Report an overdue confirmation, or check again when one may be due."""
        self._overdue = None
        oldest = self.flight.since
        if oldest is None:
            return
        since = max(oldest, self._progress)
        after = self._loop.time() - since
        if after < self._policy.confirm_timeout - RESOLUTION:
            self._watch(since)
            return
        self.overdue = True
        if not self._reported:
            self._reported = True
            self._report(ConfirmationOverdue(after=after, unconfirmed=len(self.flight)))
        if self._link is not None and self._policy.confirm != "pong":
            self._outwait(self._link)
        if self.on_proceed is not None:
            self.on_proceed()
        if self.on_overdue is not None:
            self.on_overdue()
