"""Which of several URLs to dial next.

Rules: each failed attempt moves on to the next member. A member with a final verdict
leaves the round; one with a fatal verdict that is not final yet rests, and is skipped
until its rest is over. The policy's wait and the members' floors apply once per round,
because one server's "later" says nothing about its neighbour. A round belongs to one
outage: the next outage makes a new one, which starts at the first member.
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
    """The member to dial next, and whether a round is complete.

    Attributes:
        member: The member to dial next.
        wraps: Whether the round is over, so that the policy's wait is due, with
            ``floor``. Otherwise a ``member_gap`` is enough.
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
        # The members that rest: until when, and what asked for it.
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
        """Move on from the current member; return ``None`` when no member is left.

        Args:
            fatal: Whether the member leaves the round for this outage.
            floor: The seconds that the member asked us to stay away.
            source: What raised the floor.
            rests: Whether the floor delays this member only, and not the round.
            now: The time, on the caller's clock.
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
        """Start the next round, at the first member that does not rest."""
        floor, source = self._floor, self._source
        self._position, self._floor, self._source = 0, 0.0, "wait"
        self._pass_over_resting(now)
        if self._position == len(self._members):
            # All members rest: take the one whose rest ends first.
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
