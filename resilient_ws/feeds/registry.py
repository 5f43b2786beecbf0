"""Which subscription gets an item: by its key on this connection.

Rules: keys belong to one connection, and are forgotten with it. An item whose key is
not known yet is held for a short time while a subscription is being made, because some
servers send items before they answer the request for them. What cannot be held is a
hole in its subscription, and the subscription is told.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeAlias


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.source import Key
    from resilient_ws.feeds.turns import Turns

    Deliver: TypeAlias = Callable[[Any], None]


#: Seconds for which an item of an unknown key is held.
HOLD: Final = 5.0
#: Keys that were given up on a connection, whose last items are no surprise.
MAX_LEFT: Final = 1000


class Registry:
    """The keys of one connection, and the items that came before their key.

    Args:
        early: How many items may be held.
        clock: The clock of the loop.
        on_unknown: Called with each item that turns out to be for nobody.
        turns: Told when something is held, so that what waits for its key may run.
    """

    __slots__ = (
        "_clock",
        "_early",
        "_expected",
        "_left",
        "_limit",
        "_lost",
        "_on_unknown",
        "_turns",
        "by_key",
    )

    def __init__(
        self,
        early: int,
        clock: Callable[[], float],
        on_unknown: Callable[[], None],
        turns: Turns,
    ) -> None:
        self._turns = turns
        self._limit = early
        self._clock = clock
        self._on_unknown = on_unknown
        self._early: deque[tuple[float, Key, Any]] = deque()
        # The keys of items that were held and had to go.
        self._lost: set[Key] = set()
        # An ordered set.
        self._left: dict[Key, None] = {}
        self._expected = 0
        #: The callable for each key; the pump reads it for each item.
        self.by_key: dict[Key, Deliver] = {}

    def expect(self) -> None:
        """Take note that one more subscription is being made."""
        self._expected += 1

    def unexpect(self) -> None:
        """Take note that a subscription is made, or given up."""
        self._expected -= 1
        if not self._expected:
            self._forget()

    def hold(self, key: Key, value: Any) -> bool:
        """Keep an item whose key is not known, if it may become known soon."""
        self._expire()
        if key in self._left:
            return True  # it was on its way when the server was told
        if not self._expected:
            return False
        # Its subscription may be granted already, and only not know it.
        if not self._early or len(self._early) * 2 == self._limit:
            self._turns.due = True
        self._early.append((self._clock(), key, value))
        if len(self._early) > self._limit:
            self._lose()
        return True

    def bind(self, key: Key, deliver: Deliver, on_lost: Callable[[], None]) -> None:
        """Deliver the items of a key from now on, those that are held first.

        Args:
            key: The key.
            deliver: Called with each item.
            on_lost: Called before that if some of the first could not be held.
        """
        self._expire()
        self._left.pop(key, None)
        self.by_key[key] = deliver
        if key in self._lost or len(self._lost) > self._limit:
            on_lost()
        held, self._early = self._early, deque()
        for entry in held:
            if entry[1] == key:
                deliver(entry[2])
            else:
                self._early.append(entry)

    def unbind(self, key: Key) -> None:
        """Deliver the items of a key no longer: it will be bound again."""
        self.by_key.pop(key, None)

    def leave(self, key: Key) -> None:
        """Deliver the items of a key no longer; those on their way are no surprise."""
        self.by_key.pop(key, None)
        self._left[key] = None
        if len(self._left) > MAX_LEFT:
            del self._left[next(iter(self._left))]

    def clear(self) -> None:
        """Forget all keys: their connection has ended."""
        self.by_key.clear()
        self._left.clear()
        self._forget()

    def _expire(self) -> None:
        oldest = self._clock() - HOLD
        while self._early and self._early[0][0] < oldest:
            self._lose()

    def _lose(self) -> None:
        """Give up the oldest item that is held."""
        _, key, _ = self._early.popleft()
        self._on_unknown()
        if len(self._lost) <= self._limit:
            self._lost.add(key)

    def _forget(self) -> None:
        """Give up all that is held."""
        while self._early:
            self._lose()
        self._lost.clear()
