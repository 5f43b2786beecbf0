"""What the attribute ``error.type`` says of a failure: one of few words.

Rules: the number of values is bounded, whatever a server sends, because each is a time
series of its own. A status or a close code that no standard names counts with others.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from resilient_ws import (
    ConnectFailed,
    ConnectionLost,
    HandshakeRejected,
    LivenessTimeout,
    OpenTimeout,
    ResilientWSError,
)


if TYPE_CHECKING:
    from collections.abc import Mapping


#: Each value, or pattern of values, and what it means.
ERROR_TYPES: Final[Mapping[str, str]] = {
    "resolve, connect, tls, certificate, proxy, handshake": (
        "where the dial failed (`ConnectFailed.stage`)"
    ),
    "503, 401, …": "the HTTP status that the server answered with instead of 101",
    "proxy_407, …": "the HTTP status of a proxy",
    "open_timeout, restore_timeout": "the connection was not open in time",
    "on_open": "the `on_open` hook raised",
    "ping_timeout, idle_timeout": "the server fell silent, or sent no message",
    "close_1001, close_1012, …": "the server closed with this code of a standard",
    "close_4xxx": "the server closed with a code of its own; the log has the code",
    "close_other": "the server closed with any other code",
    "reset, eof, half_close, write": "the connection was lost (`ConnectionLost.how`)",
    "protocol": "the server broke RFC 6455",
    "GaveUp, SecurityError, StoreError, Fatal, …": "the class of any other error",
}

_STATUSES: Final = frozenset(status.value for status in HTTPStatus)
#: Of RFC 6455 and of the registry of IANA.
_CODES: Final = frozenset({*range(1000, 1016), 3000, 3003, 3008})
_OWN_CODES: Final = range(4000, 5000)
#: What OpenTelemetry calls a value for which there is no word.
_OTHER: Final = "_OTHER"


def error_type(failure: Exception | None) -> str:  # noqa: PLR0911 - one for each kind
    """Return the word for a failure; an empty one if there was none."""
    match failure:
        case None:
            return ""
        case HandshakeRejected():
            return _status(failure)
        case ConnectFailed():
            return failure.stage
        case LivenessTimeout() | OpenTimeout():
            return f"{failure.kind}_timeout"
        case ConnectionLost(how="close", close=close) if close is not None:
            return _closed(close.code)
        case ConnectionLost():
            return failure.how
        case ResilientWSError():
            return type(failure).__name__
        case _:
            # Only on_open raises errors that are not ours.
            return "on_open"


def _status(rejected: HandshakeRejected) -> str:
    known = rejected.status in _STATUSES
    status = str(rejected.status) if known else _OTHER
    return f"proxy_{status}" if rejected.by == "proxy" else status


def _closed(code: int) -> str:
    if code in _CODES:
        return f"close_{code}"
    return "close_4xxx" if code in _OWN_CODES else "close_other"
