"""The interface between the outbox and a store, and the messages that a store shows.

A ``Store`` is a setting, which returns a ``Ledger`` to each session. A ledger returns a
future when it has to write to a disk, and ``None`` when there is nothing to wait for.
It carries out requests in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from resilient_ws.events import Event
    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.protocol.message import Message


@attrs.frozen(kw_only=True)
class StoredMessage:
    """A message in a durable store, as ``pending()`` shows it.

    If its row is damaged, ``data`` is what can be read of it; an unreadable time is 0.0
    or ``None``, and an unreadable count is 0.

    Attributes:
        sequence: Its place in the order of the store.
        data: The message, or what is left of it if it was set aside.
        message_id: The id given to ``send``, or ``None``.
        accepted_at: When it was accepted, in Unix seconds.
        expires_at: When its ``ttl`` passes, in Unix seconds; ``None`` for never.
        transmissions: How often it was handed to a connection, or was about to be.
        accused: How many connections ended while it was alone in flight.
        set_aside: Why it will not be sent; ``None`` for one that waits.
    """

    sequence: int
    data: str | bytes
    message_id: str | None
    accepted_at: float
    expires_at: float | None
    transmissions: int
    accused: int = 0
    set_aside: str | None = None


@attrs.frozen(kw_only=True)
class Row:
    """A message found in a store when it was opened, without its payload.

    Attributes:
        only_if_open: Whether it was bound to a connection, which is gone by now.
        accused: How many connections ended while it was alone in flight.
        awaited: Whether it has to be confirmed once it is written.
        poison: Why it cannot be sent and was set aside, ``None`` if it can.
    """

    sequence: int
    size: int = 0
    message_id: str | None = None
    accepted_at: float = 0.0
    expires_at: float | None = None
    only_if_open: bool = False
    transmissions: int = 0
    accused: int = 0
    awaited: bool = True
    poison: str | None = None


class Ledger(Protocol):
    """A store at work for one session."""

    #: Whether it holds the payloads, so that memory need not.
    durable: bool
    #: The newest sequence number it ever held.
    last: int

    def clock(self) -> float:
        """Return the time by which messages expire."""
        ...

    async def open(self) -> list[Row]:
        """Open the store; return what an earlier session left in it, in order."""
        ...

    def put(self, delivery: Delivery) -> asyncio.Future[None] | None:
        """Store a message that is being accepted."""

    def claim(
        self, deliveries: Sequence[Delivery]
    ) -> asyncio.Future[list[Message | None]] | None:
        """Return the payloads of messages that are about to be written.

        Messages that have to be confirmed stay, marked as transmitted once more; the
        others are deleted from the store before anything is written.

        Returns:
            The payloads, ``None`` for one that was set aside because it is poison.
        """

    def accuse(self, delivery: Delivery) -> None:
        """Store how many connections ended while a message was alone in flight."""

    def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Store messages again that were claimed but not written."""

    def forget(self, deliveries: Sequence[Delivery]) -> asyncio.Future[None] | None:
        """Delete messages from the store."""

    async def close(self) -> None:
        """Carry out the pending requests, and close the store."""
        ...


@runtime_checkable
class Store(Protocol):
    """Where messages wait: ``MemoryStore()`` or ``SQLiteStore(path)``."""

    def ledger(
        self, loop: asyncio.AbstractEventLoop, report: Callable[[Event], None]
    ) -> Ledger:
        """Return a ledger for one session, which still has to open it."""
        ...
