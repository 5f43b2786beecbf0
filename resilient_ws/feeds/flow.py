"""From what arrives for a subscription to what its consumer gets, without a hole.

Rules: the pump calls ``deliver`` and never waits. While something is missing, one task
closes the holes from the first to the last, and live items are held behind them: what
is emitted is always in order, and a hole that cannot be filled is emitted as a ``Gap``
in its place. A consumer that is too slow leaves a hole like any other.
"""

from __future__ import annotations

import enum
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from resilient_ws.feeds.holes import Hole, Skipped, undecodable, was_reset
from resilient_ws.feeds.mending import Mender
from resilient_ws.feeds.order import Order
from resilient_ws.feeds.source import JUMP, NEXT, REPEAT, RESET


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from resilient_ws.feeds.buffer import Buffer
    from resilient_ws.feeds.source import Gap, Source
    from resilient_ws.feeds.statistics import ChannelStatistics


T = TypeVar("T")
C = TypeVar("C")


class Stage(enum.Enum):
    """What a flow does with an item that arrives."""

    #: There is no subscription on a connection: nothing should arrive.
    DOWN = "down"
    #: A hole is open: items are held until it is filled.
    FILLING = "filling"
    #: Items go straight to the consumer.
    LIVE = "live"
    #: The consumer is too slow: items are held, as many as its buffer takes.
    BEHIND = "behind"


_LIVE: Final = Stage.LIVE


class Flow(Generic[T, C]):
    """The stream of one subscription.

    Args:
        name: What gaps call it.
        source: How its items follow, and how a hole is fetched.
        buffer: Where its items wait for the consumer.
        after: The cursor of the last item that the consumer had before.
        refill: Whether items that were skipped for a slow consumer are fetched again.
        spawn: Starts the task that closes holes.

    Attributes:
        order: What was emitted.
        dropped: Items that were skipped for a slow consumer, for good.
    """

    def __init__(
        self,
        name: str,
        source: Source[T, C],
        buffer: Buffer[T | Gap],
        *,
        after: C | None,
        refill: bool,
        spawn: Callable[[Any], asyncio.Task[None]],
    ) -> None:
        self._parse = source.parse
        self._begins_at = source.begins_at
        self._follows = source.follows
        self._has_history = source.backfill is not None
        self._refill = refill and self._has_history
        self._buffer = buffer
        self._spawn = spawn
        self.order: Order[T, C] = Order(name, source, buffer, after)
        # What waits for room, or for a hole before it to be closed: at most as many as
        # the buffer may hold, and a hole at either end.
        self._held: deque[T | Hole] = deque()
        if after is not None:
            self._held.append(Hole())
        # The hole of the last drop, unless one was there before.
        self._drop: T | Hole | None = None
        self._mender = Mender(source, self.order, buffer, self._held)
        self._task: asyncio.Task[None] | None = None
        self.stage = Stage.DOWN
        self.dropped = 0

    # What the channel tells.

    def resume(self, *, kept: bool = False) -> None:
        """Begin with what arrives on a new subscription; close the holes before it.

        Args:
            kept: Whether nothing was missed since ``suspend``.
        """
        self._cancel()
        if kept:
            self._forgive()
        self._drop = None
        if self.order.cursor is None and self._begins_at is not None:
            self.order.begin_at(self._begins_at())
        self._close_holes()

    def suspend(self) -> None:
        """Take note that the subscription is gone: something may be missed from now."""
        self._cancel()
        if self.stage is not Stage.DOWN:
            self.stage = Stage.DOWN
            last = self._held[-1] if self._held else None
            self._lose()
            self._drop = None if self._held[-1] is last else self._held[-1]

    def interrupted(self) -> None:
        """Take note that items were lost on the way, while the subscription lives."""
        if self.stage is Stage.DOWN:
            return
        self._lose()
        if self.stage is Stage.LIVE:
            self._close_holes()

    def finish(self) -> None:
        """Put what is held before the end, also into a full buffer: it is the last."""
        self._cancel()
        if self.stage is Stage.DOWN:
            self._forgive()  # the end stands where the hole of the drop would
        self._mender.drain()
        self.stage = Stage.DOWN

    def deliver(self, value: Any) -> None:
        """Take what arrived. Never waits, and never raises."""
        try:
            item: T = value if self._parse is None else self._parse(value)
            if self.stage is _LIVE:
                if self._buffer.free <= 0 or not self.order.advance(item):
                    self._live(item)
            elif self.stage is not Stage.DOWN:
                self._keep(item)
        except Exception as failure:  # noqa: BLE001 - the source's: told in its place
            self.spoil(failure)

    def spoil(self, failure: Exception) -> None:
        """Take note of an item that arrived and cannot be read."""
        because = undecodable(failure)
        if self.stage is Stage.LIVE:
            if self._buffer.full:
                self._fall_behind(Hole(because))
            else:
                self.order.emit_gap(because)
        elif self.stage is not Stage.DOWN:
            self._hold(Hole(because))

    # What its users see.

    @property
    def cursor(self) -> C | None:
        """The position of the last item that was emitted."""
        return self.order.cursor

    @property
    def waiting(self) -> int:
        """How many items wait to be read."""
        return len(self._buffer)

    def added_to(self, others: ChannelStatistics) -> ChannelStatistics:
        """Return the counters of other flows with those of this one."""
        return attrs.evolve(
            others,
            repeats=others.repeats + self.order.repeats,
            gaps=others.gaps + self.order.gaps,
            dropped=others.dropped + self.dropped,
        )

    # Live.

    def _live(self, item: T) -> None:
        order = self.order
        how = order.how(item)
        if how is REPEAT:
            order.repeated()
        elif self._buffer.free <= 0:
            self._fall_behind(item)
        elif how is NEXT or order.told(how):
            order.emit(item)
        elif how is JUMP and self._has_history:
            self._held.extend((Hole(), item))
            self._close_holes()
        else:
            order.emit_as(how, item)

    def _fall_behind(self, entry: T | Hole) -> None:
        """Keep an item for which there is no room elsewhere, or leave it."""
        if self._refill:
            self._held.append(entry)
        else:
            skipped = Skipped(self.order.cursor, self.order.seen)
            self._skip(skipped, entry)
            self._held.append(skipped)
        self._close_holes()
        self.stage = Stage.BEHIND

    # Holding.

    def _keep(self, item: T) -> None:
        """Hold an item, unless it is held or was emitted before."""
        # Both call the source, so that what it raises is known at once.
        self.order.position(item)
        if self.order.how_behind(self._last_held(), item) is REPEAT:
            self.order.repeated()
        else:
            self._hold(item)

    def _hold(self, entry: T | Hole) -> None:
        """Keep what arrived until the holes before it are closed."""
        last = self._held[-1] if self._held else None
        if isinstance(last, Skipped):
            self._skip(last, entry)
        elif len(self._held) < self._buffer.size:
            self._held.append(entry)
            if len(self._held) * 2 == self._buffer.size:
                self._buffer.turns.due = True
        elif self._has_history:
            self._lose()  # it is fetched in its turn
        else:
            skipped = Skipped(self._last_held(), self.order.seen)
            self._held.append(skipped)
            self._skip(skipped, entry)

    def _last_held(self) -> C | None:
        """Return the position of the newest item that was emitted or is held."""
        for entry in reversed(self._held):
            if not isinstance(entry, Hole):
                with suppress(Exception):  # it did not raise when it was held
                    return self.order.position(entry)
        return self.order.cursor

    def _lose(self) -> None:
        """Take note that something may be missing behind what is held."""
        last = self._held[-1] if self._held else None
        if isinstance(last, Skipped) and not self._has_history:
            # With ``follows``, the next item tells.
            last.is_open = last.is_open or self._follows is None
        elif not (isinstance(last, Hole) and last.is_new):
            self._held.append(Hole())

    def _forgive(self) -> None:
        """Take back the hole of the last drop, but none that was there before it."""
        if self._drop is not None and self._held and self._held[-1] is self._drop:
            self._held.pop()

    def _skip(self, skipped: Skipped, entry: T | Hole) -> None:
        """Take note of an item that is not kept."""
        if isinstance(entry, Hole):
            skipped.is_open = True  # nobody can tell the position of the last
        else:
            how = self.order.how_behind(skipped.last, entry)
            if how is REPEAT or (
                skipped.seen is not None and not skipped.seen.add(entry)
            ):
                self.order.repeated()
                return
            if how is RESET:
                skipped.because = was_reset()
            skipped.last = self.order.position(entry)
            skipped.is_open = self._follows is None
        skipped.count += 1
        self.dropped += 1

    # Closing holes.

    def _close_holes(self) -> None:
        """Close what holes there are, in a task, and go live."""
        if self._held:
            self.stage = Stage.FILLING
            self._task = self._spawn(self._mend())
        else:
            self.stage = Stage.LIVE

    async def _mend(self) -> None:
        await self._mender.run()
        self._task = None
        self.stage = Stage.LIVE

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        for entry in self._held:
            if isinstance(entry, Hole):
                entry.begun = False
