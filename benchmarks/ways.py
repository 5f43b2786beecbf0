"""Ways to take decoded messages from a session, as a program of its user has them.

Each takes so many messages and returns the last, so that it can be checked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from resilient_ws import Session
from resilient_ws.codec import Coded


if TYPE_CHECKING:
    from resilient_ws.codec import Codec

Decode: TypeAlias = Callable[[Any], object]
Way: TypeAlias = Callable[[Session, int], Awaitable[object]]


def iterated(decode: Decode) -> Way:
    """Decode by hand, one message after the other."""

    async def way(session: Session, count: int) -> object:
        async for data in session:
            item = decode(data)
            count -= 1
            if not count:
                return item
        raise AssertionError("the session ended")

    return way


def batched(decode: Decode) -> Way:
    """Decode by hand, all that is there at once."""

    async def way(session: Session, count: int) -> object:
        item = None
        while count > 0:
            batch = await session.receive_many()
            for data in batch:
                item = decode(data)
            count -= len(batch)
        return item

    return way


def coded(codec: Codec[Any]) -> Way:
    """Let the codec decode."""

    async def way(session: Session, count: int) -> object:
        async for item in Coded(session, codec):
            count -= 1
            if not count:
                return item
        raise AssertionError("the session ended")

    return way
