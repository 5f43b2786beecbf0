"""Iterating over what was received; ``Session`` makes these.

Rules: an iterator may be cancelled and asked again; the common case, a message that is
there, takes no detour; whoever iterates holds the session.
"""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING

from resilient_ws.tracebacks import without_frames


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from resilient_ws.belonging import Home
    from resilient_ws.events import ConnectionDropped
    from resilient_ws.inbox import InboxQueue, Interruption, Message


class Iteration:
    """Iterates over messages, and over what stands between them, as ``take`` does."""

    __slots__ = ("_home", "_inbox", "_session", "_take")

    def __init__(
        self,
        inbox: InboxQueue,
        home: Home,
        take: Callable[[], Message | Interruption | ConnectionDropped | None],
        session: object,
    ) -> None:
        self._inbox = inbox
        self._home = home
        self._take = take
        # A session that nobody holds is ended, and this one is in use.
        self._session = session

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message | Interruption | ConnectionDropped:
        # In another thread than at first, the loop may have moved there. Waiting makes
        # the whole of the check in any case.
        if get_ident() != self._home.thread:
            self._home.check()
        reading = self._inbox.reading
        if len(reading) > 1:
            return reading.pop()
        self._home.check()
        item: Message | Interruption | ConnectionDropped | None
        item = await self._inbox.first(self._take)
        if item is not None:
            return item
        if self._inbox.failure is not None:
            raise without_frames(self._inbox.failure)
        raise StopAsyncIteration
