"""What was written and is not confirmed yet.

Rules: confirmation is always that of one connection's stream (a pong has passed the
mark that a message was written at) or of a name (the application acknowledged an id).
A pong of an earlier connection finds nothing here; an acknowledgement may also find a
message that was written before and waits to be written again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from resilient_ws.outbox.delivery import Delivery


if TYPE_CHECKING:
    from collections.abc import Sequence


@attrs.frozen
class _Written:
    """A message on its way.

    Attributes:
        mark: How many messages its connection had been handed, it included.
        when: When that was, on the clock of the loop.
    """

    delivery: Delivery
    mark: int
    when: float


class Flight:
    """Messages written to the present connection and not confirmed, in order."""

    __slots__ = ("_flight", "_named")

    def __init__(self) -> None:
        self._flight: dict[int, _Written] = {}
        #: Messages that were ever written, by their id.
        self._named: dict[str, list[Delivery]] = {}

    def __len__(self) -> int:
        """Count the messages on their way."""
        return len(self._flight)

    def deliveries(self) -> list[Delivery]:
        """Return the messages on their way, in order."""
        return [written.delivery for written in self._flight.values()]

    def first(self) -> Delivery | None:
        """Return the message that is longest on its way."""
        return next((w.delivery for w in self._flight.values()), None)

    @property
    def since(self) -> float | None:
        """When the message that is longest on its way was written."""
        return next((written.when for written in self._flight.values()), None)

    def add(self, delivery: Delivery, *, mark: int, when: float) -> None:
        """Take note that a message was written."""
        self._flight[delivery.sequence] = _Written(delivery, mark, when)
        if delivery.transmissions == 1:
            self.name(delivery)

    def name(self, delivery: Delivery) -> None:
        """Let a message be found by its id: it was written at least once."""
        if delivery.message_id is not None:
            self._named.setdefault(delivery.message_id, []).append(delivery)

    def passed(self, mark: int) -> list[Delivery]:
        """Return those that the peer has passed."""
        arrived: list[Delivery] = []
        for written in self._flight.values():
            if written.mark > mark:
                break
            arrived.append(written.delivery)
        return arrived

    def named(self, message_id: str) -> list[Delivery]:
        """Return those that were written under an id."""
        return list(self._named.get(message_id, ()))

    def remove(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Let messages go whose fate is known; return those that were on their way."""
        if not self._flight and not self._named:
            return []
        landed: list[Delivery] = []
        for delivery in deliveries:
            if self._flight.pop(delivery.sequence, None) is not None:
                landed.append(delivery)
            same = self._named.get(delivery.message_id or "", [])
            if delivery in same:
                same.remove(delivery)
                if not same:
                    del self._named[delivery.message_id or ""]
        return landed

    def land(self) -> list[Delivery]:
        """Return all of them, in order: their connection has ended."""
        landed = self.deliveries()
        self._flight.clear()
        return landed
