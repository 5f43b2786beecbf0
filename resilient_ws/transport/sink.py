"""Where the messages of a connection go."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.protocol.message import Message


class Sink(Protocol):
    """Takes received messages: the inbox, or the buffer of a connection being restored.

    It takes no more messages than it has room for. After a chunk that fills it, it is
    told that reading stops, and it says when reading may go on.
    """

    @property
    def deliver(self) -> Callable[[Message], object]:
        """The callable that takes a message; read again for each chunk."""
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

        The engine asks before each compressed message, because one chunk can hold any
        amount of those. While ``room`` is positive, so is this.
        """
        ...

    def arrived(self, size: int) -> bool:
        """Count the messages of a chunk, ``size`` payload bytes in all.

        Returns:
            Whether there is no room for another byte.
        """
        ...

    def reading_paused(self, on_room: Callable[[], None]) -> None:
        """Note that reading has stopped for want of room.

        Args:
            on_room: To be called when there is room again, until ``reading_resumed``.
        """

    def reading_resumed(self) -> None:
        """Note that reading goes on."""


class NullSink:
    """Takes every message and keeps none."""

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
        """Return that there is still room."""
        return False

    def reading_paused(self, on_room: Callable[[], None]) -> None:
        """Do nothing: there is always room."""

    def reading_resumed(self) -> None:
        """Do nothing: there is always room."""
