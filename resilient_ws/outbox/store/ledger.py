"""What the outbox asks of a store, and the store that keeps messages in memory.

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
    from resilient_ws.outbox.store.rows import Row
    from resilient_ws.protocol.message import Message


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
            The payloads, ``None`` for one that was set aside because it is damaged.
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


@attrs.frozen
class MemoryStore:
    """Keep the outbox in memory: fastest, but lost when the process ends."""

    def ledger(
        self,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],  # noqa: ARG002 - memory has nothing to report
    ) -> MemoryLedger:
        """Return the ledger of one session."""
        return MemoryLedger(loop)


class MemoryLedger:
    """A ledger that stores nothing: each delivery holds its own message."""

    __slots__ = ("clock",)

    durable = False
    last = 0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.clock: Callable[[], float] = loop.time

    async def open(self) -> list[Row]:
        """Return nothing: the memory of an earlier session is gone."""
        return []

    def put(self, delivery: Delivery) -> None:
        """Do nothing: a message in memory is stored as soon as it is queued."""

    def claim(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: each delivery already holds its payload."""

    def accuse(self, delivery: Delivery) -> None:
        """Do nothing: the delivery holds the count."""

    def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: the deliveries still hold their payloads."""

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: there is no copy to delete."""

    async def close(self) -> None:
        """Do nothing: there is nothing to finish."""
