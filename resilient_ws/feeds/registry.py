"""Which subscription gets an item: by its key on this connection.

Rules: keys belong to one connection, and are forgotten with it. An item whose key is
not known yet is held for a short time while a subscription is being made, because some
servers send items before they answer the request for them; and on a new connection,
because some send them unasked. What cannot be held is a hole in its subscription, and
the subscription is told.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeAlias


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.source import Key
    from resilient_ws.feeds.turns import Turns

    DeliverItem: TypeAlias = Callable[[Any], None]


#: The key of a subscription to all that no other one has.
REST: Final = object()
#: Seconds for which an item of an unknown key is held, and a connection is new.
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
        "_new",
        "_on_unknown",
        "_told",
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
        # The keys that are bound, or forgotten, since they lost anything.
        self._told: set[Key] = set()
        # An ordered set.
        self._left: dict[Key, None] = {}
        self._expected = 0
        # Until when the connection is new.
        self._new = -math.inf
        #: The callable for each key; the pump reads it for each item.
        self.by_key: dict[Key, DeliverItem] = {}

    def opened(self) -> None:
        """Take note of a new connection."""
        self._new = self._clock() + HOLD

    def expect(self) -> None:
        """Take note that one more subscription is being made."""
        self._expected += 1

    def unexpect(self) -> None:
        """Take note that a subscription is made, or given up."""
        self._expected -= 1
        if not self._expected and self._clock() > self._new:
            self._forget()

    def answered(self) -> None:
        """Take note of an answer: it may grant a subscription, whose items are next."""
        if self._expected:
            self._turns.due = True

    def hold(self, key: Key, value: Any) -> bool:
        """Keep an item whose key is not known, if it may become known soon."""
        self._expire()
        if key in self._left and not self._expected:
            return True  # it was on its way when the server was told
        now = self._clock()
        if not self._expected and now > self._new:
            return False
        # Its subscription may be granted already, and only not know it.
        if not self._early or len(self._early) * 2 == self._limit:
            self._turns.due = True
        self._early.append((now, key, value))
        if len(self._early) > self._limit:
            self._lose()
        return True

    def bind(self, key: Key, deliver: DeliverItem, on_lost: Callable[[], None]) -> None:
        """Deliver the items of a key from now on, those that are held first.

        Args:
            key: The key.
            deliver: Called with each item.
            on_lost: Called before that if some of the first could not be held.
        """
        self._expire()
        self._left.pop(key, None)
        self.by_key[key] = deliver
        if self._has_lost(key):
            self._told.add(key)
            on_lost()
        held, self._early = self._early, deque()
        for entry in held:
            if key is REST or entry[1] == key:
                deliver(entry[2])
            else:
                self._early.append(entry)

    def forget(self, key: Key) -> None:
        """Let go of what came for a key before: it was for an older subscription."""
        self._early = deque(entry for entry in self._early if entry[1] != key)
        if self._has_lost(key):
            self._told.add(key)

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
        self._forget()
        self._left.clear()

    def _has_lost(self, key: Key) -> bool:
        """Whether items of a key may have gone, and nobody was told."""
        if key in self._told:
            return False
        return key in self._lost or len(self._lost) > self._limit

    def _expire(self) -> None:
        oldest = self._clock() - HOLD
        while self._early and self._early[0][0] < oldest:
            self._lose()

    def _lose(self) -> None:
        """Give up the oldest item that is held."""
        _, key, _ = self._early.popleft()
        if key not in self._left:
            self._on_unknown()
        self._told.discard(key)
        if len(self._lost) <= self._limit:
            self._lost.add(key)

    def _forget(self) -> None:
        """Give up all that is held."""
        while self._early:
            self._lose()
        self._lost.clear()
        self._told.clear()
