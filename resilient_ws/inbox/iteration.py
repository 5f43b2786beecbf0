"""The iterators behind ``async for`` and ``with_interruptions``.

Rules: an iterator can be cancelled and used again. It pops messages from the page that
is being read without a check of the inbox. It holds a reference to its session.
"""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING

from resilient_ws.policy.tracebacks import without_frames


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from resilient_ws.eventloop.affinity import Home
    from resilient_ws.events import ConnectionEnd
    from resilient_ws.inbox import InboxQueue, Interruption
    from resilient_ws.protocol.message import Message


class Iteration:
    """Iterates over the items that ``take`` returns: messages, holes and drops."""

    __slots__ = ("_home", "_inbox", "_session", "_take", "_unread")

    def __init__(
        self,
        inbox: InboxQueue,
        home: Home,
        take: Callable[[], Message | Interruption | ConnectionEnd | None],
        session: object,
    ) -> None:
        self._inbox = inbox
        self._unread = inbox.unread
        self._home = home
        self._take = take
        # A session without references is ended, so keep one while it is iterated over.
        self._session = session

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message | Interruption | ConnectionEnd:
        # The loop may have moved to another thread since the session was entered. This
        # cheap test catches that; the slow path below always runs the full check.
        if get_ident() != self._home.thread:
            self._home.check()
        page = self._unread.page
        if len(page) > 1:
            return page.pop()
        self._home.check()
        item: Message | Interruption | ConnectionEnd | None
        item = await self._inbox.wait_and_take(self._take)
        if item is not None:
            return item
        if self._inbox.failure is not None:
            raise without_frames(self._inbox.failure)
        raise StopAsyncIteration
