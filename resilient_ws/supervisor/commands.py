"""Orders from the user to a running session, and how the supervisor gets them.

Rules: giving an order stores it and wakes the supervisor, which takes it at its next
wait. ``Close`` outranks all other orders and stays, because nothing can follow it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import attrs

from resilient_ws.errors import ConnectFailed
from resilient_ws.eventloop.tasks import cancel_and_wait
from resilient_ws.policy.url import Endpoint


if TYPE_CHECKING:
    from collections.abc import Coroutine

    from resilient_ws.supervisor.log import SessionLog

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Close:
    """End the session.

    Attributes:
        code: The close code for an open connection.
        reason: The close reason.
        drain: Seconds beyond ``timeouts.close`` for sending the outbox; ``None`` for no
            extra time, 0 to leave what waits.
        failure: The exception that ends the session, ``None`` for a request.
    """

    code: int = 1000
    reason: str = ""
    drain: float | None = None
    failure: Exception | None = None


@attrs.frozen(kw_only=True)
class Replace:
    """Replace the connection with a new one, without backoff.

    Attributes:
        reason: The reason that the user gave.
        url: The endpoint of the next attempt; ``None`` to leave the choice as it is.
        code: The close code for the old connection.
    """

    reason: str
    url: Endpoint | None = None
    code: int = 1000


@attrs.frozen
class RetryNow:
    """Make the next attempt now instead of waiting for it."""


Order: TypeAlias = Close | Replace | RetryNow


class Orders:
    """Holds the order that waits to be carried out, at most one."""

    __slots__ = ("_bell", "_log", "_loop", "_order")

    def __init__(self, loop: asyncio.AbstractEventLoop, log: SessionLog) -> None:
        self._loop = loop
        self._log = log
        self._order: Order | None = None
        #: The future that the supervisor is waiting for, or ``None``.
        self._bell: asyncio.Future[None] | None = None

    def waiting(self) -> Order | None:
        """Return the waiting order, or ``None``."""
        return self._order

    def closing(self) -> Close | None:
        """Return the order to end the session, or ``None``."""
        return self._order if isinstance(self._order, Close) else None

    def give(self, order: Order) -> None:
        """Store an order, unless one that outranks it is waiting."""
        if self.closing() is not None:
            return
        if isinstance(order, RetryNow) and self._order is not None:
            return
        self._order = order
        if self._bell is not None:
            _ring(self._bell)

    def take(self) -> Order | None:
        """Remove and return the waiting order; ``Close`` stays."""
        order = self._order
        if order is not None and self.closing() is None:
            self._order = None
        return order

    async def first(
        self, *futures: asyncio.Future[Any], timeout: float | None = None
    ) -> None:
        """Wait for a future, an order or the timeout, and cancel nothing.

        Even if one has come already, this returns in the next turn of the loop, so that
        a task that was just created gets its first step. Thousands of open sessions may
        wait here for weeks, and ``asyncio.wait`` would take twice the memory.
        """
        bell = self._bell = self._loop.create_future()
        ring = partial(_ring, bell)
        timer = None
        if self._order is not None:
            timer = self._loop.call_soon(ring)
        elif timeout is not None:
            timer = self._loop.call_later(timeout, ring)
        for future in futures:
            future.add_done_callback(ring)
        try:
            await bell
        finally:
            self._bell = None
            for future in futures:
                future.remove_done_callback(ring)
            if timer is not None:
                timer.cancel()

    async def unless_given(self, work: Coroutine[object, object, T]) -> T | None:
        """Run ``work`` in its own task; return ``None`` if an order cancelled it."""
        task = self._loop.create_task(work)
        try:
            await self.first(task)
            finished = task.done()
        finally:
            await cancel_and_wait(task, self._log.say)
        if task.cancelled() and finished:
            msg = "The attempt was cancelled by one of your callables."
            raise ConnectFailed(msg, stage="resolve")
        return task.result() if finished else None


def _ring(bell: asyncio.Future[None], _: object = None) -> None:
    if not bell.done():
        bell.set_result(None)
