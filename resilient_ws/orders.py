"""What a user asks of a running session, and how the supervisor hears of it.

Rules: an order is noted and the loop is woken; the loop takes it where it stands. An
order to end outranks all others and stays: nothing can follow it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import attrs

from resilient_ws.errors import ConnectFailed
from resilient_ws.policy.url import Endpoint
from resilient_ws.tasks import ended


if TYPE_CHECKING:
    from collections.abc import Coroutine

    from resilient_ws.log import SessionLog

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Close:
    """End the session.

    Attributes:
        code: The close code for an open connection.
        reason: The close reason.
        drain: Seconds beyond ``timeouts.close`` for the outbox; ``None`` for none
            beyond it, 0 to leave what waits.
        failure: Why, if it is not by request.
    """

    code: int = 1000
    reason: str = ""
    drain: float | None = None
    failure: Exception | None = None


@attrs.frozen(kw_only=True)
class Replace:
    """Exchange the connection for a new one, without backoff.

    Attributes:
        reason: Why, in the user's words.
        url: Where the next attempt goes, ``None`` for where it would go anyway.
    """

    reason: str
    url: Endpoint | None = None


@attrs.frozen
class RetryNow:
    """Cut the wait for the next attempt."""


Order: TypeAlias = Close | Replace | RetryNow


class Orders:
    """The order that waits to be carried out, at most one."""

    __slots__ = ("_bell", "_log", "_loop", "_order")

    def __init__(self, loop: asyncio.AbstractEventLoop, log: SessionLog) -> None:
        self._loop = loop
        self._log = log
        self._order: Order | None = None
        #: What the loop of the session waits for, while it waits.
        self._bell: asyncio.Future[None] | None = None

    def waiting(self) -> Order | None:
        """The order that waits."""
        return self._order

    def closing(self) -> Close | None:
        """The order to end, once there is one."""
        return self._order if isinstance(self._order, Close) else None

    def give(self, order: Order) -> None:
        """Note an order, unless a weightier one waits."""
        if self.closing() is not None:
            return
        if isinstance(order, RetryNow) and self._order is not None:
            return
        self._order = order
        if self._bell is not None:
            _ring(self._bell)

    def take(self) -> Order | None:
        """Take the order away to carry it out; one to end stays."""
        order = self._order
        if order is not None and self.closing() is None:
            self._order = None
        return order

    async def first(
        self, *futures: asyncio.Future[Any], timeout: float | None = None
    ) -> None:
        """Wait for any of these, an order, or the time to pass; cancel nothing.

        What has come already is seen in the next turn of the loop, not before: what was
        just begun gets its first step. Open sessions wait here for weeks, thousands of
        them: ``asyncio.wait`` would take twice the memory.
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
        """Do some work in a task of its own; an order cancels it and gives ``None``."""
        task = self._loop.create_task(work)
        try:
            await self.first(task)
            finished = task.done()
        finally:
            await ended(task, self._log)
        if task.cancelled() and finished:
            msg = "The attempt was cancelled from within, by a callable of yours."
            raise ConnectFailed(msg, stage="resolve")
        return task.result() if finished else None


def _ring(bell: asyncio.Future[None], _: object = None) -> None:
    if not bell.done():
        bell.set_result(None)
