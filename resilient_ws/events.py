"""The events that a session reports: frozen values, named in the past tense.

Rules: an event never changes. ``because`` is the exception that caused it. No event
holds a secret, and only ``MessageReceived`` holds a payload. An event with ``count``
above 1 stands for that many events of its class that came while the dispatcher was
busy; callbacks get it in the place of the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, SupportsIndex, TypeAlias

import attrs

from resilient_ws.errors import (
    ConnectionLost,
    LivenessTimeout,
    OpenTimeout,
    ResilientWSError,
    StoreError,
    TimeoutKind,
)
from resilient_ws.protocol.close import Close, meaning
from resilient_ws.state import DeliveryState, State


__all__ = [
    "AttemptFailed",
    "AttemptQueued",
    "ConfirmationOverdue",
    "ConnectionDropped",
    "ConnectionOpened",
    "ConnectionReplaced",
    "ConnectionStable",
    "ConnectionTimedOut",
    "DeliveryFailed",
    "Event",
    "HandlerFailed",
    "InboxOverflowed",
    "LoopLagged",
    "MessageReceived",
    "OutboxOverflowed",
    "PongReceived",
    "RetryScheduled",
    "ServerTerminated",
    "SessionClosed",
    "StateChanged",
    "StoreFailed",
]

#: What decided the delay of a retry: the policy's ``wait``, the server's
#: ``Retry-After``, extra time that the library adds to the wait (``floor``: after close
#: 1012 or 1013, or a fatal verdict that is not final yet), a failover to another URL,
#: or a request by the user.
RetrySource = Literal["wait", "retry_after", "floor", "failover", "request"]


class Event:
    """The base class of all events; callbacks take one as their argument.

    Attributes:
        session: The ``name`` of the session that reports the event, for a callback
            that is registered with several sessions.
    """

    # Not a field, so that equal events of two sessions compare equal.
    session: str = ""

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Pickle the session's name as well, which is not a field and attrs skips."""
        reduced = super().__reduce_ex__(protocol)
        if isinstance(self, BaseException) or isinstance(reduced, str):
            return reduced
        return _remade, (*reduced[:3], self.session)


def _remade(
    make: Callable[..., Any], arguments: tuple[Any, ...], state: object, session: str
) -> object:
    event = make(*arguments)
    event.__setstate__(state)
    object.__setattr__(event, "session", session)
    return event


@attrs.frozen(kw_only=True)
class StateChanged(Event):
    """The session moved from one state to another.

    Attributes:
        previous: The state that the session left.
        current: The state that the session is in now.
        because: The exception that caused the move, ``None`` for normal progress.
        retry_in: With ``BACKOFF``, the seconds until the next attempt.
    """

    previous: State
    current: State
    because: Exception | None = None
    retry_in: float | None = None


@attrs.frozen(kw_only=True)
class AttemptQueued(Event):
    """An attempt has to wait for a slot of the session's ``ConnectLimiter``.

    Attributes:
        attempt: The attempt's number in this outage, from 1.
        ahead: How many attempts, of all sessions, get a slot before this one.
    """

    attempt: int
    ahead: int


@attrs.frozen(kw_only=True)
class AttemptFailed(Event):
    """A connection was not opened, or was lost before it was open.

    Attributes:
        attempt: The attempt's number in this outage, from 1.
        endpoint: The URL, without secrets.
        because: The exception that the attempt failed with.
        elapsed: How many seconds it took, including any wait for a ``ConnectLimiter``.
    """

    attempt: int
    endpoint: str
    because: Exception
    elapsed: float


@attrs.frozen(kw_only=True)
class ConnectionOpened(Event):
    """A connection is open: it has been restored, and messages flow.

    Attributes:
        epoch: The connection's ordinal in the session, from 1.
        endpoint: The URL, without secrets.
        subprotocol: The subprotocol that the server selected, or ``None``.
        extensions: The negotiated extensions by name, each with its parameters.
        headers: The headers of the server's response, names in lower case, 8 KiB at
            most. ``repr`` hides values that may be secret.
        resumed_after: The seconds without an open connection, ``None`` for the first.
        elapsed: How many seconds the attempt took, ``on_open`` and any wait for a
            ``ConnectLimiter`` included.
    """

    epoch: int
    endpoint: str
    subprotocol: str | None = None
    extensions: Mapping[str, Mapping[str, str | None]]
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    resumed_after: float | None = None
    elapsed: float = 0.0


@attrs.frozen(kw_only=True)
class ConnectionStable(Event):
    """A connection was open for ``stable_after`` seconds; attempts count from 1 again.

    Attributes:
        epoch: The connection's ordinal.
    """

    epoch: int


@attrs.frozen(kw_only=True)
class ConnectionDropped(Event):
    """An open connection ended although the user had not asked for it.

    Attributes:
        epoch: The connection's ordinal.
        because: The exception that says why; ``because.how`` is the reason in one word.
        close: The record of the closing handshake, ``None`` when no close frame came.
        uptime: How many seconds the connection was open.
        clean: Whether both close frames were exchanged.
        unconfirmed: How many messages were written since the last answered ping.
    """

    epoch: int
    because: ConnectionLost
    close: Close | None
    uptime: float
    clean: bool
    unconfirmed: int


@attrs.frozen(kw_only=True)
class ConnectionReplaced(Event):
    """The session ended an open connection in order to replace it.

    ``session.reconnect()`` and ``Reconnect.max_age`` do this. It is not a drop.

    Attributes:
        epoch: The connection's ordinal.
        reason: The reason given to ``reconnect()``, or the session's own.
        close: The record of the closing handshake, ``None`` when no close frame came.
        uptime: How many seconds the connection was open.
    """

    epoch: int
    reason: str
    close: Close | None
    uptime: float


#: How an open connection ended, as ``with_interruptions(drops=True)`` yields it.
ConnectionEnd: TypeAlias = ConnectionDropped | ConnectionReplaced


@attrs.frozen(kw_only=True)
class ConnectionTimedOut(Event):
    """A timeout passed.

    Attributes:
        kind: ``open``, ``restore``, ``ping``, ``idle`` or ``close``.
        after: How many seconds the session waited.
    """

    kind: TimeoutKind
    after: float


@attrs.frozen(kw_only=True)
class ServerTerminated(Event):
    """The server sent a close frame.

    Attributes:
        code: The close code, 1005 when the frame held none.
        reason: The reason, as sent; pass it through ``printable`` before logging it.
        meaning: The meaning of the code, in words.
    """

    code: int
    reason: str
    meaning: str


@attrs.frozen(kw_only=True)
class RetryScheduled(Event):
    """The next attempt has been scheduled.

    Attributes:
        delay: How many seconds remain until the attempt.
        attempt: The attempt's number.
        because: The exception that made it necessary, ``None`` for a replacement.
        source: What decided the delay.
    """

    delay: float
    attempt: int
    because: Exception | None
    source: RetrySource


@attrs.frozen(kw_only=True)
class MessageReceived(Event):
    """A message arrived. A callback for this event is the session's only consumer.

    Attributes:
        data: ``str`` for text, ``bytes`` for binary.
        epoch: The ordinal of the connection that the message came on; 0 in an event
            that you made yourself.
    """

    data: str | bytes
    epoch: int = 0


@attrs.frozen(kw_only=True)
class PongReceived(Event):
    """The peer answered one of our pings.

    Attributes:
        latency: How many seconds the answer took.
        count: How many answers this event stands for.
    """

    latency: float
    count: int = 1


@attrs.frozen(kw_only=True)
class LoopLagged(Event):
    """The event loop was blocked, so a verdict on the link was postponed.

    Attributes:
        by: How many seconds late a timer was.
        count: How many lags this event stands for.
    """

    by: float
    count: int = 1


@attrs.frozen(kw_only=True)
class OutboxOverflowed(Event):
    """The outbox was full and its ``overflow`` discarded messages.

    Attributes:
        overflow: The value of ``Outbox.overflow``.
        discarded: How many messages were discarded.
        count: How many reports this event stands for.
    """

    overflow: str
    discarded: int
    count: int = 1


@attrs.frozen(kw_only=True)
class InboxOverflowed(Event):
    """The inbox was full. With ``pause`` nothing is lost, but reading has stopped.

    Attributes:
        overflow: The value of ``Inbox.overflow``.
        discarded: How many messages were discarded.
        count: How many reports this event stands for.
    """

    overflow: str
    discarded: int
    count: int = 1


@attrs.frozen(kw_only=True)
class DeliveryFailed(Event):
    """An accepted message will not be delivered.

    Attributes:
        state: The final state of the message.
        message_id: The id that the message was sent with, or ``None``.
        maybe_delivered: Whether the peer may have received it all the same.
    """

    state: DeliveryState
    message_id: str | None
    maybe_delivered: bool = False


@attrs.frozen(kw_only=True)
class ConfirmationOverdue(Event):
    """Messages were written but are not confirmed; reported once per connection.

    The connection stays open, because only ``Liveness`` decides whether it is alive.
    Some servers answer pings only while their application reads, and some never do.

    Attributes:
        after: How many seconds the oldest of these messages has waited.
        unconfirmed: How many messages are not confirmed.
    """

    after: float
    unconfirmed: int


@attrs.frozen(kw_only=True)
class StoreFailed(Event):
    """The store of the outbox failed; the session will try it again.

    Reported once until the store works again. Messages in the store stay there.

    Attributes:
        because: The exception that the store failed with.
    """

    because: StoreError


@attrs.frozen(kw_only=True)
class HandlerFailed(Event):
    """One of your callables raised an exception; the session continues.

    Attributes:
        handler: The name of the callable.
        event: The class of the event it was called for, or the policy it belongs to.
        because: The exception.
    """

    handler: str
    event: str
    because: Exception


class SessionClosed(ResilientWSError, Event):
    """The session has ended: reported to callbacks, and raised by later calls.

    Attributes:
        close: The record of the last closing handshake, or ``None``.
        failure: The exception that ended the session, ``None`` after ``close()``.
        dropped: How many messages were still in the outbox and are lost.
        stored: How many messages stay in a durable outbox.
    """

    def __init__(
        self,
        message: str = "The session is closed; make a new one with connect().",
        *,
        close: Close | None = None,
        failure: Exception | None = None,
        dropped: int = 0,
        stored: int = 0,
    ) -> None:
        super().__init__(message)
        self.close = close
        self.failure = failure
        self.dropped = dropped
        self.stored = stored


def signal_of(because: Exception) -> Event | None:
    """Return the event to report before the loss itself, or ``None``.

    Only a timeout and a close frame from the server have such an event.
    """
    if isinstance(because, LivenessTimeout):
        return ConnectionTimedOut(kind=because.kind, after=because.after)
    if isinstance(because, OpenTimeout):
        return ConnectionTimedOut(kind=because.kind, after=because.after)
    close = because.close if isinstance(because, ConnectionLost) else None
    if close is not None and close.initiator == "peer":
        return ServerTerminated(
            code=close.code, reason=close.reason, meaning=meaning(close.code)
        )
    return None
