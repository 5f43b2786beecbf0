"""Where messages wait when nothing needs to survive the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from resilient_ws.events import Event
    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.store import Row


@attrs.frozen
class MemoryStore:
    """Keep the outbox in memory: the fastest, and gone with the process."""

    def ledger(
        self,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],  # noqa: ARG002 - memory has nothing to report
    ) -> MemoryLedger:
        """Return the ledger of one session."""
        return MemoryLedger(loop)


class MemoryLedger:
    """Nothing to keep: a delivery holds its message itself."""

    __slots__ = ("clock",)

    durable = False
    last = 0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.clock: Callable[[], float] = loop.time

    async def open(self) -> list[Row]:
        """Find nothing: an earlier session's memory is gone."""
        return []

    def put(self, delivery: Delivery) -> None:
        """Have nothing to wait for."""

    def claim(self, deliveries: Sequence[Delivery]) -> None:
        """Have nothing to wait for."""

    def accuse(self, delivery: Delivery) -> None:
        """Have nothing to do."""

    def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Have nothing to do."""

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        """Have nothing to wait for."""

    async def close(self) -> None:
        """Have nothing to finish."""
