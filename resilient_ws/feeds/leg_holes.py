"""Which holes of one leg are holes of all: what ``merge`` knows of its legs.

Rules: a hole of a leg lies between the item before it and the item behind it. Another
leg covers it where it brought both, and nothing was missing in between. While that may
still turn out, the hole waits: for a bounded time, and a bounded number of them. A hole
that is still in doubt then is told.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from resilient_ws.feeds.source import Gap


if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator


#: Holes that are remembered of each leg.
MAX_HOLES: Final = 100
#: Items before a hole that are remembered with it: another leg may miss the last.
MAX_BEFORE: Final = 8


class LegHole(NamedTuple):
    """One hole of one leg."""

    gap: Gap
    #: The items before it, the oldest first; none at the beginning of the leg.
    before: tuple[Hashable, ...]
    #: When it was found.
    at: float


class Sightings:
    """What one leg brought, and its holes, in a bounded window.

    Args:
        window: How many items are remembered.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        # Each item, with the number of holes before it.
        self._items: dict[Hashable, int] = {}
        # The items that came last.
        self._newest: deque[Hashable] = deque(maxlen=MAX_BEFORE)
        # Its holes; the ordinal of the newest is ``count - 1``.
        self._holes: deque[Gap] = deque(maxlen=MAX_HOLES)
        self.count = 0
        #: The holes whose other side has not come yet.
        self.open: list[LegHole] = []

    def saw(self, item: Hashable) -> list[LegHole]:
        """Take note of an item; return the holes that end with it."""
        self._items.setdefault(item, self.count)
        self._newest.append(item)
        if len(self._items) > self._window:
            del self._items[next(iter(self._items))]
        ended, self.open = self.open, []
        return ended

    def missed(self, gap: Gap, at: float) -> LegHole:
        """Take note of a hole."""
        hole = LegHole(gap, tuple(self._newest), at)
        self._holes.append(gap)
        self.count += 1
        self.open.append(hole)
        return hole

    @property
    def newest(self) -> Hashable | None:
        """The item that came last."""
        return self._newest[-1] if self._newest else None

    def reaches(self, hole: LegHole) -> bool:
        """Whether this leg brought what came before a hole of another."""
        return not hole.before or any(item in self._items for item in hole.before)

    def around(
        self, hole: LegHole, behind: Hashable | None, newest: Hashable | None
    ) -> list[Gap] | None:
        """Return the holes where another leg has one; ``None`` where it is not known.

        Args:
            hole: The hole of the other leg.
            behind: The item behind it; ``None`` where there is none yet.
            newest: The newest item of the other leg. This one may miss those next to
                the hole too; it is then asked for what lies around them.
        """
        befores: tuple[Hashable | None, ...] = hole.before[::-1] or (None,)
        ends = (behind,) if behind is None else (behind, newest)
        for end in ends:
            for before in befores:
                found = self._between(before, end)
                if found is not None:
                    return found
        return None

    def _between(
        self, before: Hashable | None, behind: Hashable | None
    ) -> list[Gap] | None:
        """Return the holes between two items; ``None`` where that is not known.

        Args:
            before: The first item; ``None`` for the beginning of the leg.
            behind: The second; ``None`` for what came last.
        """
        first = 0 if before is None else self._items.get(before)
        last = self.count if behind is None else self._items.get(behind)
        if first is None or last is None:
            return None
        first, last = min(first, last), max(first, last)
        forgotten = self.count - len(self._holes)
        if first < min(last, forgotten):
            return None
        return [self._holes[n - forgotten] for n in range(first, last)]


def left_of(gap: Gap, others: Iterable[list[Gap]]) -> Iterator[Gap]:
    """Return what is left of a hole where other legs have holes of their own.

    Where the positions are numbers, that is what all of them miss; otherwise the whole
    hole, if each of them misses anything.
    """
    left = [(gap.first_missing, gap.until)]
    for holes in others:
        if not holes:
            return
        bounds = [(hole.first_missing, hole.until) for hole in holes]
        if all(_numbered(pair) for pair in [*left, *bounds]):
            left = [
                (max(a, c), min(b, d))
                for a, b in left
                for c, d in bounds
                if max(a, c) <= min(b, d)
            ]
    for first, until in left:
        yield Gap(key=gap.key, first_missing=first, until=until, because=gap.because)


def _numbered(pair: tuple[Any, Any]) -> bool:
    return isinstance(pair[0], int) and isinstance(pair[1], int)
