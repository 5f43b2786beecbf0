"""The application heartbeats of a protocol, and what their absence says.

Rules: they are sent as long as a connection is open and the protocol wants them. Where
the server sends something between any two, a connection that brought nothing is dead,
though its socket may live.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.links import Link
    from resilient_ws.feeds.outgoing import Outgoing
    from resilient_ws.feeds.protocol import Protocol
    from resilient_ws.session import Session


#: The fewest seconds between two, because some servers name the interval.
MIN_INTERVAL: Final = 0.1


class Heartbeat:
    """Sends the heartbeats of one channel.

    Args:
        session: Its session.
        protocol: What the heartbeats are.
        outgoing: What sends them.
        spawn: Starts a task that the channel owns.
        dead: Called with the reason where a connection is found to be dead.
    """

    def __init__(
        self,
        session: Session,
        protocol: Protocol,
        outgoing: Outgoing,
        spawn: Callable[..., asyncio.Task[None]],
        dead: Callable[[str], None],
    ) -> None:
        self._session = session
        self._protocol = protocol
        self._outgoing = outgoing
        self._spawn = spawn
        self._dead = dead
        self._task: asyncio.Task[None] | None = None

    def start(self, link: Link) -> None:
        """Begin on a new connection, if the protocol has any."""
        if self._protocol.beat_interval is not None:
            self._task = self._spawn(self._beat(link))

    def stop(self) -> None:
        """End with the connection."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _beat(self, link: Link) -> None:
        protocol, before = self._protocol, -1
        while (interval := protocol.beat_interval) is not None:
            await asyncio.sleep(max(MIN_INTERVAL, interval))
            received = self._session.statistics().messages_received
            if received == before and protocol.beat_answered:
                self._dead("nothing came since the last heartbeat")
                return
            before = received
            message = protocol.beat()
            if message is not None:
                self._outgoing.put(link, message)
