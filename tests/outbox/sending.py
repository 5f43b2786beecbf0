"""Sending as a session does, without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.outbox.delivery import Delivery


if TYPE_CHECKING:
    from resilient_ws.outbox.queue import OutboxQueue


async def send(
    queue: OutboxQueue,
    text: str,
    *,
    ttl: float | None = None,
    message_id: str | None = None,
    only_if_open: bool = False,
) -> Delivery:
    accepted = queue.send(text, ttl, message_id, queue.epoch if only_if_open else None)
    return accepted if isinstance(accepted, Delivery) else await accepted
