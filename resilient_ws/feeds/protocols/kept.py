"""Subscriptions that a server keeps from one connection to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilient_ws.feeds.source import Key, Source


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resilient_ws.feeds.requests import Requests


class Kept:
    """The subscriptions that a server has, which need not be asked for again.

    Attributes:
        present: Whether the server kept them for the newest connection.
    """

    def __init__(self) -> None:
        self.present = False
        self._keys: set[Key] = set()
        # Whether the server's session began since this program did.
        self._is_ours = False

    def opened(self, *, present: bool) -> None:
        """Take note of a new connection, and whether the server kept anything."""
        self.present = present
        if not present:
            self._keys.clear()
            self._is_ours = True

    def end(self, key: Key) -> None:
        """Take note that the server ended a subscription."""
        self._keys.discard(key)

    def source(
        self,
        subscribe: Callable[[Requests], Awaitable[Key]],
        unsubscribe: Callable[[Requests, Key], Awaitable[object]],
        *,
        key: Key = None,
        replays: bool = False,
    ) -> Source[Any, Any]:
        """Return the source of a stream, which is asked for once in each session.

        Args:
            subscribe: Asks for the stream; returns its key.
            unsubscribe: Tells the server that it is not needed any more.
            key: Its key, where that is known before.
            replays: Whether the server sends what came while there was no
                connection, which then leaves no gap.
        """

        async def granted(requests: Requests) -> Key:
            nonlocal key
            if key not in self._keys:
                key = await subscribe(requests)
                self._keys.add(key)
            return key

        async def ended(requests: Requests, key: Key) -> None:
            self._keys.discard(key)
            await unsubscribe(requests, key)

        def resumed() -> bool:
            known = key in self._keys or not self._is_ours
            return replays and self.present and known

        return Source(
            subscribe=granted,
            keys=() if key is None else (key,),
            unsubscribe=ended,
            resumed=resumed,
            name=None if key is None else str(key),
        )
