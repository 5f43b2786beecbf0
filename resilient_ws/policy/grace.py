"""Extends a deadline for delays that are our own fault, within a bound.

Rules: all extensions together add at most the length of the deadline, because a loop
that is always late must not hide a dead link for ever. A sign of life moves the
deadline by itself, and then extensions may add their full length again.
"""

from __future__ import annotations

import math


class Grace:
    """The extensions of one deadline.

    Args:
        length: The most seconds that extensions add before the next sign of life.
    """

    __slots__ = ("_left", "_length", "_natural", "_until")

    def __init__(self, length: float) -> None:
        self._length = length
        self._left = length
        self._natural = -math.inf
        self._until = -math.inf

    def deadline(self, natural: float) -> float:
        """Return the deadline in force.

        Args:
            natural: The deadline without extensions, given by the last sign of life.
        """
        return max(natural, self._until)

    def put_off(self, natural: float, now: float, by: float) -> None:
        """Extend the deadline for a delay of ``by`` seconds that ends now."""
        if natural == math.inf:
            return  # there is no deadline
        if natural > self._natural:
            self._natural, self._left = natural, self._length
        part = min(by, self._left)
        self._left -= part
        # Count from now if the deadline has passed: nothing could be read until now,
        # and a pong may still arrive.
        self._until = max(self.deadline(natural), now) + part

    def renew(self, now: float) -> None:
        """Start the full time again, from now on."""
        self._until = now + self._length
