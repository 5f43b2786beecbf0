"""What the outbox needs of an open connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol


if TYPE_CHECKING:
    from resilient_ws.protocol.message import Message


class Link(Protocol):
    """An open connection, as the outbox sees it."""

    @property
    def messages_written(self) -> int:
        """How many messages were handed to the transport."""
        ...

    def writable(self) -> bool:
        """Whether the transport lives and is below its high-water mark."""
        ...

    def send(self, message: Message) -> None:
        """Hand one message to the transport."""

    def send_many(self, messages: list[Message]) -> None:
        """Hand several messages to the transport in one write."""
