"""The connections of a session, as its channel sees them: one after the other.

Rules: a link is open from the moment at which the pump has routed everything that came
before it, to the moment at which it has routed everything that came on it. What is sent
on a link goes out on that connection, or not at all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws import DeliveryState
from resilient_ws.feeds.errors import renewed


if TYPE_CHECKING:
    from resilient_ws import Delivery, Session
    from resilient_ws.protocol.message import Message


class Link:
    """One open connection.

    Attributes:
        epoch: Its ordinal, as ``session.epoch`` counts.
        gone: Set when it has ended.
    """

    __slots__ = ("_session", "epoch", "gone")

    def __init__(self, session: Session, epoch: int) -> None:
        self._session = session
        self.epoch = epoch
        self.gone = asyncio.Event()

    async def send(self, message: Message) -> Delivery:
        """Send a message on this connection, or drop it.

        Cancellation:
            Safe: a cancelled message is not sent.
        """
        # Whatever the outbox confirms: here an answer does, if anything.
        return await self._session.send(message, epoch=self.epoch, confirm="write")


class Links:
    """The link that is open, and those who wait for the next."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._link: Link | None = None
        # Each gets the link, or what ended the session.
        self._waiters: list[asyncio.Future[Link | Exception]] = []
        self._failure: Exception | None = None

    @property
    def link(self) -> Link | None:
        """The open link, or ``None``."""
        return self._link

    async def current(self) -> Link:
        """Return the open link; wait for the next one if there is none.

        Raises:
            Exception: What ended the session.

        Cancellation:
            Safe.
        """
        if self._failure is not None:
            raise renewed(self._failure)
        if self._link is not None:
            return self._link
        waiter: asyncio.Future[Link | Exception]
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            found = await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        if isinstance(found, Exception):
            raise renewed(found)
        return found

    async def send(self, message: Message) -> Link:
        """Send a message on the open link, or the next; return the link.

        Raises:
            Exception: What ended the session.

        Cancellation:
            Safe: a cancelled message is not sent.
        """
        while True:
            link = await self.current()
            delivery = await link.send(message)
            if delivery.state is not DeliveryState.DROPPED:
                return link
            await link.gone.wait()

    def opened(self, epoch: int) -> Link:
        """Take note of an open connection."""
        link = self._link = Link(self._session, epoch)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(link)
        return link

    def ended(self) -> Link | None:
        """Take note that the connection has ended; return it."""
        link, self._link = self._link, None
        if link is not None:
            link.gone.set()
        return link

    def finish(self, failure: Exception) -> None:
        """Fail those who wait: the session has ended."""
        self._failure = failure
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(failure)
