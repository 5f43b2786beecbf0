"""The messages that arrive while ``on_open`` restores a connection.

Rules: they wait in a buffer of their own, so that a full inbox cannot starve the hook.
Those that the hook does not take join the inbox, in order, when the connection opens.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws.inbox.queue import MAX_AT_ONCE
from resilient_ws.protocol.message import size_of


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.errors import ConnectionLost
    from resilient_ws.inbox.policy import Inbox
    from resilient_ws.inbox.queue import InboxQueue
    from resilient_ws.protocol.message import Message


class RestoreBuffer:
    """Holds the messages of a connection until it is open; a sink of the wire."""

    __slots__ = ("_arrival", "_messages", "_on_room", "_policy", "_size", "_taken")

    #: A connection that is not open yet is never ended because its buffer is full.
    closes = False

    def __init__(self, policy: Inbox) -> None:
        self._policy = policy
        self._messages: list[Message] = []
        self._size = 0
        # What to call when there is room, while reading has stopped for lack of it.
        self._on_room: Callable[[], None] | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._taken = 0

    @property
    def deliver(self) -> Callable[[Message], None]:
        """The callable that the engine passes each message to."""
        return self._messages.append

    def room(self) -> int:
        """Return how many messages may be delivered now."""
        if self._size >= self._policy.max_bytes:
            return 0
        return self._policy.max_messages - len(self._messages)

    def space(self) -> int:
        """Return how many payload bytes may be delivered now."""
        return self._policy.max_bytes - self._size

    def arrived(self, size: int) -> bool:
        """Count the messages of a chunk, ``size`` payload bytes in all.

        Returns:
            Whether the buffer has no room for another byte.
        """
        self._size += size
        if self._arrival is not None:
            self._arrival.set_result(None)
            self._arrival = None
        return self._size >= self._policy.max_bytes

    def reading_paused(self, on_room: Callable[[], None]) -> None:
        """Call ``on_room`` when there is room again, until ``reading_resumed``."""
        self._on_room = on_room

    def reading_resumed(self) -> None:
        """Record that reading continues."""
        self._on_room = None

    async def take(
        self,
        matching: Callable[[Message], object] | None,
        ended: asyncio.Future[ConnectionLost],
    ) -> Message:
        """Return the first message that matches; raise if the connection has ended."""
        if self._taken % MAX_AT_ONCE == MAX_AT_ONCE - 1:
            # A hook that always finds a message must not block the loop.
            await asyncio.sleep(0)
        seen = taken = 0
        while True:
            if taken != self._taken:
                # Another receive() of the hook took a message and shifted the indexes.
                seen, taken = 0, self._taken
            for place in range(seen, len(self._messages)):
                message = self._messages[place]
                if matching is None or matching(message):
                    del self._messages[place]
                    self._taken += 1
                    self._make_room(message)
                    return message
            seen = len(self._messages)
            if ended.done():
                raise ended.result()
            if self._arrival is None:
                self._arrival = asyncio.get_running_loop().create_future()
            await asyncio.wait(
                (self._arrival, ended), return_when=asyncio.FIRST_COMPLETED
            )

    def _make_room(self, message: Message) -> None:
        self._size -= size_of(message)
        if self._on_room is not None and self.room() > 0:
            self._on_room()

    def join(self, inbox: InboxQueue) -> None:
        """Move the remaining messages to the inbox, in order."""
        if self._messages:
            inbox.extend(self._messages, self._size)
            self._messages, self._size = [], 0
