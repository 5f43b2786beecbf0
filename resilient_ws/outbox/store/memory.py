"""The store for messages that need not survive the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from resilient_ws.events import Event
    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.store.ledger import Row


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
