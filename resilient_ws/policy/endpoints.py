"""Which of several URLs is next.

Rules: each failed attempt moves on to the next member; a member with a fatal verdict
leaves; the policy's wait is taken once per round, and so are the floors that members
asked for, because one server's "later" says nothing about its neighbour. A round
belongs to one outage: the next outage makes a new one, and starts at the first again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from resilient_ws.events import RetrySource


if TYPE_CHECKING:
    from collections.abc import Sequence


T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Turn(Generic[T]):
    """Who is dialled next, and whether a round is complete.

    Attributes:
        member: The next one.
        wraps: Whether a round is over: the policy's wait is due, with ``floor``.
            Otherwise a ``member_gap`` is enough.
        floor: Seconds to add to the wait; 0 within a round.
        source: What raised the floor.
    """

    member: T
    wraps: bool
    floor: float = 0.0
    source: RetrySource = "wait"


class Round(Generic[T]):
    """The members of a session's endpoint, in the order of one outage.

    Args:
        members: At least one, in the order of preference.
    """

    __slots__ = ("_floor", "_members", "_position", "_source")

    def __init__(self, members: Sequence[T]) -> None:
        if not members:
            raise ValueError(
                "url must name at least one endpoint, not an empty sequence."
            )
        self._members = list(members)
        self._position = 0
        self._floor = 0.0
        self._source: RetrySource = "wait"

    @property
    def current(self) -> T:
        """The member to dial."""
        return self._members[self._position]

    @property
    def size(self) -> int:
        """How many members are left."""
        return len(self._members)

    def failed(
        self,
        *,
        fatal: bool = False,
        floor: float = 0.0,
        source: RetrySource = "floor",
    ) -> Turn[T] | None:
        """Move on from the current member; ``None`` when nobody is left.

        Args:
            fatal: Whether it leaves the round for this outage.
            floor: The seconds it asked us to stay away.
            source: Where that floor came from.
        """
        if fatal:
            del self._members[self._position]
            if not self._members:
                return None
        else:
            self._position += 1
            if floor > self._floor:
                self._floor, self._source = floor, source
        if self._position < len(self._members):
            return Turn(member=self.current, wraps=False)
        turn = Turn(
            member=self._members[0],
            wraps=True,
            floor=self._floor,
            source=self._source,
        )
        self._position, self._floor, self._source = 0, 0.0, "wait"
        return turn
