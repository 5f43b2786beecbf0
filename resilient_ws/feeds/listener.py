"""A stream of all that comes on a channel, whoever asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.buffer import Buffer
    from resilient_ws.feeds.flow import Flow
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.routing import Router
    from resilient_ws.feeds.source import Key


class Listener:
    """Takes its place among the seats of a channel, and asks the server for nothing.

    Args:
        select: Tells whether an item is wanted; ``None`` for all.
        flow: What becomes of its items.
        buffer: Where they wait.
        router: Calls it with each item.
    """

    def __init__(
        self,
        select: Callable[[Any], object] | None,
        flow: Flow[Any, Any],
        buffer: Buffer[Any],
        router: Router,
    ) -> None:
        self._select = select
        self.stream = flow
        self._buffer = buffer
        self._router = router
        router.listen(self._deliver)
        self.ended = False

    def opened(self, _: Requests) -> None:
        """Go on with what a new connection brings."""
        self.stream.resume()

    def lost(self) -> None:
        """Take note that something may be missed from now."""
        self.stream.suspend()

    def interrupted(self) -> None:
        """Take note that messages were lost on the way."""
        self.stream.interrupted()

    def has(self, _: Key) -> bool:
        """Return False: the server knows nothing of it, and gave it no key."""
        return False

    def renew(self) -> None:
        """Do nothing: no server ends it."""

    def farewell(self) -> None:
        """Return None: the server knows nothing of it, and need not be told."""

    def finish(self, failure: Exception | None) -> None:
        """End the stream, for its consumer too."""
        if not self.ended:
            self.ended = True
            self._router.unlisten(self._deliver)
            self.stream.finish()
            self._buffer.finish(failure)

    def _deliver(self, value: Any) -> None:
        try:
            wanted = self._select is None or self._select(value)
        except Exception as failure:  # noqa: BLE001 - told in the place of the item
            self.stream.spoil(failure)
            return
        if wanted:
            self.stream.deliver(value)
