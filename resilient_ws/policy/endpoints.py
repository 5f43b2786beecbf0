"""Which of several URLs to dial next.

Rules: each failed attempt moves on to the next member. A member with a final verdict
leaves the round; one with a fatal verdict that is not final yet rests, and is skipped
until its rest is over. The policy's wait, and what the members add to it, is due once
per round, because one server's "later" says nothing about its neighbour. A round
belongs to one outage: the next outage makes a new one, which starts at the first
member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from resilient_ws.policy.retry_delay import NO_EXTRA, RetryDelay


if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from resilient_ws.events import RetrySource


T = TypeVar("T", bound="Hashable")


class Round(Generic[T]):
    """The members of a session's endpoint, in the order of one outage.

    ``move_on``, ``rest`` and ``drop`` each leave the current member for the next. They
    return ``None`` within a round, where a short gap is enough before the next dial.
    When they complete a round, the policy's wait is due, and they return the longest
    extra delay of the round, to be added to that wait.

    Args:
        members: At least one, in the order of preference.
    """

    __slots__ = ("_extra", "_members", "_position", "_resting")

    def __init__(self, members: Sequence[T]) -> None:
        if not members:
            raise ValueError(
                "url must name at least one endpoint, not an empty sequence."
            )
        self._members = list(members)
        self._position = 0
        # The longest extra delay that a member of this round has asked for.
        self._extra = NO_EXTRA
        # The members that rest: until when, and what asked for it.
        self._resting: dict[T, tuple[float, RetrySource]] = {}

    def __len__(self) -> int:
        """Return how many members are left."""
        return len(self._members)

    @property
    def current(self) -> T:
        """The member to dial."""
        return self._members[self._position]

    def move_on(self, extra: RetryDelay = NO_EXTRA, *, now: float) -> RetryDelay | None:
        """Leave the current member, which failed.

        Args:
            extra: What the member adds to the policy's wait.
            now: The time, on the caller's clock.
        """
        self._resting.pop(self.current, None)
        if extra.seconds > self._extra.seconds:
            self._extra = extra
        self._position += 1
        return self._find_next(now)

    def rest(self, delay: RetryDelay, *, now: float) -> RetryDelay | None:
        """Leave the current member, and skip it until ``delay`` has passed."""
        self._resting[self.current] = now + delay.seconds, delay.source
        self._position += 1
        return self._find_next(now)

    def drop(self, *, now: float) -> RetryDelay | None:
        """Remove the current member for the rest of the outage."""
        self._resting.pop(self.current, None)
        del self._members[self._position]
        return self._find_next(now) if self._members else None

    def _find_next(self, now: float) -> RetryDelay | None:
        """Go to the next member that does not rest, in the next round if need be."""
        self._pass_over_resting(now)
        if self._position < len(self._members):
            return None
        extra, self._extra = self._extra, NO_EXTRA
        self._position = 0
        self._pass_over_resting(now)
        if self._position < len(self._members):
            return extra
        return self._wait_for_a_rest(extra, now)

    def _wait_for_a_rest(self, extra: RetryDelay, now: float) -> RetryDelay:
        """Choose the member whose rest ends first, because all of them rest."""
        first = min(self._members, key=lambda member: self._resting[member][0])
        self._position = self._members.index(first)
        until, source = self._resting[first]
        left = until - now
        return RetryDelay(left, source) if left > extra.seconds else extra

    def _pass_over_resting(self, now: float) -> None:
        while self._position < len(self._members):
            until, _ = self._resting.get(self.current, (now, ""))
            if until <= now:
                return
            self._position += 1
