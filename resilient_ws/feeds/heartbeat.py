"""The heartbeats that a protocol wants of its client, one task for each connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.links import Link
    from resilient_ws.feeds.outgoing import Outgoing
    from resilient_ws.feeds.protocol import Protocol


class Heartbeat:
    """Sends heartbeats on the open connection.

    Args:
        protocol: Says how often, and what.
        outgoing: Sends them.
        spawn: Starts the task.
    """

    __slots__ = ("_outgoing", "_protocol", "_spawn", "_task")

    def __init__(
        self,
        protocol: Protocol,
        outgoing: Outgoing,
        spawn: Callable[[Any], asyncio.Task[None]],
    ) -> None:
        self._protocol = protocol
        self._outgoing = outgoing
        self._spawn = spawn
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
        while (interval := self._protocol.beat_interval) is not None:
            await asyncio.sleep(interval)
            message = self._protocol.beat()
            if message is not None:
                self._outgoing.put(link, message)
