"""What fits into the outbox: its bounds, and what takes room in it."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.line import Line
    from resilient_ws.outbox.policy import Outbox


class Room:
    """The bounds of an outbox."""

    __slots__ = ("_held", "_held_size", "_line", "_policy")

    def __init__(self, policy: Outbox, line: Line) -> None:
        self._policy = policy
        self._line = line
        # Messages that take room and do not stand in the line.
        self._held = 0
        self._held_size = 0

    @property
    def messages(self) -> int:
        """How many messages take room."""
        return self._line.count + self._held

    @property
    def size(self) -> int:
        """Their payload bytes."""
        return self._line.size + self._held_size

    def fits(self, size: int) -> bool:
        """Whether one more message of this size is within the bounds."""
        policy, line = self._policy, self._line
        return (
            line.count + self._held < policy.max_messages
            and line.size + self._held_size + size <= policy.max_bytes
        )

    def hold(self, deliveries: Iterable[Delivery]) -> None:
        """Count messages that are not in the line."""
        for delivery in deliveries:
            self._held += 1
            self._held_size += delivery.size

    def release(self, deliveries: Iterable[Delivery]) -> None:
        """Count them no longer."""
        for delivery in deliveries:
            self._held -= 1
            self._held_size -= delivery.size
