"""Messages that were written to the present connection and are not confirmed.

Rules: a ping (the *barrier*) follows the messages of a turn, at most one every
``confirm_interval``; its pong confirms everything written before it. An
acknowledgement confirms by id, and may also find a message that was written to an
earlier connection and waits to be written again. An overdue confirmation is reported
once per connection and ends nothing, because liveness decides whether the link is
alive; a late confirmation restarts the wait. Where messages are suspected, a connection
has to answer a ping before anything is written to it, or ``confirm_timeout`` has to
pass.
"""

from __future__ import annotations

import sys
from itertools import takewhile
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from resilient_ws.events import ConfirmationOverdue
from resilient_ws.outbox.delivery import Delivery, Place
from resilient_ws.outbox.suspects import Suspects
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Sequence

    from resilient_ws.events import Event
    from resilient_ws.outbox.places import Places
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.protocol.message import Message


#: Seconds by which a timer may fire early.
TIMER_RESOLUTION: Final = 0.001


class OpenLink(Protocol):
    """What the outbox needs of an open connection."""

    @property
    def messages_written(self) -> int:
        """How many messages were handed to the transport."""
        ...

    def writable(self) -> bool:
        """Whether the transport lives and is below its high-water mark."""
        ...

    def send(self, message: Message) -> None:
        """Hand one message to the transport."""

    def send_many(self, messages: list[Message]) -> None:
        """Hand several messages to the transport in one write."""


@attrs.frozen
class _Written:
    """A message in flight.

    Attributes:
        mark: How many messages its connection had been handed, including this one.
        when: When that was, on the clock of the loop.
    """

    delivery: Delivery
    mark: int
    when: float


# Shared by the outboxes that confirm nothing, and so never filled.
_NONE_IN_FLIGHT: Final[dict[int, _Written]] = {}
_NONE_NAMED: Final[dict[str, list[Delivery]]] = {}


class Flight:
    """The messages in flight, in order, with the pings and timers that watch them.

    Args:
        policy: The settings of the outbox.
        places: The places of the messages.
        loop: The session's loop.
        report: Called with an event when a confirmation is overdue.
        proceed: Called when more may be written although nothing was confirmed, and
            when a confirmation is overdue.
    """

    __slots__ = (
        "_barrier",
        "_barrier_from",
        "_barrier_mark",
        "_confirmed_at",
        "_first_mark",
        "_head_timer",
        "_in_flight",
        "_loop",
        "_named",
        "_overdue_timer",
        "_ping",
        "_places",
        "_policy",
        "_proceed",
        "_read_mark",
        "_report",
        "_reported",
        "_suspects",
        "confirms",
        "link",
        "overdue",
    )

    def __init__(
        self,
        policy: Outbox,
        places: Places,
        *,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
        proceed: Callable[[], None],
    ) -> None:
        self._policy = policy
        self._places = places
        self._loop = loop
        self._report = report
        self._proceed = proceed
        #: Whether written messages have to be confirmed at all.
        self.confirms = confirms = policy.goal is DeliveryState.CONFIRMED
        self._suspects = Suspects(policy.max_in_flight)
        # By their sequence numbers, in the order of writing.
        self._in_flight: dict[int, _Written] = {} if confirms else _NONE_IN_FLIGHT
        # Messages that were written to any connection, by their ids.
        self._named: dict[str, list[Delivery]] = {} if confirms else _NONE_NAMED
        #: The present connection, also when nothing more is written to it.
        self.link: OpenLink | None = None
        self._ping: Callable[[], None] | None = None
        # What the loop will call: to send a barrier, to look whether a confirmation is
        # overdue, and to write the head of the backlog although no pong came.
        self._barrier: asyncio.Handle | None = None
        self._overdue_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        # When the next barrier may go out. How many messages of this connection come
        # up to its first one that has to be confirmed, are covered by its last barrier,
        # and are covered by a pong.
        self._barrier_from = 0.0
        self._first_mark = self._barrier_mark = self._read_mark = 0
        # Whether this connection was reported as overdue, and when it last confirmed
        # a message after that.
        self._reported = False
        self._confirmed_at = 0.0
        #: Whether a confirmation is overdue, and none has come since.
        self.overdue = False

    # One connection.

    def begin(self, link: OpenLink, ping: Callable[[], None]) -> None:
        """Watch what is written to a new connection."""
        self.link = link
        self._ping = ping
        self._barrier_from = 0.0
        self._first_mark = self._barrier_mark = self._read_mark = 0
        self._reported = self.overdue = False
        self._confirmed_at = 0.0
        self._suspects.begin()
        if self._suspects.needs_pong:
            ping()
            self._head_timer = self._loop.call_later(
                self._policy.confirm_timeout, self._admit_head
            )

    def _admit_head(self) -> None:
        """Have the head written, because no pong came in time."""
        self._head_timer = None
        self._suspects.admit_head()
        self._proceed()

    def land(self, because: Exception | None) -> tuple[list[Delivery], bool]:
        """Forget the connection, which has ended.

        Args:
            because: Why it ended, ``None`` if we ended it.

        Returns:
            The unconfirmed messages in order, which the caller moves to their next
            place, and whether the end counts against the first of them.
        """
        self.link = self._ping = None
        for timer in (self._barrier, self._overdue_timer, self._head_timer):
            if timer is not None:
                timer.cancel()
        self._barrier = self._overdue_timer = self._head_timer = None
        landed = list(self)
        self._in_flight.clear()
        return landed, self._suspects.judge(because, len(landed))

    def doubt(self) -> None:
        """Go slowly: a message of an earlier session may have ended its connection."""
        if self.confirms:
            self._suspects.doubt()

    @property
    def suspected(self) -> bool:
        """Whether the last connection ended because of a message in flight on it."""
        return self._suspects.blamed

    # The messages.

    def __iter__(self) -> Iterator[Delivery]:
        """Walk through the messages in flight, in order."""
        return (written.delivery for written in self._in_flight.values())

    def first(self) -> Delivery | None:
        """Return the message that has been in flight for longest."""
        return next(iter(self), None)

    def _oldest(self) -> _Written | None:
        return next(iter(self._in_flight.values()), None)

    @property
    def hopeful(self) -> bool:
        """Whether the present connection may still confirm messages."""
        return self.link is not None and bool(self._in_flight) and not self.overdue

    def window(self) -> int:
        """Return how many more messages may be written now."""
        if not self.confirms:
            return sys.maxsize
        return self._suspects.window - len(self._in_flight)

    def add(self, deliveries: Sequence[Delivery], link: OpenLink) -> None:
        """Watch written messages until they are confirmed; the others are gone.

        Args:
            deliveries: The messages that were just handed to the connection, in order.
            link: The connection.
        """
        self._suspects.note_written(len(deliveries))
        when = self._loop.time()
        first = link.messages_written - len(deliveries) + 1
        awaited: list[Delivery] = []
        for mark, delivery in enumerate(deliveries, first):
            if delivery.awaited:
                self._in_flight[delivery.sequence] = _Written(delivery, mark, when)
                awaited.append(delivery)
                if delivery.transmissions == 1:
                    self.remember(delivery)
            else:
                self._places.move(delivery, Place.GONE)
        if awaited:
            self._places.move_all(awaited, Place.IN_FLIGHT)
            first_mark = self._in_flight[awaited[0].sequence].mark
            self._first_mark = self._first_mark or first_mark
            self._expect(when)

    def remember(self, delivery: Delivery) -> None:
        """Let a message that was written be acknowledged by its id."""
        if self.confirms and delivery.message_id is not None:
            self._named.setdefault(delivery.message_id, []).append(delivery)

    def remove(self, deliveries: Sequence[Delivery]) -> None:
        """Forget messages, in flight or not, that will not be confirmed any more."""
        if self._in_flight or self._named:
            for delivery in deliveries:
                self._in_flight.pop(delivery.sequence, None)
                self._forget_id(delivery)

    def _forget_id(self, delivery: Delivery) -> None:
        message_id = delivery.message_id
        if message_id is not None and delivery in self._named.get(message_id, ()):
            self._named[message_id].remove(delivery)
            if not self._named[message_id]:
                del self._named[message_id]

    # Answers.

    def find(self, message_id: str) -> list[Delivery]:
        """Return the messages that were written under an id."""
        return list(self._named.get(message_id, ()))

    def note_pong(self, mark: int) -> list[Delivery]:
        """Record a pong that covers ``mark`` messages; return those it confirms."""
        self._suspects.note_pong()
        if self._policy.confirm == "pong":
            written = takewhile(lambda one: one.mark <= mark, self._in_flight.values())
            return [one.delivery for one in written]
        self._read_mark = mark
        self._release_others()
        return []

    def note_confirmed(self, count: int) -> None:
        """Record how many messages were confirmed, once they are removed."""
        oldest = self._oldest()
        first = self._first_mark > 0 and (
            oldest is None or oldest.mark > self._first_mark
        )
        self._suspects.note_confirmed(count, len(self._in_flight), first=first)
        if self._reported:
            self._confirmed_at = self._loop.time()
            if self.overdue:
                self.overdue = False
                self._look_after(self._confirmed_at)

    def _release_others(self) -> None:
        """Let other messages go if the peer has read the head but not confirmed it."""
        link = self.link
        if link is not None and self.overdue and self._suspects.hold_up_others:
            if self._read_mark >= link.messages_written:
                self._suspects.release()
            else:
                self._send_barrier(link)

    # Barriers and overdue confirmations.

    def _expect(self, when: float) -> None:
        """Schedule the barrier and the deadline for messages written at ``when``."""
        if self._overdue_timer is None and not self.overdue:
            self._look_after(when)
        if self._policy.confirm == "pong" and self._barrier is None:
            wait = self._barrier_from - when
            if wait > 0:
                self._barrier = self._loop.call_later(wait, self.ask)
            else:
                self._barrier = self._loop.call_soon(self.ask)

    def ask(self) -> None:
        """Send a barrier now if it can confirm more than the last one."""
        if self._barrier is not None:
            self._barrier.cancel()
            self._barrier = None
        link = self.link
        if link is not None and self._policy.confirm == "pong" and self._in_flight:
            self._send_barrier(link)

    def _send_barrier(self, link: OpenLink) -> None:
        """Send a ping, unless the last barrier covers all messages."""
        if self._barrier_mark < link.messages_written and self._ping is not None:
            self._barrier_mark = link.messages_written
            self._barrier_from = self._loop.time() + self._policy.confirm_interval
            self._ping()

    def _look_after(self, since: float) -> None:
        due = since + self._policy.confirm_timeout
        self._overdue_timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        """Report an overdue confirmation, or look again when one may be overdue."""
        self._overdue_timer = None
        oldest = self._oldest()
        if oldest is None:
            return
        since = max(oldest.when, self._confirmed_at)
        after = self._loop.time() - since
        if after < self._policy.confirm_timeout - TIMER_RESOLUTION:
            self._look_after(since)
            return
        self.overdue = True
        if not self._reported:
            self._reported = True
            unconfirmed = len(self._in_flight)
            self._report(ConfirmationOverdue(after=after, unconfirmed=unconfirmed))
        if self._policy.confirm != "pong":
            self._release_others()
        self._proceed()
