"""What a wire sees of the parts it serves: where messages go, who holds the link."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.protocol.message import Message


class Sink(Protocol):
    """Where messages go: the inbox, or the buffer of a connection being restored."""

    @property
    def deliver(self) -> Callable[[Message], object]:
        """Where the engine puts messages; asked for anew with each chunk."""
        ...

    @property
    def closes(self) -> bool:
        """Whether a lack of room ends the connection."""
        ...

    def room(self) -> int:
        """Return how many messages may be delivered now."""
        ...

    def space(self) -> int:
        """Return how many payload bytes may be delivered now.

        It is asked before a compressed message, for a chunk can hold any amount of
        those. Where ``room`` is positive, so is this.
        """
        ...

    def arrived(self, size: int) -> bool:
        """Take note of a chunk's messages, ``size`` payload bytes in all.

        Returns:
            Whether that was the last byte there was room for.
        """
        ...

    def reading_paused(self, on_room: Callable[[], None]) -> None:
        """Take note that reading has stopped for want of room.

        Args:
            on_room: To be called when there is room again, until ``reading_resumed``.
        """

    def reading_resumed(self) -> None:
        """Take note that reading goes on."""


class Void:
    """Takes everything and keeps nothing."""

    closes = False

    def deliver(self, message: Message) -> None:
        """Drop the message."""

    def room(self) -> int:
        """Return that there is always room."""
        return sys.maxsize

    def space(self) -> int:
        """Return that there is always room."""
        return sys.maxsize

    def arrived(self, size: int) -> bool:  # noqa: ARG002 - it keeps nothing
        """Return that there is always room."""
        return False

    def reading_paused(self, on_room: Callable[[], None]) -> None:
        """Do nothing: there is always room."""

    def reading_resumed(self) -> None:
        """Do nothing: there is always room."""


class Peer(Protocol):
    """What holds the connection for aiohttp: told of the loss, and closed last."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take note that the transport is gone."""

    def close(self) -> None:
        """Let go of the connection."""
