"""Iterating over what was received; ``Session`` makes these.

Rules: an iterator may be cancelled and asked again; the common case, a message that is
there, takes no detour.
"""

from __future__ import annotations

from asyncio import get_running_loop
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from typing import Self

    from resilient_ws.belonging import Home
    from resilient_ws.inbox import InboxQueue, Interruption, Message


class Messages:
    """Iterates over messages alone."""

    def __init__(self, inbox: InboxQueue, home: Home) -> None:
        self._inbox = inbox
        self._home = home
        self._loop = home.loop

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if get_running_loop() is not self._loop:
            raise self._home.stranger()
        reading = self._inbox.reading
        if len(reading) > 1:
            return reading.popleft()
        message = await self._inbox.take()
        if message is None:
            raise _end_of(self._inbox)
        return message


class Items:
    """Iterates over messages and interruptions."""

    def __init__(self, inbox: InboxQueue, home: Home) -> None:
        self._inbox = inbox
        self._home = home
        self._loop = home.loop

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message | Interruption:
        if get_running_loop() is not self._loop:
            raise self._home.stranger()
        reading = self._inbox.reading
        if len(reading) > 1:
            return reading.popleft()
        item = await self._inbox.take_item()
        if item is None:
            raise _end_of(self._inbox)
        return item


def _end_of(inbox: InboxQueue) -> Exception:
    """Return what ends an iteration: the failure once, or the plain end."""
    if inbox.failure is not None:
        return inbox.failure.with_traceback(None)
    return StopAsyncIteration()
