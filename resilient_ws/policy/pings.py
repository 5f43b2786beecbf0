"""Which of our pings came back, and how long it took."""

from __future__ import annotations

from typing import Final


_COUNTER_SIZE: Final = 8


class Pings:
    """Names our pings, and knows their pongs again.

    The payload is a name and a counter, so a pong says which pings the peer has passed:
    TCP keeps order, and a pong confirms every older ping too (RFC 6455, 5.5.3 lets a
    peer answer only the newest).

    Args:
        name: What no other connection's pings begin with. A gateway may hand a client
            the answer to a ping of its connection before, and that confirms nothing.
        max_pending: How many unanswered pings to remember. Older ones go first: a
            newer pong confirms them all the same.
    """

    __slots__ = ("_max_pending", "_name", "_sent", "confirmed", "newest")

    def __init__(self, name: bytes = b"", *, max_pending: int = 1024) -> None:
        #: The ordinal of the newest ping, 0 before the first.
        self.newest = 0
        #: The ordinal of the newest ping that came back, 0 before the first.
        self.confirmed = 0
        self._name = name
        self._max_pending = max_pending
        self._sent: dict[int, float] = {}

    def next(self, now: float) -> bytes:
        """The payload for a new ping."""
        self.newest += 1
        self._sent[self.newest] = now
        if len(self._sent) > self._max_pending:
            del self._sent[next(iter(self._sent))]
        return self._name + self.newest.to_bytes(_COUNTER_SIZE, "big")

    def pong(self, payload: bytes, now: float) -> float | None:
        """The seconds its ping took; ``None`` when it is not a pending one of ours."""
        name, counter = payload[:-_COUNTER_SIZE], payload[-_COUNTER_SIZE:]
        if name != self._name or len(counter) != _COUNTER_SIZE:
            return None
        ordinal = int.from_bytes(counter, "big")
        sent_at = self._sent.get(ordinal)
        if sent_at is None:
            return None
        for older in [n for n in self._sent if n <= ordinal]:
            del self._sent[older]
        self.confirmed = ordinal
        return now - sent_at
