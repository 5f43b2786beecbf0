"""One connection that another library holds: a session that has only this one.

Rules: what was received is always handed over before the end is told. The end is
counted once, by whoever sees it first: the reader, or the session's own report.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import attrs

import resilient_ws
from resilient_ws import (
    Close,
    ConnectionDropped,
    ConnectionStable,
    DeliveryState,
    GaveUp,
    Outbox,
    Reconnect,
    ResilientWSError,
    SessionClosed,
)


if TYPE_CHECKING:
    from resilient_ws import Session
    from resilient_ws.adapters.outages import EndpointOutage

#: Nothing waits in it, and other libraries do not bound a message that they send.
_ROOMY: Final = Outbox(max_bytes=2**30)


class ConnectionOver(Exception):
    """The connection has ended, and all that it brought was taken.

    Attributes:
        close: The record of the closing handshake, or ``None``.
        because: What ended the connection; ``None`` for a regular close.
    """

    def __init__(self, close: Close | None, because: Exception | None) -> None:
        super().__init__()
        self.close = close
        self.because = because


class Tally:
    """Counts the end of one connection once, whoever sees it first.

    The session's callbacks refer to this and not to the session, which they would keep
    alive for ever.
    """

    def __init__(self, outage: EndpointOutage) -> None:
        self.began = asyncio.get_running_loop().time()
        self._outage = outage
        self._done = False

    def ended(self, because: Exception) -> None:
        """Count a connection that ended by itself."""
        if not self._done:
            self._done = True
            self._outage.failed(because, self.began)

    def left(self) -> None:
        """Note that the library closes the connection."""
        if not self._done:
            self._done = True
            self._outage.left(self.began)

    def dropped(self, event: ConnectionDropped) -> None:
        """Take the session's report of an end."""
        self.ended(event.because)

    def stable(self, _: ConnectionStable) -> None:
        """Take the session's report of a stable connection."""
        self._outage.recovered()


class HeldConnection:
    """One open connection; ``dial`` makes it.

    Args:
        session: The session of this connection alone.
        tally: Where its end is counted.
    """

    def __init__(self, session: Session, tally: Tally) -> None:
        self.session = session
        #: How it ended, once that was read, or the library has closed it.
        self.ended: ConnectionOver | None = None
        self._tally = tally

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            ConnectionOver: There is none, and there will be none.

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
            ConnectionOver: The connection has ended; the message was not sent.

        Cancellation:
            Safe: a cancelled ``send`` sends nothing.
        """
        try:
            delivery = await self.session.send(data, only_if_open=True)
        except (SessionClosed, GaveUp, resilient_ws.ConnectionLost) as failure:
            raise self._end(failure) from None
        if delivery.state is DeliveryState.DROPPED:
            raise ConnectionOver(None, self.session.failure)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and wait for that; safe to call again.

        Args:
            code: The close code (default 1000).
            reason: The close reason, at most 123 bytes.

        Cancellation:
            Ends only this wait; the connection still closes.
        """
        self._tally.left()
        record = await self.session.close(code, reason, drain=0)
        if self.ended is None:
            self.ended = ConnectionOver(record, None)

    def _end(self, failure: Exception) -> ConnectionOver:
        self._tally.ended(failure)
        if isinstance(failure, SessionClosed):
            return ConnectionOver(failure.close, failure.failure)
        return ConnectionOver(getattr(failure, "close", None), failure)


async def dial(
    url: str, outage: EndpointOutage, reconnect: Reconnect, **settings: Any
) -> HeldConnection:
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
    settings.setdefault("outbox", _ROOMY)
    session = resilient_ws.connect(url, reconnect=once, wait_open=True, **settings)
    tally = Tally(outage)
    session.on(ConnectionDropped, tally.dropped)
    session.on(ConnectionStable, tally.stable)
    await outage.dial(session.__aenter__)
    tally.began = asyncio.get_running_loop().time()
    return HeldConnection(session, tally)
