"""Where messages wait when nothing needs to survive the process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs


if TYPE_CHECKING:
    from collections.abc import Iterator

    from resilient_ws.outbox.delivery import Delivery


@attrs.frozen
class MemoryStore:
    """Keep the outbox in memory: the fastest, and gone with the process."""

    def open(self) -> MemoryLine:
        """Return an empty line for one session."""
        return MemoryLine()


class MemoryLine:
    """Deliveries in the order of their sequence numbers, and their payload bytes."""

    __slots__ = ("_line", "size")

    def __init__(self) -> None:
        self._line: deque[Delivery] = deque()
        self.size = 0

    def __len__(self) -> int:
        """Count the messages that wait."""
        return len(self._line)

    def __iter__(self) -> Iterator[Delivery]:
        """Walk from the oldest to the newest."""
        return iter(self._line)

    def append(self, delivery: Delivery) -> None:
        """Put the newest message at the end."""
        self._line.append(delivery)
        self.size += delivery.size

    def popleft(self) -> Delivery:
        """Take the oldest message away."""
        delivery = self._line.popleft()
        self.size -= delivery.size
        return delivery

    def remove(self, lost: set[Delivery]) -> None:
        """Take messages away from wherever they stand."""
        self._line = deque(d for d in self._line if d not in lost)
        self.size -= sum(d.size for d in lost)
