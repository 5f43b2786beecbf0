"""Putting off a deadline for what is our own fault, and not for ever."""

from __future__ import annotations

import math


class Grace:
    """Puts a deadline off for delays of our own, at most once its length in all.

    The bound matters: a loop that is always late must not hide a dead link for ever.
    It is renewed when the deadline moves by itself, that is by a sign of life.
    """

    __slots__ = ("_left", "_length", "_natural", "_until")

    def __init__(self, length: float) -> None:
        self._length = length
        self._left = length
        self._natural = -math.inf
        self._until = -math.inf

    def deadline(self, natural: float) -> float:
        """The deadline that holds, where ``natural`` would be without us."""
        return max(natural, self._until)

    def put_off(self, natural: float, now: float, by: float) -> None:
        """Move the deadline for a delay of ``by`` seconds that ends now."""
        if natural == math.inf:
            return  # there is no deadline
        if natural > self._natural:
            self._natural, self._left = natural, self._length
        part = min(by, self._left)
        self._left -= part
        # From now on if it is overdue: the time in which nothing could be read ended
        # now, and a pong may still be under way.
        self._until = max(self.deadline(natural), now) + part

    def renew(self, now: float) -> None:
        """Give the full time again, from now on."""
        self._until = now + self._length
