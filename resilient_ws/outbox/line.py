"""The messages that wait, in their order.

Rules: the order is that of the sequence numbers; what was taken from the head goes
back to its old place. A message that leaves from within is only marked, and passed over
when its turn comes, so that leaving costs the same wherever it stands.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from resilient_ws.outbox.delivery import Delivery


#: What a message costs besides its bytes, in bytes: small ones cost by their number.
MESSAGE_COST: Final = 64
#: What waits where nothing ever had to: an empty deque for each would be 760 bytes.
_NOTHING: Final[deque[Delivery]] = deque(maxlen=0)


class Line:
    """Deliveries in the order of their sequence numbers, and their payload bytes."""

    __slots__ = ("_line", "_newest", "count", "size")

    def __init__(self) -> None:
        # May hold messages that have left: ``in_line`` tells.
        self._line: deque[Delivery] = _NOTHING
        # The highest sequence number that was ever appended.
        self._newest = 0
        #: The messages that wait, and their payload bytes.
        self.count = 0
        self.size = 0

    def __bool__(self) -> bool:
        """Whether any message waits."""
        return self.count > 0

    def __iter__(self) -> Iterator[Delivery]:
        """Walk from the oldest to the newest."""
        return (delivery for delivery in self._line if delivery.in_line)

    def append(self, delivery: Delivery) -> None:
        """Give a message its place: at the end, but for a sender that woke late."""
        if self._line is _NOTHING:
            self._line = deque()
        if delivery.sequence > self._newest:
            self._newest = delivery.sequence
            self._line.append(delivery)
        else:
            self._insert(delivery)
        delivery.in_line = True
        self.count += 1
        self.size += delivery.size

    def _insert(self, delivery: Delivery) -> None:
        line = self._line
        later: list[Delivery] = []
        while line and line[-1].sequence > delivery.sequence:
            later.append(line.pop())
        line.append(delivery)
        line.extend(reversed(later))

    def take(self, weight: int, most: int) -> tuple[list[Delivery], int]:
        """Take the oldest messages away, as many as reach ``weight``, or ``most``.

        Returns:
            The messages, and what they weigh.
        """
        line, size = self._line, 0
        taken: list[Delivery] = []
        while line and size < weight and len(taken) < most:
            delivery = line.popleft()
            if delivery.in_line:
                delivery.in_line = False
                size += delivery.size + MESSAGE_COST
                taken.append(delivery)
        self.count -= len(taken)
        self.size -= size - MESSAGE_COST * len(taken)
        return taken, size

    def put_back(self, deliveries: Iterable[Delivery]) -> None:
        """Put messages that were taken from the head back to their old places."""
        returned = sorted(deliveries, key=_sequence)
        if not returned:
            return
        newest = returned[-1].sequence
        while self._line and self._line[0].sequence < newest:
            older = self._line.popleft()
            if older.in_line:
                self._leave(older)
                returned.append(older)
        returned.sort(key=_sequence, reverse=True)
        if self._line is _NOTHING:
            self._line = deque()
        self._line.extendleft(returned)
        for delivery in returned:
            delivery.in_line = True
            self.count += 1
            self.size += delivery.size

    def remove(self, delivery: Delivery) -> None:
        """Let a message leave, wherever it stands."""
        self._leave(delivery)
        if len(self._line) > 2 * self.count + 64:
            self._line = deque(self)

    def _leave(self, delivery: Delivery) -> None:
        delivery.in_line = False
        self.count -= 1
        self.size -= delivery.size


def _sequence(delivery: Delivery) -> int:
    return delivery.sequence
