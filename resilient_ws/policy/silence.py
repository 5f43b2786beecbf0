"""Whether a session has fallen silent because nobody subscribed again.

Rules: a subscription dies with its connection. A session that sent something and was
sent something on an earlier connection, has no ``on_open``, and then for
``QUIET_AFTER`` seconds is sent nothing, nor sends anything, has most likely not been
told to subscribe again. That is said once. What comes within ``GREETED_FOR`` seconds of
the opening is no news: many servers greet. A connection that ends before it can be told
hands on the silence that it had.
"""

from __future__ import annotations

import math
from typing import Final


#: Seconds without a message on new connections.
QUIET_AFTER: Final = 60.0
#: Seconds after the opening in which a message may be a greeting.
GREETED_FOR: Final = 5.0


class Silence:
    """Asked by its owner at the times it names, for one session.

    Args:
        restores: Whether the session has an ``on_open``.
    """

    __slots__ = ("_before", "_greetings", "_over", "_watched")

    def __init__(self, *, restores: bool) -> None:
        self._over = restores
        # Seconds without news on the connections before.
        self._before = 0.0
        # Messages that came as the present connection opened, once that is known.
        self._greetings: int | None = None
        # Whether news would be missed on the present connection.
        self._watched = False

    def due_after(self, *, sent: int, received: int) -> float:
        """Return the seconds after which to ask of a new connection; maybe infinity.

        Args:
            sent: Messages that were sent on the connections before it.
            received: Messages that were received on them.
        """
        self._greetings = None
        self._watched = bool(sent and received) and not self._over
        if not self._watched:
            return math.inf
        return max(0.0, min(GREETED_FOR, QUIET_AFTER - self._before))

    def ask_after(self, *, sent: int, received: int, paused: bool) -> float:
        """Return the seconds after which to ask again; 0 to tell, maybe infinity.

        It is told once in a session.

        Args:
            sent: Messages that were sent on the present connection so far.
            received: Messages that came on it so far.
            paused: Whether we do not read, so that none can come.
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

    def ended(self, *, received: int, uptime: float) -> None:
        """Take note that the present connection has ended.

        Args:
            received: Messages that came on it.
            uptime: The seconds for which it was open.
        """
        news = self._greetings is not None and received > self._greetings
        if news:
            self._before = 0.0
        elif self._watched:
            self._before += uptime
