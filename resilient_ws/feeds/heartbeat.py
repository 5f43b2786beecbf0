"""The heartbeats that a protocol wants of its client, one task for each connection.

Rules: where the server sends something between any two, a connection that brought
nothing is dead, though its socket may live.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.links import Link
    from resilient_ws.feeds.outgoing import OutgoingLine
    from resilient_ws.feeds.protocol import Protocol


#: The fewest seconds between two, because some servers name the interval.
MIN_INTERVAL: Final = 0.1


class Heartbeat:
    """Sends heartbeats on the open connection.

    Args:
        protocol: Says how often, and what.
        outgoing: Sends them.
        spawn: Starts the task.
        received: Returns how many messages the session has received.
        dead: Called with the reason where a connection is found to be dead.
    """

    __slots__ = ("_dead", "_outgoing", "_protocol", "_received", "_spawn", "_task")

    def __init__(
        self,
        protocol: Protocol,
        outgoing: OutgoingLine,
        spawn: Callable[[Any], asyncio.Task[None]],
        *,
        received: Callable[[], int],
        dead: Callable[[str], object],
    ) -> None:
        self._protocol = protocol
        self._outgoing = outgoing
        self._spawn = spawn
        self._received = received
        self._dead = dead
        self._task: asyncio.Task[None] | None = None

    def start(self, link: Link) -> None:
        """Send heartbeats on a connection, if the protocol has any."""
        self.stop()
        if self._protocol.beat_interval is not None:
            self._task = self._spawn(self._beat(link))

    def stop(self) -> None:
        """Send no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _beat(self, link: Link) -> None:
        before = -1
        while (interval := self._protocol.beat_interval) is not None:
            await asyncio.sleep(max(MIN_INTERVAL, interval))
            received = self._received()
            if received == before and self._protocol.beat_answered:
                self._dead("nothing came since the last heartbeat")
                return
            before = received
            message = self._protocol.beat()
            if message is not None:
                self._outgoing.put(link, message)
