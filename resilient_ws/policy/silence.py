"""Whether a session has fallen silent because nobody subscribed again.

Rules: a subscription dies with its connection. A session that sent something and was
sent something on an earlier connection, has no ``on_open``, and is sent nothing on the
present one for ``QUIET_AFTER`` seconds, has most likely not been told to subscribe
again. That is said once.
"""

from __future__ import annotations

import math
from typing import Final


#: Seconds without a message on a new connection.
QUIET_AFTER: Final = 60.0


class Silence:
    """Asked by its owner at the times it names, for one session.

    Args:
        restores: Whether the session has an ``on_open``.
    """

    __slots__ = ("_over",)

    def __init__(self, *, restores: bool) -> None:
        self._over = restores

    def due_after(self, *, sent: int, received: int) -> float:
        """Return the seconds after which to ask of a new connection; maybe infinity.

        Args:
            sent: Messages that were sent on the connections before it.
            received: Messages that were received on them.
        """
        return math.inf if self._over or not sent or not received else QUIET_AFTER

    def is_telling(self, *, received: int, paused: bool) -> bool:
        """Whether the silence of a connection is to be told: once in a session.

        Args:
            received: Messages that came on it so far.
            paused: Whether we do not read, so that none can come.
        """
        if received or paused or self._over:
            return False
        self._over = True
        return True
