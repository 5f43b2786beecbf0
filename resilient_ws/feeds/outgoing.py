"""Messages that the pump sends without waiting: acknowledgements, answers, heartbeats.

Rules: each goes out on the connection that it belongs to, or not at all. They wait in a
bounded line; a server that does not read loses the oldest, and they are counted. So is
one that cannot be sent, such as an answer that repeats what is not Unicode.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import ResilientWSError
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    from resilient_ws.feeds.links import Link
    from resilient_ws.protocol.message import Message


#: Messages that may wait.
MAX_WAITING: Final = 1000


class Outgoing:
    """The line of messages, and the loop that sends them."""

    __slots__ = ("_idle", "_line", "_wake", "dropped")

    def __init__(self) -> None:
        self._line: deque[tuple[Link, Message]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        #: Messages that were not sent.
        self.dropped = 0

    def put(self, link: Link, message: Message) -> None:
        """Send a message soon. Never waits."""
        self._idle.clear()
        self._line.append((link, message))
        if len(self._line) > MAX_WAITING:
            self._line.popleft()
            self.dropped += 1
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def settled(self) -> None:
        """Wait until nothing waits to be sent."""
        await self._idle.wait()

    async def run(self) -> None:
        """Send what comes, until cancelled."""
        while True:
            while self._line:
                link, message = self._line.popleft()
                if link.gone.is_set() or not await _sent(link, message):
                    self.dropped += 1
            self._idle.set()
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake


async def _sent(link: Link, message: Message) -> bool:
    """Send a message; return whether that was possible."""
    try:
        delivery = await link.send(message)
    except (ValueError, ResilientWSError):
        return False
    return delivery.state is not DeliveryState.DROPPED
