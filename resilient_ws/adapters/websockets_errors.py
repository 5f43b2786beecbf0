"""What ``websockets`` raises where a session could not connect, or has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    SecurityError as InsecureHandshake,
)
from websockets.frames import Close as ClosePair
from websockets.http11 import Response

from resilient_ws import (
    ConnectFailed,
    ConnectionLost,
    HandshakeRejected,
    OpenTimeout,
    ProtocolError,
    ResilientWSError,
    SecurityError,
)


if TYPE_CHECKING:
    from resilient_ws.adapters.held_connection import ConnectionOver
    from resilient_ws.protocol.close import CloseFrame

#: Close codes after which ``async for`` ends as if nothing had happened.
_FINE: Final = frozenset((1000, 1001, 1005))


def as_websockets(failure: ResilientWSError) -> Exception:
    """Return the exception that a program expects where a dial failed."""
    text = str(failure)
    if isinstance(failure, HandshakeRejected):
        headers = Headers(list(failure.headers.items()))
        return InvalidStatus(Response(failure.status, "", headers, failure.body))
    if isinstance(failure, OpenTimeout):
        return TimeoutError("timed out during opening handshake")
    if isinstance(failure, ConnectFailed) and failure.stage != "handshake":
        cause = failure.__cause__
        return cause if isinstance(cause, OSError) else OSError(failure.errno, text)
    if isinstance(failure, SecurityError):
        return InsecureHandshake(text)
    if isinstance(failure, ConnectionLost) and not isinstance(failure, ProtocolError):
        lost = InvalidMessage(text)
        # It is transient where it stems from this.
        lost.__cause__ = EOFError(text)
        return lost
    return InvalidHandshake(text)


def as_closed(end: ConnectionOver) -> ConnectionClosed:
    """Return the exception of a connection that has ended."""
    record = end.close
    received = None if record is None else _pair(record.received)
    sent = None if record is None else _pair(record.sent)
    order: bool | None = None
    if record is not None and received is not None and sent is not None:
        order = record.initiator == "peer"
    fine = order is not None and all(
        pair is not None and pair.code in _FINE for pair in (received, sent)
    )
    kind = ConnectionClosedOK if fine else ConnectionClosedError
    closed = kind(received, sent, order)
    closed.__cause__ = None if fine else end.because
    return closed


def _pair(frame: CloseFrame | None) -> ClosePair | None:
    return None if frame is None else ClosePair(frame.code, frame.reason)
