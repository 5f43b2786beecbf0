"""The messages that wait to be written: their order, and when they expire.

Rules: messages are in the order of their sequence numbers, and a message that was taken
from the head returns to where it stood. A message that leaves from the middle stays in
the deque until its turn comes, and is skipped then, because its place is no longer
``WAITING``. One timer serves all messages. The clock may be the wall clock, which can
jump, so the timer reads it at least every ``LONGEST_WAIT``, and the writer checks each
message's age again before writing it.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from resilient_ws.outbox.delivery import Place
from resilient_ws.outbox.places import place_of
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Sequence

    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.places import Places
    from resilient_ws.outbox.settlement import Settlement


#: Bytes that a message counts for in a write besides its payload, so that small
#: messages are limited by their number.
MESSAGE_COST: Final = 64
#: Seconds until the timer reads the clock again, at the latest.
LONGEST_WAIT: Final = 60.0
#: Messages that expire within this many seconds of the timer expire with it.
RESOLUTION: Final = 0.001
#: The deque and the heap may hold twice as many entries as messages that wait, and this
#: many more, before the entries of messages that have left are removed.
SPARE_ENTRIES: Final = 64

#: When a message expires, its number, and the message.
_Deadline: TypeAlias = "tuple[float, int, Delivery]"

_WAITING: Final = Place.WAITING
#: Shared by every outbox in which no message ever had to wait: an empty deque of its
#: own would cost 760 bytes a session.
_EMPTY: Final[deque[Delivery]] = deque(maxlen=0)
#: Shared by every outbox in which no message can expire.
_NO_DEADLINES: Final[list[_Deadline]] = []


class Backlog:
    """Deliveries in the order of their sequence numbers.

    Args:
        places: The places of the messages.
        settlement: Settles the messages whose ttl has passed.
        loop: The session's loop.
        clock: Tells the time by which messages expire.
        progressed: Called when messages have expired.
    """

    __slots__ = (
        "_clock",
        "_deadlines",
        "_line",
        "_loop",
        "_places",
        "_progressed",
        "_settlement",
        "_timer",
    )

    def __init__(
        self,
        places: Places,
        settlement: Settlement,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        progressed: Callable[[], None],
    ) -> None:
        self._places = places
        self._settlement = settlement
        self._loop = loop
        self._clock = clock
        self._progressed = progressed
        # May hold messages that have left.
        self._line: deque[Delivery] = _EMPTY
        # A heap.
        self._deadlines: list[_Deadline] = _NO_DEADLINES
        self._timer: asyncio.TimerHandle | None = None

    # Order.

    def __iter__(self) -> Iterator[Delivery]:
        """Walk from the oldest to the newest."""
        return (d for d in self._line if place_of(d) is _WAITING)

    def first(self) -> Delivery | None:
        """Return the oldest message, ``None`` if none waits."""
        line = self._line
        while line and place_of(line[0]) is not _WAITING:
            line.popleft()
        return line[0] if line else None

    def append(self, delivery: Delivery) -> int:
        """Add the newest message; return what all messages weigh in a write."""
        if self._line is _EMPTY:
            self._line = deque()
        self._line.append(delivery)
        self._places.move(delivery, _WAITING)
        if delivery.expires_at is not None:
            self._watch(delivery, delivery.expires_at)
        waiting = self._places.waiting
        return waiting.size + MESSAGE_COST * waiting.messages

    def insert(self, delivery: Delivery) -> int:
        """Add a message that newer ones may have overtaken while it was saved."""
        newer: list[Delivery] = []
        while self._line and self._line[-1].sequence > delivery.sequence:
            newer.append(self._line.pop())
        weight = self.append(delivery)
        self._line.extend(reversed(newer))
        return weight

    def take(self, weight: int, most: int) -> tuple[list[Delivery], int]:
        """Take the oldest messages off, as many as reach ``weight``, or ``most``.

        Returns:
            The messages, which the caller moves to their next place, and their weight.
        """
        line, waiting = self._line, self._places.waiting
        size = waiting.size + MESSAGE_COST * waiting.messages
        if size <= weight and len(line) == waiting.messages <= most:
            # Usually everything leaves, and a copy takes a tenth of the time.
            everything = list(line)
            line.clear()
            return everything, size
        taken: list[Delivery] = []
        size = 0
        while line and size < weight and len(taken) < most:
            delivery = line.popleft()
            if delivery._place is _WAITING:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                size += delivery.size + MESSAGE_COST
                taken.append(delivery)
        return taken, size

    def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Return messages that were taken from the head to where they stood."""
        if deliveries:
            head = list(deliveries)
            newest = max(delivery.sequence for delivery in deliveries)
            while self._line and self._line[0].sequence < newest:
                head.append(self._line.popleft())
            head.sort(key=_sequence, reverse=True)
            if self._line is _EMPTY:
                self._line = deque()
            self._line.extendleft(head)
            self._places.move_all(deliveries, _WAITING)
            for delivery in deliveries:
                if delivery.expires_at is not None:
                    self._watch(delivery, delivery.expires_at)
        self._prune()

    def _prune(self) -> None:
        """Forget the messages that have left, once they are many."""
        waiting = self._places.waiting.messages
        if len(self._line) > 2 * waiting + SPARE_ENTRIES:
            self._line = deque(self)
        if len(self._deadlines) > 2 * waiting + SPARE_ENTRIES:
            self._deadlines = [d for d in self._deadlines if place_of(d[2]) is _WAITING]
            heapq.heapify(self._deadlines)

    # Expiry.

    def is_stale(self, delivery: Delivery) -> bool:
        """Whether the ttl of a message has passed."""
        expires_at = delivery.expires_at
        return expires_at is not None and expires_at <= self._clock()

    def stale(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Return the messages, taken from here, whose ttl has passed."""
        return [d for d in deliveries if self.is_stale(d)] if self._deadlines else []

    def _watch(self, delivery: Delivery, expires_at: float) -> None:
        """Have a message expire at a time, if it still waits then."""
        if self._deadlines is _NO_DEADLINES:
            self._deadlines = []
        self._prune()
        heapq.heappush(self._deadlines, (expires_at, delivery.sequence, delivery))
        if self._deadlines[0][2] is delivery:
            self._set_timer()

    def stop(self) -> None:
        """Stop the timer; no message expires any more."""
        self._deadlines.clear()
        self._set_timer()

    def _set_timer(self) -> None:
        """Set the timer for the next message that expires, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._deadlines:
            wait = min(self._deadlines[0][0] - self._clock(), LONGEST_WAIT)
            self._timer = self._loop.call_later(wait, self._ring)

    def _ring(self) -> None:
        """Expire the messages whose ttl has passed, and set the timer again."""
        now = self._clock() + RESOLUTION
        stale: dict[int, Delivery] = {}
        while self._deadlines and self._deadlines[0][0] <= now:
            _, sequence, delivery = heapq.heappop(self._deadlines)
            if place_of(delivery) is _WAITING:
                stale[sequence] = delivery
        self._set_timer()
        if stale:
            expired = [stale[sequence] for sequence in sorted(stale)]
            self._settlement.lose(expired, DeliveryState.EXPIRED)
            self._prune()
            self._progressed()


def _sequence(delivery: Delivery) -> int:
    return delivery.sequence
