"""What happened to one sent message.

Rules: the outbox's queue is the one writer of a delivery's state; a state that means
*lost* is final, and what is lost is never transmitted afterwards.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws.errors import DeliveryError
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.inbox import Message


_WORDS = {
    DeliveryState.EXPIRED: "its ttl passed before it could be written",
    DeliveryState.DROPPED: "it was dropped before it was written",
    DeliveryState.FAILED: "its connection ended before it was confirmed",
}


class Delivery:
    """The fate of one message, as returned by ``Session.send``.

    ``send`` returns when the message is *accepted*; look at ``state``, or wait with
    ``confirmed()``, to know what became of it.

    Attributes:
        message_id: The id given to ``send``, or ``None``.
        data: The message, until it is written or lost; then ``None``.
        size: Its payload bytes.
        sequence: Its place in the order of the session.
        expires_at: When its ``ttl`` passes, on the clock of the loop; ``None`` for
            never.
        maybe_delivered: Whether the peer may have received it although it is lost.
        stored: Whether a durable store still holds it although the session ended.
    """

    __slots__ = (
        "_check_waiting",
        "_state",
        "_waiters",
        "data",
        "expires_at",
        "maybe_delivered",
        "message_id",
        "sequence",
        "size",
        "stored",
    )

    def __init__(
        self,
        data: Message,
        size: int,
        *,
        sequence: int,
        message_id: str | None,
        expires_at: float | None,
        check_waiting: Callable[[], None],
    ) -> None:
        self.data: Message | None = data
        self.sequence = sequence
        self.expires_at = expires_at
        self._state = DeliveryState.QUEUED
        self._waiters: tuple[asyncio.Future[None], ...] = ()
        self._check_waiting = check_waiting
        self.message_id = message_id
        self.size = size
        self.maybe_delivered = False
        self.stored = False

    def __repr__(self) -> str:
        """Show the state and never the payload."""
        name = "" if self.message_id is None else f" {self.message_id!r}"
        return f"<Delivery{name} {self._state.value}, {self.size} bytes>"

    @property
    def state(self) -> DeliveryState:
        """What has become of the message so far."""
        return self._state

    def settle(self, state: DeliveryState) -> None:
        """Move to ``state``; for the outbox, which is the one writer."""
        self._state = state
        self.data = None
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def confirmed(self, timeout: float | None = None) -> None:
        """Wait until the message reached the outbox's ``confirm`` level.

        With ``confirm="write"`` that is: handed to an open connection.

        Args:
            timeout: Seconds to wait, ``None`` (default) for as long as it takes.

        Raises:
            DeliveryError: The message will not be delivered.
            TimeoutError: It is still on its way after ``timeout``.
            RuntimeError: Called inside ``on_open``, where nothing of the outbox can
                move, or from another loop or thread.

        Cancellation:
            Safe; the message goes on.
        """
        self._check_waiting()
        async with asyncio.timeout(timeout):
            while self._state is DeliveryState.QUEUED:
                waiter = asyncio.get_running_loop().create_future()
                self._waiters = (*self._waiters, waiter)
                try:
                    await waiter
                finally:
                    self._waiters = tuple(w for w in self._waiters if w is not waiter)
        if self._state.lost:
            raise self._error()

    def _error(self) -> DeliveryError:
        maybe = "it may have arrived" if self.maybe_delivered else "it did not arrive"
        kept = "; a durable store keeps it for the next session" if self.stored else ""
        return DeliveryError(
            f"The message will not be delivered: {_WORDS[self._state]}; {maybe}{kept}.",
            state=self._state,
            maybe_delivered=self.maybe_delivered,
            stored=self.stored,
        )
