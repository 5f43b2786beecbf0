"""One connection that another library holds: a session that has only this one.

Rules: what was received is always handed over before the end is told. The end is
counted once, by whoever sees it first: the reader, or the session's own report.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs

import resilient_ws
from resilient_ws import (
    Close,
    ConnectionDropped,
    ConnectionStable,
    DeliveryState,
    GaveUp,
    Reconnect,
    ResilientWSError,
    SessionClosed,
)


if TYPE_CHECKING:
    from resilient_ws import Session
    from resilient_ws.adapters.outages import Outage


class LinkEnded(Exception):
    """The connection has ended, and all that it brought was taken.

    Attributes:
        close: The record of the closing handshake, or ``None``.
        because: What ended the connection; ``None`` for a regular close.
    """

    def __init__(self, close: Close | None, because: Exception | None) -> None:
        super().__init__()
        self.close = close
        self.because = because


class Link:
    """One open connection; ``dial`` makes it."""

    def __init__(self, session: Session, outage: Outage) -> None:
        self.session = session
        #: How it ended, once that was read, or the library has closed it.
        self.ended: LinkEnded | None = None
        self._outage = outage
        self._began = asyncio.get_running_loop().time()
        self._counted = False
        session.on(ConnectionDropped, self._dropped)
        session.on(ConnectionStable, self._stable)

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            LinkEnded: There is none, and there will be none.

        Cancellation:
            Safe: no message is lost.
        """
        if self.ended is not None:
            raise self.ended
        try:
            return await self.session.receive()
        except ResilientWSError as failure:
            end = self._end(failure)
        if end.close is None:
            # The session has ended, so this only returns its record.
            end.close = await self.session.close()
        self.ended = end
        raise end

    async def send(self, data: str | bytes | bytearray | memoryview) -> None:
        """Send one message on this connection, or not at all.

        Raises:
            LinkEnded: The connection has ended; the message was not sent.

        Cancellation:
            Safe: a cancelled ``send`` sends nothing.
        """
        try:
            delivery = await self.session.send(data, only_if_open=True)
        except (SessionClosed, GaveUp, resilient_ws.ConnectionLost) as failure:
            raise self._end(failure) from None
        if delivery.state is DeliveryState.DROPPED:
            raise LinkEnded(None, self.session.failure)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and wait for that; safe to call again."""
        if not self._counted:
            self._counted = True
            self._outage.left(self._began)
        record = await self.session.close(code, reason, drain=0)
        if self.ended is None:
            self.ended = LinkEnded(record, None)

    def _end(self, failure: Exception) -> LinkEnded:
        self._count(failure)
        if isinstance(failure, SessionClosed):
            return LinkEnded(failure.close, failure.failure)
        return LinkEnded(getattr(failure, "close", None), failure)

    def _dropped(self, event: ConnectionDropped) -> None:
        self._count(event.because)

    def _stable(self, _: ConnectionStable) -> None:
        self._outage.recovered()

    def _count(self, because: Exception) -> None:
        if not self._counted:
            self._counted = True
            self._outage.failed(because)


async def dial(url: str, outage: Outage, reconnect: Reconnect, **settings: Any) -> Link:
    """Open one connection, when it is its turn.

    Args:
        url: Where to dial.
        outage: Whose turn it is.
        reconnect: The policy; of it, this needs what tells a stable connection.
        settings: More arguments of ``resilient_ws.connect``.

    Raises:
        ResilientWSError: There is no connection; this says why.

    Cancellation:
        Safe; nothing is left behind.
    """
    once = attrs.evolve(reconnect, single=True, max_age=None)
    session = resilient_ws.connect(url, reconnect=once, wait_open=True, **settings)
    link = Link(session, outage)
    await outage.dial(session.__aenter__)
    return link
