"""What passed over a connection, as ``Session.tap`` shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs


#: What a message or a control frame is.
TrafficKind: TypeAlias = Literal["text", "binary", "ping", "pong", "close"]


@attrs.frozen
class Traffic:
    """A message or a control frame that was received, or handed to the transport.

    Attributes:
        at: When, in seconds of the event loop's monotonic clock.
        epoch: The ordinal of its connection, from 1. A connection that is lost before
            it is open leaves its ordinal to the next one.
        sent: Whether this side sent it.
        kind: ``text``, ``binary``, ``ping``, ``pong`` or ``close``.
        data: The message, whole and not compressed; the payload of a ping or pong; the
            reason of a close frame, which is a ``str``.
        code: The code of a close frame, 1005 when the frame held none; ``None`` with
            all else.
    """

    at: float
    epoch: int
    sent: bool
    kind: TrafficKind
    data: str | bytes
    code: int | None = None


#: The argument of ``Session.tap``.
Tap: TypeAlias = Callable[[Traffic], object]
