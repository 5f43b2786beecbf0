"""The type of a received message, and its size."""

from __future__ import annotations


Message = str | bytes


def size_of(message: Message) -> int:
    """Return how many payload bytes a message had on the wire."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode())
