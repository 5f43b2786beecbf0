"""Detects a session that fell silent because it did not subscribe again.

Rules: a subscription ends with its connection. A session without ``on_open`` that sent
and received messages on an earlier connection, and then neither sends nor receives any
for ``QUIET_AFTER`` seconds, has most likely not subscribed again. The session warns
about that once. Messages within ``GREETED_FOR`` seconds of the opening do not count,
because many servers send a greeting. The silence of a connection that ends before the
warning counts towards the next one.
"""

from __future__ import annotations

import math
from typing import Final


#: Seconds without a message on new connections.
QUIET_AFTER: Final = 60.0
#: Seconds after the opening during which a message may be a greeting.
GREETED_FOR: Final = 5.0


class Silence:
    """The silence of one session, on one connection after the other.

    Call ``begin`` when a connection opens, ``check`` at the times that it and ``begin``
    return, and ``end`` when the connection has ended.

    Args:
        restores: Whether the session has an ``on_open``.
    """

    __slots__ = ("_before", "_greetings", "_over", "_watched")

    def __init__(self, *, restores: bool) -> None:
        self._over = restores
        # Seconds of silence on the connections before this one.
        self._before = 0.0
        # Messages received while this connection was new, None while it is new.
        self._greetings: int | None = None
        # Whether silence on this connection counts.
        self._watched = False

    def begin(self, *, sent: int, received: int) -> float:
        """Note that a connection is open.

        Args:
            sent: The number of messages sent on earlier connections.
            received: The number of messages received on earlier connections.

        Returns:
            The seconds until the first check, or infinity if none is needed.
        """
        self._greetings = None
        self._watched = bool(sent and received) and not self._over
        if not self._watched:
            return math.inf
        return max(0.0, min(GREETED_FOR, QUIET_AFTER - self._before))

    def check(self, *, sent: int, received: int, paused: bool) -> float:
        """Look for messages on the open connection.

        Args:
            sent: The number of messages sent on this connection so far.
            received: The number of messages received on this connection so far.
            paused: Whether reading is paused, so that no message can arrive.

        Returns:
            The seconds until the next check, infinity if none is needed, or 0 if the
            session seems to have forgotten to subscribe. It is 0 once in a session.
        """
        if self._over or paused or sent:
            return math.inf
        if self._greetings is None:
            self._greetings = received
            left = QUIET_AFTER - self._before - GREETED_FOR
            if left > 0:
                return left
        if received > self._greetings:
            self._before = 0.0
            return math.inf
        self._over = True
        return 0.0

    def end(self, *, received: int, uptime: float) -> None:
        """Note that the connection has ended.

        Args:
            received: The number of messages received on this connection.
            uptime: The seconds for which it was open.
        """
        news = self._greetings is not None and received > self._greetings
        if news:
            self._before = 0.0
        elif self._watched:
            self._before += uptime
