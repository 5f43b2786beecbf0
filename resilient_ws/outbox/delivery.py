"""A message as it was given to ``send``, where it is, and what became of it.

Rules: only ``settlement`` writes the state of a delivery, and only ``places`` moves it.
A state that means *lost* is final: a lost message is never transmitted afterwards. Time
stamps are Unix seconds, as in an ``Interruption``, so that they can be compared across
restarts.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

import attrs

from resilient_ws.errors import DeliveryError
from resilient_ws.policy._validate import check_timeout, require
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilient_ws.protocol.message import Message

#: What may be sent: ``str`` as text, everything else as binary.
Sendable = str | bytes | bytearray | memoryview

#: The most characters in an id, which stays in memory as long as its message.
MAX_MESSAGE_ID: Final = 1024


class Place(enum.Enum):
    """Where the outbox holds a message."""

    #: Not accepted yet; the outbox does not hold it.
    NEW = -1
    #: A durable store is saving it, and its ``send`` waits for that.
    SAVING = 0
    #: In the backlog: accepted, and to be written to a connection.
    WAITING = 1
    #: A durable store is handing it out to be written.
    CLAIMED = 2
    #: Written, and not confirmed yet.
    IN_FLIGHT = 3
    #: Delivered, lost, or left in the store for the next session.
    GONE = 4

    def __init__(self, index: int) -> None:
        #: Finds the counts of a place; ``NEW`` and ``GONE`` have none.
        self.index = index

    # The hash of an enum is computed in Python, and a move looks up two places.
    __hash__ = object.__hash__


#: From each place, the places that a message may move to.
MOVES: Final[Mapping[Place, frozenset[Place]]] = {
    Place.NEW: frozenset({Place.SAVING, Place.WAITING, Place.IN_FLIGHT, Place.GONE}),
    Place.SAVING: frozenset({Place.WAITING, Place.GONE}),
    Place.WAITING: frozenset({Place.CLAIMED, Place.IN_FLIGHT, Place.GONE}),
    Place.CLAIMED: frozenset({Place.WAITING, Place.IN_FLIGHT, Place.GONE}),
    Place.IN_FLIGHT: frozenset({Place.WAITING, Place.GONE}),
    Place.GONE: frozenset(),
}

# Every message begins with these. Looking up an enum member costs ten times as much.
_QUEUED: Final = DeliveryState.QUEUED
_NEW: Final = Place.NEW


def payload_of(data: object) -> tuple[Message, int]:
    """Return the message, independent of the caller's buffer, and its payload size."""
    if isinstance(data, str):
        if data.isascii():
            return data, len(data)
        try:
            return data, len(data.encode())
        except UnicodeEncodeError:
            msg = "data holds a lone surrogate, which UTF-8 cannot carry; send bytes"
            raise ValueError(msg) from None
    if isinstance(data, bytes):
        return data, len(data)
    if isinstance(data, bytearray | memoryview):
        copy = bytes(cast("bytearray", data))
        return copy, len(copy)
    msg = (
        "data must be str (sent as text) or bytes, bytearray or memoryview (sent as "
        f"binary), not {type(data).__name__}; encode it first, with json.dumps say"
    )
    raise TypeError(msg)


def check_message_id(message_id: str) -> None:
    """Raise unless an id is a ``str`` that every store can keep."""
    require(message_id, str, "message_id", "a str")
    if len(message_id) > MAX_MESSAGE_ID:
        raise ValueError(
            f"message_id has {len(message_id)} characters, and at most "
            f"{MAX_MESSAGE_ID} are allowed; put longer data into the message, and use "
            "a hash of it as the id"
        )
    try:
        message_id.encode()
    except UnicodeEncodeError:
        raise ValueError(
            "message_id holds a lone surrogate, which UTF-8 cannot carry"
        ) from None


def _is_awaited(terms: Terms) -> bool:
    return terms.goal is DeliveryState.CONFIRMED


@attrs.frozen(weakref_slot=False)
class Terms:
    """What the deliveries of one outbox have in common.

    Attributes:
        goal: The state in which a message counts as delivered.
        check_waiting: A callable that raises if waiting could never end.
        awaited: Whether a written message still has to be confirmed.
    """

    goal: DeliveryState
    check_waiting: Callable[[], None]
    awaited: bool = attrs.field(
        init=False, default=attrs.Factory(_is_awaited, takes_self=True)
    )


class Delivery:
    """What becomes of one message, as returned by ``Session.send``.

    ``send`` returns when the message is *accepted*; look at ``state``, or wait with
    ``confirmed()``, to know what became of it.

    Attributes:
        message_id: The id given to ``send``, or ``None``.
        data: The message; ``None`` once it is lost or written for the last time, and
            while a durable store holds it.
        size: Its payload bytes.
        sequence: Its number in the order of the outbox.
        only_epoch: The epoch of the only connection it may go out on; ``None`` for any.
        expires_at: When its ``ttl`` passes, ``None`` for never: on the clock of the
            loop, and in Unix seconds with a durable store.
        epoch: The epoch of the connection it was last handed to; ``None`` before that.
        transmissions: How often it was handed to a connection.
        accused: How many connections ended while it was alone in flight.
        accepted_at: When it was accepted, in Unix seconds.
        written_at: When it was last handed to a connection, in Unix seconds.
        confirmed_at: When its confirmation came, in Unix seconds.
        stored: Whether a durable store holds it. If so when the session ends, the next
            session on the store sends it.
    """

    __slots__ = (
        "_place",
        "_state",
        "_terms",
        "_waiters",
        "accepted_at",
        "accused",
        "confirmed_at",
        "data",
        "epoch",
        "expires_at",
        "message_id",
        "only_epoch",
        "sequence",
        "size",
        "stored",
        "transmissions",
        "written_at",
    )

    def __init__(  # noqa: PLR0917 - one is made for every message
        self,
        terms: Terms,
        sequence: int,
        data: Message | None,
        size: int,
        message_id: str | None,
        expires_at: float | None,
        only_epoch: int | None,
    ) -> None:
        self._terms = terms
        self._state = _QUEUED
        self._place: Place = _NEW
        self._waiters: tuple[asyncio.Future[None], ...] = ()
        self.sequence = sequence
        self.data = data
        self.size = size
        self.message_id = message_id
        self.expires_at = expires_at
        self.only_epoch = only_epoch
        self.epoch: int | None = None
        self.transmissions = 0
        self.accused = 0
        self.accepted_at = time.time()
        self.written_at: float | None = None
        self.confirmed_at: float | None = None
        self.stored = False

    def __repr__(self) -> str:
        """Show the state and never the payload."""
        name = "" if self.message_id is None else f" {self.message_id!r}"
        return f"<Delivery{name} {self._state.value}, {self.size} bytes>"

    @property
    def state(self) -> DeliveryState:
        """What has become of the message so far."""
        return self._state

    @property
    def settled(self) -> bool:
        """Whether the outcome is final: delivered, or lost."""
        state = self._state
        return state is self._terms.goal or state.final

    @property
    def awaited(self) -> bool:
        """Whether the message has to be confirmed after it is written."""
        return self._terms.awaited

    @property
    def maybe_delivered(self) -> bool:
        """Whether the peer may have received it although it is lost."""
        return self._state.lost and self.transmissions > 0

    async def confirmed(self, timeout: float | None = None) -> None:
        """Wait until the message reached the outbox's ``confirm`` level.

        That is: handed to an open connection (``"write"``), taken by the peer's
        WebSocket endpoint (``"pong"``), acknowledged by its application (a callable).

        Args:
            timeout: Seconds to wait, ``None`` (default) for as long as it takes.

        Raises:
            DeliveryError: The message will not be delivered by this session.
            TimeoutError: It is still on its way after ``timeout``.
            TypeError: ``timeout`` is not a number.
            ValueError: It is negative or not finite.
            RuntimeError: Called inside ``on_open``, where the outbox cannot send yet,
                or from another loop or thread.

        Cancellation:
            Safe; the message is still sent.
        """
        check_timeout(timeout)
        self._terms.check_waiting()
        async with asyncio.timeout(timeout):
            while not self.settled:
                waiter = asyncio.get_running_loop().create_future()
                self._waiters = (*self._waiters, waiter)
                try:
                    await waiter
                finally:
                    self._waiters = tuple(w for w in self._waiters if w is not waiter)
        if self._state.lost:
            raise self._error()

    def _error(self) -> DeliveryError:
        maybe = "it may have arrived" if self.maybe_delivered else "it did not arrive"
        left = self._left
        kept = "; the store keeps it for the next session" if left else ""
        return DeliveryError(
            f"The message will not be delivered: {self._why()}; {maybe}{kept}.",
            state=self._state,
            maybe_delivered=self.maybe_delivered,
            stored=left,
        )

    @property
    def _left(self) -> bool:
        """Whether the next session on the store will send the message."""
        return self.stored and self._state is DeliveryState.DROPPED

    def _why(self) -> str:
        if self._state is DeliveryState.EXPIRED:
            return "its ttl passed before it could be written"
        if self._left:
            return "the session ended first"
        if self._state is DeliveryState.DROPPED:
            return "it was dropped before it was written"
        if self.transmissions == 0:
            return "the store could not read it back, and set it aside"
        if self.accused:
            ends = f"{self.accused} connections ended"
            return f"{ends} while it was the only message in flight"
        return "its connection ended before it was confirmed"
