"""Who may dial next: first come, first served, at a rate, and so many at once.

Rules: a dial counts from the moment it is admitted until ``per`` seconds after its
*end*. Its packets reach the server at a moment in between that nobody here knows, and
counted so, the server as well never sees more than ``rate`` in any window of ``per``
seconds, however they were held up on the way. What was admitted and did not dial does
not count. A redirect is another dial of the same attempt: it keeps its slot and goes
before those in line, or it could wait behind one that waits for that very slot.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar


if TYPE_CHECKING:
    from collections.abc import Hashable

#: Seconds that are kept beyond ``per``: timers may fire early by the grain of the
#: clock, and the last moment of a window belongs to it.
MARGIN: Final = 0.001

T = TypeVar("T", bound="Hashable")


class Admission(Generic[T]):
    """The line before the door, and what has gone through it lately.

    An attempt joins, is admitted, dials, perhaps again, and leaves. It is told the
    time, and says when it wants to be asked again.

    Args:
        rate: How many dials any window may hold.
        per: The length of the window, in seconds.
        concurrency: How many attempts may be under way at once; ``None`` for any.
    """

    __slots__ = (
        "_again",
        "_concurrency",
        "_counted",
        "_line",
        "_per",
        "_rate",
        "_running",
    )

    def __init__(self, *, rate: int, per: float, concurrency: int | None) -> None:
        self._rate: Final = rate
        self._per: Final = per
        self._concurrency: Final = math.inf if concurrency is None else concurrency
        # Dictionaries for their order and for leaving from the middle.
        self._line: dict[T, None] = {}
        #: Under way, and waiting for another dial.
        self._again: dict[T, None] = {}
        #: Under way, with a dial that is counted and has not ended.
        self._running: set[T] = set()
        #: When the dials ended that still count, the oldest first.
        self._counted: deque[float] = deque()

    @property
    def waiting(self) -> int:
        """How many wait to be admitted."""
        return len(self._line) + len(self._again)

    @property
    def under_way(self) -> int:
        """How many have been admitted and have not left."""
        return len(self._running) + len(self._again)

    def join(self, attempt: T) -> None:
        """Put an attempt at the end of the line."""
        self._line[attempt] = None

    def dial_again(self, attempt: T, now: float) -> None:
        """End the dial of an attempt, and have it wait for another one."""
        self._running.remove(attempt)
        self._again[attempt] = None
        self._count(now)

    def leave(self, attempt: T, now: float, *, dialled: bool) -> None:
        """Take an attempt out, wherever it stands.

        Args:
            attempt: Which.
            now: The time.
            dialled: Whether it dialled since it was admitted last.
        """
        self._line.pop(attempt, None)
        self._again.pop(attempt, None)
        if attempt in self._running:
            self._running.remove(attempt)
            if dialled:
                self._count(now)

    def admit(self, now: float) -> T | None:
        """Admit the next one and return it; ``None`` when nobody may dial now."""
        while self._counted and now >= self._counted[0] + self._per + MARGIN:
            self._counted.popleft()
        door = self._door()
        if door is None or not self._may_count():
            return None
        attempt = next(iter(door))
        del door[attempt]
        self._running.add(attempt)
        return attempt

    def due(self) -> float | None:
        """When to ask ``admit`` again; ``None`` if time alone changes nothing."""
        if self._door() is None or self._may_count() or not self._counted:
            return None
        return self._counted[0] + self._per + MARGIN

    def _door(self) -> dict[T, None] | None:
        """Return those who come next, if the rate allows it."""
        if self._again:
            return self._again
        if self._line and self.under_way < self._concurrency:
            return self._line
        return None

    def _may_count(self) -> bool:
        return len(self._running) + len(self._counted) < self._rate

    def _count(self, now: float) -> None:
        self._counted.append(now)
