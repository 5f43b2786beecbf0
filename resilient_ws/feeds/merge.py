"""Several streams of the same items as one: hot standby.

Whatever leg brings an item first wins; the others' are repeats. One leg may fail, lag
or die. A ``Gap`` of one leg is told only where the others have not brought what it
misses, as far as that can be known.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from resilient_ws.feeds.buffer import Buffer
from resilient_ws.feeds.leg_holes import MAX_HOLES, Sightings, left_of
from resilient_ws.feeds.source import Gap
from resilient_ws.policy._validate import (
    check_duration,
    require_callable,
    whole_number,
)


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable, Iterator
    from types import TracebackType
    from typing import Self

    from resilient_ws.feeds.leg_holes import LegHole


T = TypeVar("T")

#: Items that may wait to be read; a leg that brings more waits.
BUFFER: Final = 1024
#: Legs that have ended, of which it is remembered what they brought.
MAX_ENDED: Final = 10


@attrs.define
class Leg:
    """One of the streams that are merged, and how it does.

    Attributes:
        items: How many items it brought.
        first: How many of them it brought before the others.
        late: How many it brought after another.
        lateness: Seconds by which it was late, for all of these together.
        worst: Seconds by which it was late at most.
        gaps: How many holes it had.
        leaving: Whether it is read only until another has taken over.
        ended: Whether it has ended.
        failure: The error that ended it.
    """

    items: int = 0
    first: int = 0
    late: int = 0
    lateness: float = 0.0
    worst: float = 0.0
    gaps: int = 0
    leaving: bool = False
    ended: bool = False
    failure: Exception | None = None


class Merged(Generic[T]):
    """Several streams as one: an async iterator of items and gaps, with one consumer.

    Made by ``merge``. Items come in the order in which they come first. What one leg
    missed and another brings later comes then, out of its place; so does a ``Gap``,
    which waits until no leg can bring what is missing. Ending it (``aclose``, ``async
    with``) ends the reading, not the streams.

    Attributes:
        legs: How each leg does, by its number: 0 for the first stream.
    """

    def __init__(
        self,
        *,
        identity: Callable[[T], Hashable],
        window: int = 10_000,
        patience: float = 5.0,
    ) -> None:
        require_callable(identity, "identity")
        whole_number("window", window, at_least=0)
        check_duration("patience", patience)
        self.legs: dict[int, Leg] = {}
        self._identity = identity
        self._window = window
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        # When each item came first.
        self._seen: dict[Hashable, float] = {}
        self._sightings: dict[int, Sightings] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        # The holes that another leg may still cover: (leg, hole, the item behind it).
        self._waiting: deque[tuple[int, LegHole, Hashable | None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._out: Buffer[tuple[T | Gap, bool]] = Buffer(sys.maxsize)
        self._room = asyncio.Semaphore(BUFFER)
        self._numbers = itertools.count()
        # How many legs are being opened, so that this is not the end.
        self._expected = 0
        self._failure: Exception | None = None
        # The bounds of the holes that were told last, and the legs that had them.
        self._told: dict[tuple[Any, Any], set[int]] = {}

    # The legs.

    def add(self, items: AsyncIterator[T | Gap]) -> int:
        """Merge a further stream from now on; return its number in ``legs``."""
        number = next(self._numbers)
        self.legs[number] = Leg()
        self._sightings[number] = Sightings(self._window)
        self._tasks[number] = self._loop.create_task(self._read(number, items))
        return number

    async def remove(self, number: int) -> None:
        """Read a stream no longer, and return when its reading has ended.

        Args:
            number: Its number in ``legs``.

        Cancellation:
            Safe: the reading ends all the same.
        """
        task = self._tasks.get(number)
        if task is not None:
            task.add_done_callback(lambda _: self._end(number, None))
            task.cancel()
            await asyncio.wait([task])

    def leave(self, number: int) -> None:
        """Take note that a stream has been taken over: its gaps mean nothing now."""
        self.legs[number].leaving = True
        self._sightings[number].open.clear()

    def expect(self, legs: int) -> None:
        """Change the number of legs that are being opened by so much.

        Args:
            legs: How many more are being opened; negative when they are open.
        """
        self._expected += legs
        self._end_if_over()

    async def _read(self, number: int, items: AsyncIterator[T | Gap]) -> None:
        failure = None
        try:
            async for item in items:
                await self._take(number, item)
        except Exception as error:  # noqa: BLE001 - raised when all legs have ended
            failure = error
        self._end(number, failure)

    async def _take(self, number: int, item: T | Gap) -> None:
        now = self._loop.time()
        leg, sightings = self.legs[number], self._sightings[number]
        if isinstance(item, Gap):
            if not leg.leaving:
                leg.gaps += 1
                sightings.missed(item, now)
                self._set_alarm()
            return
        identity = self._identity(item)
        leg.items += 1
        for hole in sightings.saw(identity):
            self._waiting.append((number, hole, identity))
        since = self._seen.get(identity)
        if since is None:
            leg.first += 1
            self._remember(identity, now)
            await self._room.acquire()
            self._out.put((item, True))
        else:
            leg.late += 1
            leg.lateness += now - since
            leg.worst = max(leg.worst, now - since)
        if self._waiting:
            self._settle()

    def _remember(self, identity: Hashable, now: float) -> None:
        self._seen[identity] = now
        if len(self._seen) > self._window:
            del self._seen[next(iter(self._seen))]

    def _end(self, number: int, failure: Exception | None) -> None:
        """Take note that a leg has ended."""
        if self._tasks.pop(number, None) is None:
            return
        leg = self.legs[number]
        leg.ended, leg.failure = True, failure
        self._failure = failure
        sightings = self._sightings[number]
        holes, sightings.open = sightings.open, []
        self._waiting.extend((number, hole, None) for hole in holes)
        self._settle(last=not self._tasks)
        ended = [n for n, leg in self.legs.items() if leg.ended]
        for old in ended[:-MAX_ENDED]:
            del self.legs[old], self._sightings[old]
        self._end_if_over()

    def _end_if_over(self) -> None:
        if not self._tasks and self._expected == 0:
            self._cancel_alarm()
            self._out.finish(self._failure)

    # The holes.

    def _settle(self, *, last: bool = False) -> None:
        """Tell the holes that no leg covers; keep those of which that is not known."""
        now = self._loop.time()
        waiting, self._waiting = self._waiting, deque()
        for number, hole, behind in waiting:
            known = list(self._holes_of_others(number, hole, behind))
            if any(holes == [] for holes in known):
                continue
            over = last or now - hole.at >= self._patience
            if over or None not in known:
                for gap in left_of(hole.gap, [h for h in known if h]):
                    self._tell(number, gap)
            else:
                self._waiting.append((number, hole, behind))
        if self._waiting:
            self._set_alarm()

    def _tell(self, number: int, gap: Gap) -> None:
        """Yield a hole of a leg, unless it was told as one of another."""
        bounds = gap.first_missing, gap.until
        if all(isinstance(bound, int) for bound in bounds):
            legs = self._told.get(bounds)
            # A leg that has it twice has two: the server began its count anew.
            if legs is not None and number not in legs:
                legs.add(number)
                return
            self._told[bounds] = {number}
            if len(self._told) > MAX_HOLES:
                del self._told[next(iter(self._told))]
        self._out.put((gap, False))

    def _holes_of_others(
        self, number: int, hole: LegHole, behind: Hashable | None
    ) -> Iterator[list[Gap] | None]:
        """Return what each other leg misses there; ``None`` where it may yet come."""
        for other, sightings in self._sightings.items():
            if other == number:
                continue
            ended = self.legs[other].ended
            if ended and (behind is None or not sightings.reaches(hole)):
                continue  # it can say nothing of that any more
            yield sightings.around(hole, behind, self._sightings[number].newest)

    def _set_alarm(self) -> None:
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._patience, self._look)

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look(self) -> None:
        """Settle the holes that have waited long enough, for either side."""
        self._alarm = None
        now = self._loop.time()
        for number, sightings in self._sightings.items():
            due = [h for h in sightings.open if now - h.at >= self._patience]
            sightings.open = [h for h in sightings.open if h not in due]
            self._waiting.extend((number, hole, None) for hole in due)
        self._settle()
        if any(sightings.open for sightings in self._sightings.values()):
            self._set_alarm()

    # Reading.

    def __aiter__(self) -> Self:
        """Iterate over the items and the gaps."""
        return self

    async def __anext__(self) -> T | Gap:
        """Return the next item or gap.

        Raises:
            Exception: All legs have ended; this is the error that ended the last.
            RuntimeError: Another task reads.
            StopAsyncIteration: All legs have ended, and the last without an error.

        Cancellation:
            Safe: nothing is lost.
        """
        item, counted = await self._out.take()
        if counted:
            self._room.release()
        return item

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Read no leg any more.

        Cancellation:
            No leg is read; one may not have ended yet.
        """
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.cancel()
        self._cancel_alarm()
        self._out.finish(None)
        if tasks:
            await asyncio.wait(tasks.values())


def merge(
    *streams: AsyncIterator[T | Gap],
    identity: Callable[[T], Hashable],
    window: int = 10_000,
    patience: float = 5.0,
) -> Merged[T]:
    """Return several streams of the same items as one.

    For hot standby: two sessions, to two servers or over two networks, each with a
    subscription. ``legs`` tells which of them was late, and by how much.

    Args:
        streams: Subscriptions, or other async iterators; each is read by a task.
        identity: What two items have in common that are the same.
        window: How many identities are kept (default 10,000). A leg that lags by more
            brings repeats.
        patience: Seconds that a hole of one leg waits for the others (default 5).

    Raises:
        ValueError: There is no stream.
    """
    merged: Merged[T] = Merged(identity=identity, window=window, patience=patience)
    if not streams:
        raise ValueError("streams is empty: pass at least one subscription to merge()")
    for stream in streams:
        merged.add(stream)
    return merged
