"""Which subscription gets an item: by its key on this connection.

Rules: keys belong to one connection, and are forgotten with it. An item whose key is
not known yet is held for a short time while a subscription is being made, because some
servers send items before they answer the request for them; and on a new connection,
because some send them unasked.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeAlias


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.source import Key

    Deliver: TypeAlias = Callable[[Any], None]


#: The key of a subscription to all that no other one has.
REST: Final = object()
#: Seconds for which an item of an unknown key is held, and a connection is new.
HOLD: Final = 5.0


class Registry:
    """The keys of one connection, and the items that came before their key.

    Args:
        early: How many items may be held.
        clock: The clock of the loop.
    """

    __slots__ = ("_clock", "_early", "_limit", "_new", "by_key", "expected", "unknown")

    def __init__(self, early: int, clock: Callable[[], float]) -> None:
        self._limit = early
        self._clock = clock
        self._early: deque[tuple[float, Key, Any]] = deque()
        # Until when the connection is new.
        self._new = -math.inf
        #: The callable for each key; the pump reads it for each item.
        self.by_key: dict[Key, Deliver] = {}
        #: How many subscriptions are being made.
        self.expected = 0
        #: Items that were for nobody.
        self.unknown = 0

    def opened(self) -> None:
        """Take note of a new connection."""
        self._new = self._clock() + HOLD

    def hold(self, key: Key, value: Any) -> None:
        """Keep an item whose key is not known, if it may become known soon."""
        self._expire()
        now = self._clock()
        if not self.expected and now > self._new:
            self.unknown += 1
            return
        self._early.append((now, key, value))
        if len(self._early) > self._limit:
            self._early.popleft()
            self.unknown += 1

    def bind(self, key: Key, deliver: Deliver) -> None:
        """Deliver the items of a key from now on, those that are held first."""
        self.by_key[key] = deliver
        self._expire()
        held, self._early = self._early, deque()
        for entry in held:
            if key is REST or entry[1] == key:
                deliver(entry[2])
            else:
                self._early.append(entry)

    def unbind(self, key: Key) -> None:
        """Deliver the items of a key no longer."""
        self.by_key.pop(key, None)

    def clear(self) -> None:
        """Forget all keys: their connection has ended."""
        self.by_key.clear()
        self.unknown += len(self._early)
        self._early.clear()

    def _expire(self) -> None:
        oldest = self._clock() - HOLD
        while self._early and self._early[0][0] < oldest:
            self._early.popleft()
            self.unknown += 1
