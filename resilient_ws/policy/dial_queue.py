"""Whose turn it is to dial, for sessions that share a ``ConnectLimiter``.

Rules: attempts are admitted first come, first served. A dial counts from its admission
until ``per`` seconds after its *end*. Its packets reach the server at an unknown moment
in between, so that only this count ensures that the server, too, never sees more than
``rate`` dials in any ``per`` seconds. An attempt that was admitted and did not dial
does not count. A redirect is another dial of the same attempt, which keeps its slot and
goes before the line: behind it, it might wait for the very slot that it holds.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar


if TYPE_CHECKING:
    from collections.abc import Hashable

#: Seconds that a dial counts beyond ``per``: timers may fire early by the resolution of
#: the clock, and the last moment of a window belongs to it.
MARGIN: Final = 0.001

T = TypeVar("T", bound="Hashable")


class DialQueue(Generic[T]):
    """The attempts that wait to dial, and the dials that count.

    An attempt joins, is admitted, dials, perhaps more than once, and leaves. The owner
    asks ``admit`` after every change, and again at ``due()``.

    Args:
        rate: How many dials any window may hold.
        per: The length of the window, in seconds.
        concurrency: How many attempts may be under way at once; ``None`` for any.
    """

    __slots__ = (
        "_again",
        "_concurrency",
        "_dialling",
        "_ended",
        "_line",
        "_per",
        "_rate",
    )

    def __init__(self, *, rate: int, per: float, concurrency: int | None) -> None:
        self._rate: Final = rate
        self._per: Final = per
        self._concurrency: Final = math.inf if concurrency is None else concurrency
        # Dictionaries, because they keep the order and allow leaving from the middle.
        self._line: dict[T, None] = {}
        #: The attempts under way that wait for another dial.
        self._again: dict[T, None] = {}
        #: The attempts under way whose dial has not ended.
        self._dialling: set[T] = set()
        #: When the dials ended that still count, the oldest first.
        self._ended: deque[float] = deque()

    @property
    def waiting(self) -> int:
        """How many attempts wait to be admitted."""
        return len(self._line) + len(self._again)

    @property
    def under_way(self) -> int:
        """How many attempts have been admitted and have not left."""
        return len(self._dialling) + len(self._again)

    def join(self, attempt: T) -> None:
        """Put an attempt at the end of the line."""
        self._line[attempt] = None

    def dial_again(self, attempt: T, now: float) -> None:
        """End the dial of an attempt, and let the attempt wait for another one."""
        self._dialling.remove(attempt)
        self._again[attempt] = None
        self._ended.append(now)

    def leave(self, attempt: T, now: float, *, dialled: bool) -> None:
        """Remove an attempt, wherever it is.

        Args:
            attempt: The attempt.
            now: The time.
            dialled: Whether it has dialled since it was last admitted.
        """
        self._line.pop(attempt, None)
        self._again.pop(attempt, None)
        if attempt in self._dialling:
            self._dialling.remove(attempt)
            if dialled:
                self._ended.append(now)

    def admit(self, now: float) -> T | None:
        """Admit the next attempt and return it; ``None`` if none may dial now."""
        while self._ended and now >= self._ended[0] + self._per + MARGIN:
            self._ended.popleft()
        line = self._next_line()
        if line is None or not self._rate_allows():
            return None
        attempt = next(iter(line))
        del line[attempt]
        self._dialling.add(attempt)
        return attempt

    def due(self) -> float | None:
        """Return when to ask ``admit`` again; ``None`` if time changes nothing."""
        if self._next_line() is None or self._rate_allows() or not self._ended:
            return None
        return self._ended[0] + self._per + MARGIN

    def _next_line(self) -> dict[T, None] | None:
        """Return the attempts of which the first is next, if the rate allows it."""
        if self._again:
            return self._again
        if self._line and self.under_way < self._concurrency:
            return self._line
        return None

    def _rate_allows(self) -> bool:
        return len(self._dialling) + len(self._ended) < self._rate
