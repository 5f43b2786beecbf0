"""The settings of the outbox."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs

from resilient_ws.outbox.store.ledger import MemoryStore, Store
from resilient_ws.policy._validate import (
    instance_of,
    one_of,
    positive,
    positive_int,
    positive_or_none,
    require,
    seconds,
    seconds_or_none,
    synchronous,
    wrong_type,
)
from resilient_ws.protocol.message import AckOf
from resilient_ws.state import DeliveryState


Overflow = Literal["raise", "wait", "drop_oldest", "drop_newest"]

MIB: Final = 1024 * 1024


def _confirm(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    right = "'write', 'pong' or a callable that takes a message"
    if callable(value):
        synchronous(instance, attribute, value)
    elif not isinstance(value, str):
        raise wrong_type("Outbox.confirm", right, value)
    elif value not in ("write", "pong"):
        raise ValueError(f"Outbox.confirm must be {right}, not {value!r}.")


def _resend(instance: Outbox, _: attrs.Attribute[Any], value: object) -> None:
    require(value, bool, "Outbox.resend", "True or False")
    if value and instance.confirm == "write":
        raise ValueError(
            "Outbox.resend=True needs a confirmation from the peer, which "
            "confirm='write' is not; use confirm='pong' or a callable."
        )


def _deliver_acks(instance: Outbox, _: attrs.Attribute[Any], value: object) -> None:
    require(value, bool, "Outbox.deliver_acks", "True or False")
    if value and not callable(instance.confirm):
        raise ValueError(
            "Outbox.deliver_acks=True needs confirm to be a callable: only a callable "
            "can tell which messages are acknowledgements."
        )


@attrs.frozen(kw_only=True)
class Outbox:
    """Settings of the outbox: what it keeps, what counts as delivered, what is resent.

    Attributes:
        max_messages: Messages that may wait (default 1000).
        max_bytes: Their payload bytes (default 8 MiB); a larger message is refused.
        overflow: What ``send`` does when the outbox is full and the session is not
            open: raise ``OutboxFull`` (``"raise"``, default), wait for room
            (``"wait"``), or drop the oldest or the new message (``"drop_oldest"``,
            ``"drop_newest"``). While open, ``send`` waits for the transport, and for
            confirmations that make room, until these are overdue.
        ttl: Seconds after which a message is too old to be written, or written again;
            ``None`` (default) for no limit. ``send(ttl=...)`` overrides it. With a
            durable store they count on the wall clock, also while no session runs.
        confirm: What counts as delivered. ``"write"`` (default): it was handed to an
            open connection. ``"pong"``: a pong came back to a ping sent behind it, so
            the peer's WebSocket endpoint, which may be a gateway, has parsed it. A
            callable: ``ack_of(message)`` is called with each message received, and
            returns the ``message_id`` that it acknowledges, or ``None`` if it is not
            an acknowledgement. Every ``send`` then needs a ``message_id`` or
            ``confirm="write"``.
        deliver_acks: Whether messages for which ``ack_of`` returns an id also reach the
            consumer. With ``False`` (default) the session takes them itself, even
            while the application does not read.
        resend: Whether unconfirmed messages are sent again after a drop (at least
            once); with ``False`` (default) they are ``FAILED``, with
            ``maybe_delivered`` (at most once). ``True`` needs ``"pong"`` or a callable,
            and unconfirmed messages then count against the bounds.
        confirm_interval: With ``"pong"``, the minimum seconds between two pings sent
            for confirmation (default 0.1).
        confirm_timeout: Seconds after which a message that is written and not confirmed
            is reported as ``ConfirmationOverdue`` (default 20). This ends nothing.
        max_in_flight: Messages that may be written and not confirmed (default 1000);
            more wait in the outbox.
        max_transmissions: With ``resend``, how many connections may end while a message
            is alone in flight (default 5) before it is ``FAILED``, so that a message
            that breaks connections is not resent for ever. Other messages wait
            meanwhile, and an end that has another reason does not count.
        store: Where messages wait: ``MemoryStore()``, or ``SQLiteStore(path)`` to make
            them survive the process.
    """

    max_messages: int = attrs.field(default=1000, validator=positive_int)
    max_bytes: int = attrs.field(default=8 * MIB, validator=positive_int)
    overflow: Overflow = attrs.field(
        default="raise",
        validator=one_of("raise", "wait", "drop_oldest", "drop_newest"),
    )
    ttl: float | None = attrs.field(
        default=None,
        converter=seconds_or_none,
        validator=positive_or_none,
    )
    confirm: Literal["write", "pong"] | AckOf = attrs.field(
        default="write", validator=_confirm
    )
    deliver_acks: bool = attrs.field(default=False, validator=_deliver_acks)
    resend: bool = attrs.field(default=False, validator=_resend)
    confirm_interval: float = attrs.field(
        default=0.1, converter=seconds, validator=positive
    )
    confirm_timeout: float = attrs.field(
        default=20.0, converter=seconds, validator=positive
    )
    max_in_flight: int = attrs.field(default=1000, validator=positive_int)
    max_transmissions: int = attrs.field(default=5, validator=positive_int)
    store: Store = attrs.field(
        factory=MemoryStore,
        validator=instance_of(Store, "a store: MemoryStore() or SQLiteStore(path)"),
    )

    @property
    def goal(self) -> DeliveryState:
        """The state in which a message counts as delivered."""
        if self.confirm == "write":
            return DeliveryState.WRITTEN
        return DeliveryState.CONFIRMED

    @property
    def ack_of(self) -> AckOf | None:
        """The callable that finds acknowledgements, ``None`` if there is none."""
        return self.confirm if callable(self.confirm) else None
