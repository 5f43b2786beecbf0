"""What a source may ask of the server: always on one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilient_ws import DeliveryState
from resilient_ws.feeds.calls import value_of
from resilient_ws.feeds.errors import CallLost
from resilient_ws.policy._validate import check_timeout


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.calls import Calls
    from resilient_ws.feeds.links import Link
    from resilient_ws.protocol.message import Message


class Requests:
    """Sends and asks on one connection; ends with it.

    Attributes:
        epoch: The ordinal of the connection.
        after: The cursor of the subscription that is asked for, where it has one: some
            servers send what came since.
    """

    __slots__ = ("_calls", "_link", "_new_id", "_timeout", "after", "epoch")

    def __init__(
        self,
        link: Link,
        calls: Calls,
        *,
        new_id: Callable[[], int],
        timeout: float,
        after: Any = None,
    ) -> None:
        self._link = link
        self._calls = calls
        self._new_id = new_id
        self._timeout = timeout
        self.epoch = link.epoch
        self.after = after

    def since(self, cursor: Any) -> Requests:
        """Return the same for a subscription with a cursor."""
        return Requests(
            self._link,
            self._calls,
            new_id=self._new_id,
            timeout=self._timeout,
            after=cursor,
        )

    def new_id(self) -> int:
        """Return a number that no other request of this channel has."""
        return self._new_id()

    async def send(self, message: Message) -> None:
        """Send a message that has no answer.

        Raises:
            CallLost: The connection had ended before.

        Cancellation:
            Safe: a cancelled message is not sent.
        """
        delivery = await self._link.send(message)
        if delivery.state is DeliveryState.DROPPED:
            text = "The connection had ended before the message was sent."
            raise CallLost(text, maybe_executed=False)

    async def ask(
        self,
        id: Any,
        message: Message,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Send a request, and return the value of its ``Reply``.

        Args:
            id: What the reply will name.
            message: The request.
            timeout: Seconds to wait, by default those of the channel.

        Raises:
            CallLost: The connection ended first.
            CallTimeout: No answer came in time.
            FeedError: The server answered with an error.
            TypeError: ``timeout`` is not a number.
            ValueError: It is negative or not finite.

        Cancellation:
            The answer is no longer expected.
        """
        check_timeout(timeout)
        wait = self._timeout if timeout is None else timeout
        (outcome,) = await self._calls.call(
            (id,), message, timeout=wait, link=self._link
        )
        return value_of(outcome)
