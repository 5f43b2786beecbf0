"""The errors that say how an established connection was lost.

Rules: if an RST may have destroyed a close frame, the text says so; a close code of
1006 is never made up.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from resilient_ws.errors import ConnectionLost, How, ProtocolError
from resilient_ws.policy.hints import close_hint
from resilient_ws.protocol.close import meaning
from resilient_ws.transport.tcp import errno_of, name_of


if TYPE_CHECKING:
    from resilient_ws.protocol.close import Close
    from resilient_ws.protocol.violation import Violation


def by_us(record: Close | None) -> ConnectionLost:
    """Return the error for a connection that we ended."""
    return ConnectionLost("We ended the connection.", how="local", close=record)


def by_close(record: Close | None, *, ours: bool) -> ConnectionLost:
    """Return the error for a received close frame.

    Args:
        record: The closing handshake.
        ours: Whether we had asked for it.
    """
    text = f"The connection was {record}."
    hint = None if ours or record is None else close_hint(record.code)
    if hint is not None:
        text += f" {hint}"
    return ConnectionLost(text, how="local" if ours else "close", close=record)


def by_violation(violation: Violation, record: Close | None) -> ProtocolError:
    """Return the error for a peer that broke the protocol."""
    code = violation.code
    text = (
        f"The peer broke the protocol: {violation.text} (closed with {code}, "
        f"{meaning(code)})."
    )
    hint = close_hint(code)
    if hint is not None:
        text += f" {hint}"
    return ProtocolError(text, code=code, close=record)


def at_eof(record: Close | None, *, gone: bool) -> ConnectionLost:
    """Return the error for a stream that ended without a close frame.

    Args:
        record: The closing handshake, as far as it went.
        gone: Whether the peer takes no more bytes either.
    """
    if gone:
        text = (
            "The stream ended without a close frame and the peer is gone: its process "
            "ended or its host closed the connection."
        )
    else:
        text = (
            "The stream ended without a close frame while the peer still takes bytes: "
            "it closed its half of the connection."
        )
    how: How = "eof" if gone else "half_close"
    return ConnectionLost(text, how=how, close=_answered(record))


def by_error(failure: Exception, record: Close | None) -> ConnectionLost:
    """Return the error for an error of the transport; its errno is kept."""
    number = errno_of(failure)
    how: How = "reset"
    if isinstance(failure, ConnectionResetError):
        text = (
            "The connection was reset by the peer or by something on the way. A close "
            "frame may have been lost with the reset."
        )
    elif isinstance(failure, BrokenPipeError):
        how = "write"
        text = (
            "The peer had ended the connection when we wrote to it. A close frame may "
            "have been lost with it."
        )
    else:
        kind = type(failure).__name__
        if isinstance(failure, ssl.SSLError):
            # The class only says that TLS failed; OpenSSL's reason says how.
            kind = f"{kind}: {failure.reason or 'no reason known'}"
        known = "" if number is None else f"{name_of(number)}: "
        text = f"The connection was lost ({known}{kind})."
    return ConnectionLost(text, how=how, close=_answered(record), errno=number)


def _answered(record: Close | None) -> Close | None:
    """Return the record if the peer sent a close frame, ``None`` otherwise."""
    return record if record is not None and record.received is not None else None
