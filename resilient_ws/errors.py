"""The exceptions of this library, as one tree.

::

    ResilientWSError
    ├── SecurityError          Access refused a destination or a redirect
    ├── HandshakeRejected      an HTTP answer other than 101
    ├── OpenTimeout            dialling or restoring took too long
    ├── ConnectionLost         a connection could not be made, or ended
    │   ├── ConnectFailed      DNS, TCP, TLS or a proxy failed before the handshake
    │   ├── LivenessTimeout    the peer fell silent, or sent no message
    │   └── ProtocolError      the peer broke RFC 6455
    ├── SessionClosed          the session has ended (an event as well: see events)
    ├── GaveUp                 the retry policy said stop
    ├── OutboxFull             no room for another message
    ├── DeliveryError          a message was not delivered
    ├── StoreError             the store of the outbox failed
    ├── MessageTooBig          a message is larger than the outbox may hold
    └── Fatal                  raised by user code to end the session

No error text holds a secret: URLs are redacted, headers and payloads are left out. All
characters that are not printable are escaped, so that a peer cannot forge a log line.
Every error can be copied and pickled, with its attributes and its cause.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from resilient_ws.protocol.text import printable


if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from resilient_ws.protocol.close import Close
    from resilient_ws.state import DeliveryState


__all__ = [
    "ConnectFailed",
    "ConnectionLost",
    "DeliveryError",
    "Fatal",
    "GaveUp",
    "HandshakeRejected",
    "LivenessTimeout",
    "MessageTooBig",
    "OpenTimeout",
    "OutboxFull",
    "ProtocolError",
    "ResilientWSError",
    "SecurityError",
    "StoreError",
]

#: How a connection was lost: ``close`` (a closing handshake), ``reset`` (RST),
#: ``eof`` (the stream ended and the peer is gone), ``half_close`` (the stream ended
#: and the peer still takes our bytes), ``silence`` (liveness), ``protocol``
#: (the peer broke RFC 6455), ``write`` (sending failed), ``dial`` (there was never a
#: connection), ``local`` (we ended it).
How = Literal[
    "close",
    "reset",
    "eof",
    "half_close",
    "silence",
    "protocol",
    "write",
    "dial",
    "local",
]

#: Where a dial failed; ``internal`` is a bug in this library.
Stage = Literal[
    "resolve", "connect", "tls", "certificate", "proxy", "handshake", "internal"
]

#: The five ways to run out of time.
TimeoutKind = Literal["open", "restore", "ping", "idle", "close"]


E = TypeVar("E", bound="ResilientWSError")


class ResilientWSError(Exception):
    """The base class of all exceptions that this library raises on purpose."""

    def __str__(self) -> str:
        """Return the text on one line, escaped as ``printable`` does."""
        return printable(super().__str__())

    def __copy__(self) -> Self:
        return _revived(type(self), self.args, self._state())

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call __init__ with the text alone, but it needs more.
        state = {name: _portable(value) for name, value in self._state().items()}
        return _revived, (type(self), self.args, state)

    def _state(self) -> dict[str, Any]:
        """Return everything except the text and the frames."""
        return {
            **self.__dict__,
            "__cause__": self.__cause__,
            "__suppress_context__": self.__suppress_context__,
        }


class SecurityError(ResilientWSError):
    """A destination, an address or a redirect that ``Access`` does not allow."""


class HandshakeRejected(ResilientWSError):
    """The server, or a proxy in front of it, answered with a status other than 101.

    Attributes:
        status: The HTTP status.
        headers: The response headers, names in lower case, without ``set-cookie`` and
            ``location``: at most 64, each with at most 1 KiB of name and value,
            8 KiB in all; ``retry-after`` and ``date`` come first.
        body: The first KiB of the body.
        by: Which of the two answered, ``"server"`` or ``"proxy"``.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        headers: Mapping[str, str],
        body: bytes = b"",
        by: Literal["server", "proxy"] = "server",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = body
        self.by: Literal["server", "proxy"] = by


class OpenTimeout(ResilientWSError):
    """A connection was not open in time.

    Attributes:
        kind: ``"open"`` while dialling, ``"restore"`` while ``on_open`` ran.
        after: The seconds that were allowed.
    """

    def __init__(
        self, message: str, *, kind: Literal["open", "restore"], after: float
    ) -> None:
        super().__init__(message)
        self.kind: Literal["open", "restore"] = kind
        self.after = after


class ConnectionLost(ResilientWSError):
    """A connection could not be made, or has ended.

    Attributes:
        close: The record of the closing handshake, as far as it went; ``None`` when
            no close frame was seen (RFC 6455 calls that 1006; nobody sent it).
        errno: The errno of the loss, or ``None``.
        how: How the connection was lost, in one word.
    """

    def __init__(
        self,
        message: str,
        *,
        how: How,
        close: Close | None = None,
        errno: int | None = None,
    ) -> None:
        super().__init__(message)
        self.how: How = how
        self.close = close
        self.errno = errno


class ConnectFailed(ConnectionLost):
    """DNS, TCP, TLS or a proxy failed before there was a WebSocket connection.

    Attributes:
        stage: Where the dial failed. Retrying does not help with ``"certificate"``;
            ``"internal"`` is a bug in this library.
    """

    def __init__(self, message: str, *, stage: Stage, errno: int | None = None) -> None:
        super().__init__(message, how="dial", errno=errno)
        self.stage: Stage = stage


class LivenessTimeout(ConnectionLost):
    """The peer fell silent, or sent no message for too long.

    Attributes:
        kind: ``"ping"`` (nothing came back) or ``"idle"`` (no message came).
        after: The seconds of silence.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: Literal["ping", "idle"],
        after: float,
        close: Close | None = None,
    ) -> None:
        super().__init__(message, how="silence", close=close)
        self.kind: Literal["ping", "idle"] = kind
        self.after = after


class ProtocolError(ConnectionLost):
    """The peer broke RFC 6455, in the handshake or after it.

    Attributes:
        code: The close code that we sent, or would have sent, in response.
    """

    def __init__(self, message: str, *, code: int, close: Close | None = None) -> None:
        super().__init__(message, how="protocol", close=close)
        self.code = code


class GaveUp(ResilientWSError):
    """The retry policy stopped retrying; the session is closed.

    Attributes:
        attempts: How many attempts failed in this outage.
        elapsed: The seconds since the outage began.
        history: What ended the connection that was lost, if it had been stable, and the
            attempts since: the last 20, oldest first. It is never empty, and its last
            one is the ``__cause__``.
    """

    def __init__(
        self,
        message: str,
        *,
        attempts: int,
        elapsed: float,
        history: tuple[Exception, ...],
    ) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.elapsed = elapsed
        self.history = history


class OutboxFull(ResilientWSError):
    """The outbox is full and its ``overflow`` is ``"raise"``."""


class DeliveryError(ResilientWSError):
    """A message was not delivered, or may not have been.

    Attributes:
        state: The final state of the message.
        maybe_delivered: Whether the peer may have received it all the same.
        stored: Whether a durable store still holds the message, to send it later.
    """

    def __init__(
        self,
        message: str,
        *,
        state: DeliveryState,
        maybe_delivered: bool = False,
        stored: bool = False,
    ) -> None:
        super().__init__(message)
        self.state = state
        self.maybe_delivered = maybe_delivered
        self.stored = stored


class StoreError(ResilientWSError):
    """The outbox's store failed; the connection stays open."""


class MessageTooBig(ResilientWSError):
    """A message is larger than the outbox's ``max_bytes``, so it can never fit."""


class Fatal(ResilientWSError):
    """Raise this from any callable you gave to ``connect()`` to end the session.

    The session closes with this exception as its ``failure`` and does not retry.
    """


def leaves(failure: BaseException) -> list[BaseException]:
    """Return the exceptions in a group, at any depth, or a list of the one given."""
    waiting, found = [failure], list[BaseException]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", one).exceptions
        else:
            found.append(one)
    return found


def fatal_of(failure: BaseException) -> Fatal | None:
    """Return the first ``Fatal`` in a failure or group, ``None`` if there is none."""
    return next((one for one in leaves(failure) if isinstance(one, Fatal)), None)


def _revived(kind: type[E], args: tuple[object, ...], state: Mapping[str, object]) -> E:
    """Return an error with the state of the one that was copied or pickled."""
    error = kind.__new__(kind, *args)
    for name, value in state.items():
        setattr(error, name, value)
    return error


def mistake(what: str) -> Fatal:
    """Return the ``Fatal`` that ends a session after a bug in a user's callable."""
    return Fatal(f"The session ended because {what}. Fix it and connect again.")


def _portable(value: object) -> object:
    """Return the value, or a stand-in for an exception that cannot be pickled.

    Without it, an error with such a cause would break the process pool in which it was
    raised.
    """
    if isinstance(value, tuple):
        return tuple(map(_portable, cast("tuple[object, ...]", value)))
    if isinstance(value, ResilientWSError) or not isinstance(value, BaseException):
        return value
    try:
        pickle.loads(pickle.dumps(value))  # noqa: S301 - bytes that we just made
    except Exception:  # noqa: BLE001 - a user's class may raise anything here
        return RuntimeError(f"{type(value).__name__}, which cannot be pickled")
    return value
