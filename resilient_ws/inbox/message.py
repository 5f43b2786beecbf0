"""What is received, and how its size is told."""

from __future__ import annotations


Message = str | bytes


def size_of(message: Message) -> int:
    """Return the payload bytes of a message as they were on the wire."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode())
