"""What a session reports: frozen values, named in the past tense.

Rules: an event is a fact and never changes; ``because`` is the exception that caused
it; nothing here holds a payload (but ``MessageReceived``) or a secret. An event with
``count`` above 1 stands for as many alike that came while the dispatcher was busy, and
is told in the place of the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, SupportsIndex

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

#: What steered the delay of a retry: the policy's wait, the server's ``Retry-After``,
#: a raised floor (close 1012 and 1013, a fatal verdict that is not final yet),
#: the change to another URL, or a request by the user.
RetrySource = Literal["wait", "retry_after", "floor", "failover", "request"]


class Event:
    """The root of all events: the argument of a callback.

    Attributes:
        session: The ``name`` of the session that tells it, for a callback that is
            registered with several.
    """

    # Not a field: what happened is the same, whoever tells it.
    session: str = ""

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Travel with the name of the session, of which attrs knows nothing."""
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
        previous: The state it left.
        current: The state it is in.
        because: What caused the move, ``None`` for plain progress.
        retry_in: With ``BACKOFF``, the seconds until the next attempt.
    """

    previous: State
    current: State
    because: Exception | None = None
    retry_in: float | None = None


@attrs.frozen(kw_only=True)
class AttemptQueued(Event):
    """An attempt waits for a slot of the session's ``ConnectLimiter``.

    Attributes:
        attempt: Its number in this outage, from 1.
        ahead: How many attempts, of all sessions, get a slot before it.
    """

    attempt: int
    ahead: int


@attrs.frozen(kw_only=True)
class AttemptFailed(Event):
    """A connection was not opened, or was lost before it was open.

    Attributes:
        attempt: Its number in this outage, from 1.
        endpoint: The URL, without secrets.
        because: Why.
        elapsed: The seconds it took, with the wait for a ``ConnectLimiter``.
    """

    attempt: int
    endpoint: str
    because: Exception
    elapsed: float


@attrs.frozen(kw_only=True)
class ConnectionOpened(Event):
    """A connection is open: restored, and messages flow.

    Attributes:
        epoch: Its ordinal in the session, from 1.
        endpoint: The URL, without secrets.
        subprotocol: What the server selected, or ``None``.
        extensions: What was negotiated, by name, each with its parameters.
        headers: Those of the server's answer, names in lower case: 8 KiB of them at
            most. ``repr`` hides what may be a secret.
        resumed_after: The seconds without an open connection, ``None`` at first.
    """

    epoch: int
    endpoint: str
    subprotocol: str | None = None
    extensions: Mapping[str, Mapping[str, str | None]]
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    resumed_after: float | None = None


@attrs.frozen(kw_only=True)
class ConnectionStable(Event):
    """A connection has been open for ``stable_after`` seconds; attempts count anew.

    Attributes:
        epoch: Its ordinal.
    """

    epoch: int


@attrs.frozen(kw_only=True)
class ConnectionDropped(Event):
    """An open connection ended, and the user had not asked for it.

    Attributes:
        epoch: Its ordinal.
        because: Why; ``because.how`` says it in one word.
        close: The record of the closing handshake, ``None`` when no close frame came.
        uptime: The seconds it was open.
        clean: Whether both close frames were exchanged.
        unconfirmed: Messages written since the last ping that came back.
    """

    epoch: int
    because: ConnectionLost
    close: Close | None
    uptime: float
    clean: bool
    unconfirmed: int


@attrs.frozen(kw_only=True)
class ConnectionReplaced(Event):
    """An open connection was ended because another one is wanted in its place.

    By ``session.reconnect()`` or at ``Reconnect.max_age``. It is not a drop.

    Attributes:
        epoch: Its ordinal.
        reason: Why, in the words of whoever asked.
        close: The record of the closing handshake, ``None`` when no close frame came.
        uptime: The seconds it was open.
    """

    epoch: int
    reason: str
    close: Close | None
    uptime: float


@attrs.frozen(kw_only=True)
class ConnectionTimedOut(Event):
    """Something took longer than was allowed.

    Attributes:
        kind: ``open``, ``restore``, ``ping``, ``idle`` or ``close``.
        after: The seconds waited.
    """

    kind: TimeoutKind
    after: float


@attrs.frozen(kw_only=True)
class ServerTerminated(Event):
    """The server sent a close frame.

    Attributes:
        code: Its code; 1005 when it held none.
        reason: Its reason, as sent; ``printable`` makes it fit for a log.
        meaning: What the code means, in words.
    """

    code: int
    reason: str
    meaning: str


@attrs.frozen(kw_only=True)
class RetryScheduled(Event):
    """The next attempt has its time.

    Attributes:
        delay: The seconds until then.
        attempt: The number it will have.
        because: What made it necessary, ``None`` for a replacement that was asked for.
        source: What decided the delay.
    """

    delay: float
    attempt: int
    because: Exception | None
    source: RetrySource


@attrs.frozen(kw_only=True)
class MessageReceived(Event):
    """A message arrived. Its callback is the session's one consumer.

    Attributes:
        data: ``str`` for text, ``bytes`` for binary.
        epoch: The ordinal of the connection that it came on; 0 in an event that you
            made yourself.
    """

    data: str | bytes
    epoch: int = 0


@attrs.frozen(kw_only=True)
class PongReceived(Event):
    """The answer to one of our pings came back.

    Attributes:
        latency: The seconds it took.
        count: How many it stands for.
    """

    latency: float
    count: int = 1


@attrs.frozen(kw_only=True)
class LoopLagged(Event):
    """The event loop was blocked, so a verdict on the link was put off.

    Attributes:
        by: The seconds by which a timer came late.
        count: How many it stands for.
    """

    by: float
    count: int = 1


@attrs.frozen(kw_only=True)
class OutboxOverflowed(Event):
    """The outbox was full and its ``overflow`` discarded messages.

    Attributes:
        overflow: The rule that decided.
        discarded: How many messages.
        count: How many reports it stands for.
    """

    overflow: str
    discarded: int
    count: int = 1


@attrs.frozen(kw_only=True)
class InboxOverflowed(Event):
    """The inbox was full. With ``pause`` nothing is lost, but reading has stopped.

    Attributes:
        overflow: The rule that decided.
        discarded: How many messages.
        count: How many reports it stands for.
    """

    overflow: str
    discarded: int
    count: int = 1


@attrs.frozen(kw_only=True)
class DeliveryFailed(Event):
    """A message that was accepted will not be delivered.

    Attributes:
        state: What became of it.
        message_id: The id it was sent with, or ``None``.
        maybe_delivered: Whether the peer may have received it all the same.
    """

    state: DeliveryState
    message_id: str | None
    maybe_delivered: bool = False


@attrs.frozen(kw_only=True)
class ConfirmationOverdue(Event):
    """Messages were written and are not confirmed; once per connection.

    The connection goes on: whether it is alive is for ``Liveness`` to say. Some servers
    answer pings only while their application reads, and some never do.

    Attributes:
        after: The seconds for which the oldest of them has waited.
        unconfirmed: How many there are.
    """

    after: float
    unconfirmed: int


@attrs.frozen(kw_only=True)
class StoreFailed(Event):
    """The store of the outbox could not do its work; it is asked again.

    Reported once, until the store works again. What waits in it stays there meanwhile.

    Attributes:
        because: Why.
    """

    because: StoreError


@attrs.frozen(kw_only=True)
class HandlerFailed(Event):
    """A callable of yours raised; the session goes on.

    Attributes:
        handler: Its name.
        event: The class of event it was called for, or the policy it serves.
        because: What it raised.
    """

    handler: str
    event: str
    because: Exception


class SessionClosed(ResilientWSError, Event):
    """The session has ended: reported to callbacks, and raised by later calls.

    Attributes:
        close: The record of the last closing handshake, or ``None``.
        failure: What ended the session, ``None`` when it was closed on request.
        dropped: Messages that were still in the outbox and are lost.
        stored: Messages that stay in a durable outbox.
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
    """Return the event that goes before the one for the loss itself, if there is one.

    A time-out and a termination by the server each have an event of their own.
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
