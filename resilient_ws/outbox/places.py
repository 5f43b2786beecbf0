"""Where the outbox holds each message, and how much it holds in each place.

Rules: a message moves only as ``MOVES`` allows, and only this module moves it. The
counts follow each move, and everything else reads them: how much room is taken, whether
messages wait, how many are unconfirmed. A message that is ``GONE`` never comes back.
The one shortcut is ``Settlement.mark_written_at_once``.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from resilient_ws.outbox.delivery import MOVES, Place


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.policy import Outbox


#: Return the place of a delivery. The attribute is private, because it means nothing to
#: users.
place_of: Final[Callable[[Delivery], Place]] = attrgetter("_place")

# Every message comes here, and looking up an enum member costs ten times as much.
_NEW: Final = Place.NEW
_GONE: Final = Place.GONE


class Load:
    """How many messages are in one place, and their payload bytes."""

    __slots__ = ("messages", "size")

    def __init__(self) -> None:
        self.messages = 0
        self.size = 0


class Places:
    """Moves the messages of one outbox, and counts them in each place.

    Args:
        policy: The settings of the outbox.
    """

    __slots__ = ("_loads", "_policy", "claimed", "in_flight", "saving", "waiting")

    def __init__(self, policy: Outbox) -> None:
        self._policy = policy
        self.saving = Load()
        self.waiting = Load()
        self.claimed = Load()
        self.in_flight = Load()
        self._loads = (self.saving, self.waiting, self.claimed, self.in_flight)

    # Moving.

    def move(self, delivery: Delivery, place: Place) -> None:
        """Move a message to another place."""
        origin = delivery._place  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if place not in MOVES[origin]:
            raise _illegal(origin, place)
        delivery._place = place  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if origin is not _NEW:
            left = self._loads[origin.index]
            left.messages -= 1
            left.size -= delivery.size
        if place is not _GONE:
            entered = self._loads[place.index]
            entered.messages += 1
            entered.size += delivery.size

    def move_all(self, deliveries: Sequence[Delivery], place: Place) -> None:
        """Move messages together from the place that they share to another.

        For a batch, this is twice as fast as moving one message after the other.
        """
        if not deliveries:
            return
        origin: Place = place_of(deliveries[0])
        if place not in MOVES[origin]:
            raise _illegal(origin, place)
        count, size = len(deliveries), 0
        for delivery in deliveries:
            if delivery._place is not origin:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                raise _illegal(place_of(delivery), place)
            delivery._place = place  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            size += delivery.size
        if origin is not _NEW:
            left = self._loads[origin.index]
            left.messages -= count
            left.size -= size
        if place is not _GONE:
            entered = self._loads[place.index]
            entered.messages += count
            entered.size += size

    # Room.

    @property
    def keeps_written(self) -> bool:
        """Whether written messages take room, because they may be written again."""
        return self._policy.resend

    def room_taken(self) -> tuple[int, int]:
        """Return how many messages take room, and how many payload bytes."""
        saving, waiting, claimed = self.saving, self.waiting, self.claimed
        messages = saving.messages + waiting.messages + claimed.messages
        size = saving.size + waiting.size + claimed.size
        if self._policy.resend:
            messages += self.in_flight.messages
            size += self.in_flight.size
        return messages, size

    def fits(self, size: int) -> bool:
        """Whether there is room for one more message of this size."""
        messages, taken = self.room_taken()
        policy = self._policy
        return messages < policy.max_messages and taken + size <= policy.max_bytes


def _illegal(origin: Place, place: Place) -> AssertionError:
    return AssertionError(f"a message cannot move from {origin.name} to {place.name}")
