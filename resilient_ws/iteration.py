"""Iterating over what was received; ``Session`` makes these.

Rules: an iterator may be cancelled and asked again; the common case, a message that is
there, takes no detour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from resilient_ws.inbox import InboxQueue, Interruption, Message


class Messages:
    """Iterates over messages alone."""

    def __init__(self, inbox: InboxQueue, check_loop: Callable[[], None]) -> None:
        self._inbox = inbox
        self._check_loop = check_loop

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        reading = self._inbox.reading
        if len(reading) > 1:
            return reading.popleft()
        self._check_loop()
        message = await self._inbox.take()
        if message is None:
            raise _end_of(self._inbox)
        return message


class Items:
    """Iterates over messages and interruptions."""

    def __init__(self, inbox: InboxQueue, check_loop: Callable[[], None]) -> None:
        self._inbox = inbox
        self._check_loop = check_loop

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message | Interruption:
        reading = self._inbox.reading
        if len(reading) > 1:
            return reading.popleft()
        self._check_loop()
        item = await self._inbox.take_item()
        if item is None:
            raise _end_of(self._inbox)
        return item


def _end_of(inbox: InboxQueue) -> Exception:
    """Return what ends an iteration: the failure once, or the plain end."""
    if inbox.failure is not None:
        return inbox.failure.with_traceback(None)
    return StopAsyncIteration()
