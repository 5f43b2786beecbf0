"""What is kept while it cannot be sent, and what happens beyond that."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs

from resilient_ws.outbox.memory import MemoryStore
from resilient_ws.policy._validate import (
    instance_of,
    one_of,
    positive_int,
    positive_or_none,
    seconds_or_none,
)


Overflow = Literal["raise", "wait", "drop_oldest", "drop_newest"]

MIB: Final = 1024 * 1024


def _only_write(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value != "write":
        msg = f"Outbox.{attribute.name} must be 'write', not {value!r}"
        raise ValueError(msg)


def _no_resend(_: object, __: attrs.Attribute[Any], value: object) -> None:
    if value is not False:
        msg = (
            "Outbox.resend=True needs a confirmation from the peer, which "
            "confirm='write' is not; leave it at False"
        )
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class Outbox:
    """What is kept while it cannot be sent, and what happens beyond the bounds.

    Attributes:
        max_messages: Messages that may wait (default 1000).
        max_bytes: Their payload bytes (default 8 MiB); a larger message is refused.
        overflow: When the outbox is full and the session is not open, ``send``
            raises ``OutboxFull`` (``"raise"``, default), waits for room (``"wait"``),
            or drops the oldest or this newest message (``"drop_oldest"``,
            ``"drop_newest"``). While open, ``send`` waits for the transport.
        ttl: Seconds after which a message that was not written is too old to matter;
            ``None`` (default) keeps it. ``send(ttl=...)`` overrides it.
        confirm: What counts as delivered: ``"write"``, handed to an open connection.
        resend: Whether what was written and not confirmed is sent again after a
            drop; with ``confirm="write"`` there is nothing to send again.
        store: Where messages wait: ``MemoryStore()``.
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
    confirm: Literal["write"] = attrs.field(default="write", validator=_only_write)
    resend: bool = attrs.field(default=False, validator=_no_resend)
    store: MemoryStore = attrs.field(
        factory=MemoryStore,
        validator=instance_of(MemoryStore, "a store, such as MemoryStore()"),
    )
