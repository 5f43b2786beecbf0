"""The types of a message, and its size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias


#: A message as it is received: text, or binary.
Message: TypeAlias = str | bytes

#: Takes each received message in turn; it must not raise.
Deliver: TypeAlias = Callable[[Message], object]

#: Returns the id of the message that a received one acknowledges, or ``None``.
AckOf: TypeAlias = Callable[[Message], str | None]


def size_of(message: Message) -> int:
    """Return how many payload bytes a message had on the wire."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode())
