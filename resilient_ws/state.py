"""The states of a session with their legal moves, and the states of a delivery.

Rules: ``TRANSITIONS`` lists every move that a session may make, and ``Lifecycle``
refuses all others. A question about several states is a property of ``State``, so that
no other module lists states.
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.Enum):
    """The seven states of a session."""

    #: Made by ``connect()``, and not entered yet or still opening its store.
    IDLE = "idle"
    #: Resolving the endpoint, dialling, shaking hands.
    CONNECTING = "connecting"
    #: The handshake is done, and ``on_open`` runs.
    RESTORING = "restoring"
    #: Messages flow.
    OPEN = "open"
    #: Waiting for the next attempt.
    BACKOFF = "backoff"
    #: ``close`` was called, or the session gave up.
    CLOSING = "closing"
    #: The end: there will be no other connection.
    CLOSED = "closed"

    @property
    def terminal(self) -> bool:
        """Whether no other state can follow."""
        return not TRANSITIONS[self]

    @property
    def ending(self) -> bool:
        """Whether the session is closing or closed."""
        return self is State.CLOSING or self is State.CLOSED

    @property
    def entered(self) -> bool:
        """Whether the session makes, has or waits for a connection."""
        return self is not State.IDLE and not self.ending

    def can_become(self, other: State) -> bool:
        """Whether ``other`` may still come, in any number of moves."""
        seen: set[State] = set()
        frontier = TRANSITIONS[self]
        while frontier - seen:
            seen |= frontier
            frontier = frozenset(
                after for state in seen for after in TRANSITIONS[state]
            )
        return other in seen


#: From each state, the states that may come next.
TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.IDLE: frozenset({State.CONNECTING, State.CLOSING}),
    State.CONNECTING: frozenset({State.RESTORING, State.BACKOFF, State.CLOSING}),
    State.RESTORING: frozenset({State.OPEN, State.BACKOFF, State.CLOSING}),
    State.OPEN: frozenset({State.BACKOFF, State.CLOSING}),
    State.BACKOFF: frozenset({State.CONNECTING, State.CLOSING}),
    State.CLOSING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}


class DeliveryState(enum.Enum):
    """What has become of one sent message."""

    #: Accepted, and waiting to be handed to a connection, for the first time or again.
    QUEUED = "queued"
    #: Handed to an open connection.
    WRITTEN = "written"
    #: Known to have arrived.
    CONFIRMED = "confirmed"
    #: Its ``ttl`` passed before it was written.
    EXPIRED = "expired"
    #: Given up for room, by ``only_if_open``, or by the end of the session.
    DROPPED = "dropped"
    #: Written, but not known to have arrived when its connection ended; or unreadable
    #: in its store.
    FAILED = "failed"

    @property
    def lost(self) -> bool:
        """Whether the message will never be transmitted (again)."""
        return self in _LOST

    @property
    def final(self) -> bool:
        """Whether no other state can follow."""
        return self in _FINAL


_LOST: Final = frozenset(
    {DeliveryState.EXPIRED, DeliveryState.DROPPED, DeliveryState.FAILED}
)
_FINAL: Final = _LOST | {DeliveryState.CONFIRMED}
