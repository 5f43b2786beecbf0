"""Sending as a session does, without one, to a connection that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilient_ws.outbox.delivery import Delivery


if TYPE_CHECKING:
    from resilient_ws.outbox.queue import OutboxQueue


class Link:
    """A connection that takes everything."""

    def __init__(self) -> None:
        self.messages_written = 0
        self.sent: list[Any] = []

    def writable(self) -> bool:
        return True

    def send(self, message: Any) -> None:
        self.send_many([message])

    def send_many(self, messages: list[Any]) -> None:
        self.messages_written += len(messages)
        self.sent += messages


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
