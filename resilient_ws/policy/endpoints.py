"""Which of several URLs is next.

Rules: each failed attempt moves on to the next member; a member with a fatal verdict
leaves, and one whose fatal verdict has yet to stand rests, and is passed over
meanwhile; the policy's wait is taken once per round, and so are the floors that members
asked for, because one server's "later" says nothing about its neighbour. A round
belongs to one outage: the next outage makes a new one, and starts at the first again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from resilient_ws.events import RetrySource


if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


T = TypeVar("T", bound="Hashable")


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

    __slots__ = ("_floor", "_members", "_position", "_resting", "_source")

    def __init__(self, members: Sequence[T]) -> None:
        if not members:
            raise ValueError(
                "url must name at least one endpoint, not an empty sequence."
            )
        self._members = list(members)
        self._position = 0
        self._floor = 0.0
        self._source: RetrySource = "wait"
        # Who rests: until when, and what said so.
        self._resting: dict[T, tuple[float, RetrySource]] = {}

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
        rests: bool = False,
        now: float = 0.0,
    ) -> Turn[T] | None:
        """Move on from the current member; ``None`` when nobody is left.

        Args:
            fatal: Whether it leaves the round for this outage.
            floor: The seconds it asked us to stay away.
            source: Where that floor came from.
            rests: Whether that concerns nobody else: the others go on without it.
            now: The time, on the caller's clock, for those who rest.
        """
        failed = self.current
        self._resting.pop(failed, None)
        if fatal:
            del self._members[self._position]
            if not self._members:
                return None
        else:
            self._position += 1
            if rests:
                self._resting[failed] = (now + floor, source)
            elif floor > self._floor:
                self._floor, self._source = floor, source
        self._pass_over_resting(now)
        if self._position < len(self._members):
            return Turn(member=self.current, wraps=False)
        return self._wrap(now)

    def _wrap(self, now: float) -> Turn[T]:
        """Begin again, with the first who does not rest."""
        floor, source = self._floor, self._source
        self._position, self._floor, self._source = 0, 0.0, "wait"
        self._pass_over_resting(now)
        if self._position == len(self._members):
            # All of them rest: whoever is ready first.
            first = min(self._members, key=lambda member: self._resting[member][0])
            self._position = self._members.index(first)
            until, why = self._resting[first]
            if until - now > floor:
                floor, source = until - now, why
        return Turn(member=self.current, wraps=True, floor=floor, source=source)

    def _pass_over_resting(self, now: float) -> None:
        while self._position < len(self._members):
            until, _ = self._resting.get(self.current, (now, ""))
            if until <= now:
                return
            self._position += 1
