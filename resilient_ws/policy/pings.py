"""Which of our pings came back, how long each took, and what it confirms.

Rules: the payload of a ping is a name and a counter, so a pong says which ping it
answers. A pong answers every older ping as well: TCP keeps the order, and a peer may
answer only the newest (RFC 6455 §5.5.3). A pong that answers no pending ping of ours
means nothing.
"""

from __future__ import annotations

from typing import Final


_COUNTER_SIZE: Final = 8


class Pings:
    """Makes the payloads of one connection's pings, and recognises their pongs.

    Args:
        name: A prefix that no other connection's pings have. A gateway may pass on the
            pong to a ping of an earlier connection, which must confirm nothing.
        max_pending: How many unanswered pings to remember. The oldest are forgotten
            first, because a newer pong answers them too.

    Attributes:
        newest: The ordinal of the newest ping, 0 before the first.
        confirmed: The ordinal of the newest ping that was answered, 0 before the first.
        passed: The number of messages that were written before that ping.
    """

    __slots__ = ("_max_pending", "_name", "_pending", "confirmed", "newest", "passed")

    def __init__(self, name: bytes = b"", *, max_pending: int = 1024) -> None:
        self.newest = 0
        self.confirmed = 0
        self.passed = 0
        self._name = name
        self._max_pending = max_pending
        # By ordinal: when the ping was sent, and how many messages before it.
        self._pending: dict[int, tuple[float, int]] = {}

    def next(self, now: float, *, written: int = 0) -> bytes:
        """Return the payload for a new ping.

        Args:
            now: The time.
            written: The number of messages that were written before it.
        """
        self.newest += 1
        self._pending[self.newest] = now, written
        if len(self._pending) > self._max_pending:
            del self._pending[next(iter(self._pending))]
        return self._name + self.newest.to_bytes(_COUNTER_SIZE, "big")

    def pong(self, payload: bytes, now: float) -> float | None:
        """Return the seconds that the ping took; ``None`` if it is no pending one."""
        name, counter = payload[:-_COUNTER_SIZE], payload[-_COUNTER_SIZE:]
        if name != self._name or len(counter) != _COUNTER_SIZE:
            return None
        ordinal = int.from_bytes(counter, "big")
        if ordinal not in self._pending:
            return None
        sent_at, self.passed = self._pending[ordinal]
        for older in [n for n in self._pending if n <= ordinal]:
            del self._pending[older]
        self.confirmed = ordinal
        return now - sent_at
