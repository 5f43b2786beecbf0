"""Runs ``on_open``: the restore step of each connection.

Rules: the hook runs in its own task. That task ends with the restore step, whether the
hook returns, its connection is lost, its time runs out or the session gets an order.
While the hook runs, a context variable marks the code that it calls.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import Fatal, OpenTimeout, fatal_of
from resilient_ws.eventloop.tasks import cancel_and_wait


if TYPE_CHECKING:
    from resilient_ws.connection import Connection, OnOpen, Window
    from resilient_ws.errors import ConnectionLost
    from resilient_ws.supervisor.commands import Orders
    from resilient_ws.supervisor.log import SessionLog


#: The connection whose ``on_open`` called the running code, or ``None``.
_restoring: Final[contextvars.ContextVar[Connection | None]] = contextvars.ContextVar(
    "resilient_ws.restoring", default=None
)


class Hook:
    """Runs the user's ``on_open`` for one connection at a time."""

    __slots__ = (
        "_connection",
        "_limit",
        "_log",
        "_loop",
        "_on_open",
        "_orders",
        "task",
    )

    def __init__(
        self,
        on_open: OnOpen | None,
        *,
        limit: float,
        orders: Orders,
        log: SessionLog,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._log = log
        self._on_open = on_open
        self._limit = limit
        self._orders = orders
        self._loop = loop
        #: The task of the hook, while it runs.
        self.task: asyncio.Task[None] | None = None
        # The connection that the hook is restoring, or ``None``.
        self._connection: Connection | None = None

    async def run(
        self,
        connection: Connection,
        window: Window,
        lost: asyncio.Future[ConnectionLost],
    ) -> Exception | None:
        """Restore one connection, until the hook returns or an order interrupts it.

        Args:
            connection: The argument for the hook.
            window: The time in which the hook may use the connection; closed here.
            lost: Completes with the loss when the connection is lost.

        Returns:
            The failure of the hook or the connection, ``None`` if there was none.
        """
        if self._on_open is None:
            # Without a hook the connection counts as open, even if it was just lost.
            return None
        self._connection = connection
        task = self.task = self._loop.create_task(
            self._call(self._on_open, connection), name="resilient_ws on_open"
        )
        try:
            await self._orders.first(task, lost, timeout=self._limit)
            finished = task.done()
        finally:
            window.is_open = False
            await cancel_and_wait(task, self._log.say)
            self.task = self._connection = None
        failure = _outcome(task) if finished else None
        if isinstance(failure, Fatal) or (finished and failure is None):
            return failure
        if lost.done():
            return lost.result()
        if finished:
            return failure
        if self._orders.waiting() is not None:
            return None
        limit = self._limit
        msg = f"on_open did not finish within {limit:g} s (timeouts.restore)."
        return OpenTimeout(msg, kind="restore", after=limit)

    def check_outside(self) -> None:
        """Raise ``RuntimeError`` inside this session's ``on_open``: it would block."""
        connection = _restoring.get()
        if connection is not None and connection is self._connection:
            msg = (
                "This call cannot finish inside on_open; use "
                "connection.send() and connection.receive(matching=...)."
            )
            raise RuntimeError(msg)

    async def _call(self, on_open: OnOpen, connection: Connection) -> None:
        _restoring.set(connection)
        result: object = on_open(connection)
        if not inspect.isawaitable(result):
            msg = "on_open must be an async function, but its result is not awaitable"
            raise Fatal(msg)
        await result


def _outcome(task: asyncio.Task[None]) -> Exception | None:
    """Return the failure of a finished hook, ``None`` if it succeeded."""
    if task.cancelled():
        return RuntimeError("on_open was cancelled, but not by the session")
    failure = task.exception()
    if failure is None:
        return None
    if isinstance(failure, Exception):
        return fatal_of(failure) or failure
    raise failure
