"""Which subscription gets an item: by its key on this connection.

Rules: keys belong to one connection, and are forgotten with it. An item whose key is
not known yet is held for a short time while a subscription is being made, because some
servers send items before they answer the request for them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeAlias


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.source import Key

    Deliver: TypeAlias = Callable[[Any], None]


#: Seconds for which an item of an unknown key is held.
HOLD: Final = 5.0


class Registry:
    """The keys of one connection, and the items that came before their key.

    Args:
        early: How many items may be held.
        clock: The clock of the loop.
    """

    __slots__ = ("_clock", "_early", "_limit", "_lost", "by_key", "expected", "unknown")

    def __init__(self, early: int, clock: Callable[[], float]) -> None:
        self._limit = early
        self._clock = clock
        self._early: deque[tuple[float, Key, Any]] = deque()
        # The keys of items that were not held long enough, or had no room.
        self._lost: dict[Key, None] = {}
        #: The callable for each key; the pump reads it for each item.
        self.by_key: dict[Key, Deliver] = {}
        #: How many subscriptions are being made.
        self.expected = 0
        #: Items that were for nobody.
        self.unknown = 0

    def hold(self, key: Key, value: Any) -> None:
        """Keep an item whose key is not known, if it may become known soon."""
        self._expire()
        if not self.expected:
            self.unknown += 1
            return
        self._early.append((self._clock(), key, value))
        if len(self._early) > self._limit:
            self._forget()

    def missed(self, key: Key) -> bool:
        """Whether an item of a key came before it was known, and was not kept."""
        self._expire()
        if key not in self._lost:
            return False
        del self._lost[key]
        return True

    def bind(self, key: Key, deliver: Deliver) -> None:
        """Deliver the items of a key from now on, those that are held first."""
        self.by_key[key] = deliver
        self._expire()
        held, self._early = self._early, deque()
        for entry in held:
            if entry[1] == key:
                deliver(entry[2])
            else:
                self._early.append(entry)

    def forget(self, key: Key) -> None:
        """Let go of the items of a key that are held."""
        self._early = deque(entry for entry in self._early if entry[1] != key)
        self._lost.pop(key, None)

    def unbind(self, key: Key) -> None:
        """Deliver the items of a key no longer."""
        self.by_key.pop(key, None)

    def clear(self) -> None:
        """Forget all keys: their connection has ended."""
        self.by_key.clear()
        self.unknown += len(self._early)
        self._early.clear()
        self._lost.clear()

    def _expire(self) -> None:
        oldest = self._clock() - HOLD
        while self._early and self._early[0][0] < oldest:
            self._forget()

    def _forget(self) -> None:
        """Let the oldest item go, and remember whose it was."""
        _, key, _ = self._early.popleft()
        self.unknown += 1
        self._lost[key] = None
        if len(self._lost) > self._limit:
            del self._lost[next(iter(self._lost))]
