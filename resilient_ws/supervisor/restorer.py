"""Runs ``on_open``, the restore step of each connection.

Rules: ``on_open`` runs in its own task. That task ends with the restore step, whether
``on_open`` returns, its connection is lost, its time runs out or a command is given.
Meanwhile a context variable marks the code that ``on_open`` calls.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from typing import TYPE_CHECKING, Final

from resilient_ws.connection import Connection, Window
from resilient_ws.errors import Fatal, OpenTimeout, fatal_of
from resilient_ws.eventloop.tasks import cancel_and_wait


if TYPE_CHECKING:
    from resilient_ws.connection import OnOpen
    from resilient_ws.errors import ConnectionLost
    from resilient_ws.inbox.restore_buffer import RestoreBuffer
    from resilient_ws.protocol.handshake import Negotiated
    from resilient_ws.settings import Settings
    from resilient_ws.supervisor.commands import Commands
    from resilient_ws.supervisor.log import SessionLog
    from resilient_ws.transport.wire import Wire


#: The connection whose ``on_open`` called the running code, or ``None``.
_restoring: Final[contextvars.ContextVar[Connection | None]] = contextvars.ContextVar(
    "resilient_ws.restoring", default=None
)


class Restorer:
    """Runs the user's ``on_open`` for one connection at a time."""

    __slots__ = (
        "_commands",
        "_connection",
        "_limit",
        "_log",
        "_loop",
        "_on_open",
        "task",
    )

    def __init__(
        self,
        settings: Settings,
        *,
        commands: Commands,
        log: SessionLog,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._log = log
        self._on_open = settings.on_open
        self._limit = settings.timeouts.restore
        self._commands = commands
        self._loop = loop
        # The connection that is being restored, or None.
        self._connection: Connection | None = None
        #: The task of its ``on_open``, or ``None``.
        self.task: asyncio.Task[None] | None = None

    async def restore(
        self,
        wire: Wire,
        buffer: RestoreBuffer,
        negotiated: Negotiated,
        *,
        epoch: int,
        endpoint: str,
    ) -> Exception | None:
        """Run ``on_open`` until it returns, its connection ends or a command is given.

        Args:
            wire: The connection.
            buffer: Holds the messages that ``on_open`` may receive.
            negotiated: The result of the handshake.
            epoch: The ordinal that the connection will have when it opens.
            endpoint: The URL, without secrets.

        Returns:
            The failure of ``on_open`` or of the connection, ``None`` if there was none.
        """
        if self._on_open is None:
            # The connection counts as open, even if it has just been lost.
            return None
        window = Window()
        connection = self._connection = Connection(
            wire,
            buffer,
            window=window,
            epoch=epoch,
            endpoint=endpoint,
            negotiated=negotiated,
        )
        task = self.task = self._loop.create_task(
            self._call(self._on_open, connection), name="resilient_ws on_open"
        )
        try:
            await self._commands.wait_for_command(
                or_done=[task, wire.ended], timeout=self._limit
            )
            finished = task.done()
        finally:
            window.close()
            await cancel_and_wait(task, self._log.say)
            self.task = self._connection = None
        return self._failure(task if finished else None, wire.ended)

    def _failure(
        self,
        finished: asyncio.Task[None] | None,
        lost: asyncio.Future[ConnectionLost],
    ) -> Exception | None:
        """Return why the restore step failed, ``None`` if it did not.

        Args:
            finished: The task of ``on_open`` if it finished without being cancelled.
            lost: Done if the connection was lost.
        """
        failure = None if finished is None else _failure_of(finished)
        if isinstance(failure, Fatal) or (finished is not None and failure is None):
            return failure
        if lost.done():
            # The failure of on_open, if there is one, is most likely a consequence.
            return lost.result()
        if finished is not None or self._commands.pending is not None:
            return failure
        limit = self._limit
        msg = f"on_open did not finish within {limit:g} s (timeouts.restore)."
        return OpenTimeout(msg, kind="restore", after=limit)

    def check_outside(self) -> None:
        """Raise ``RuntimeError`` in this session's ``on_open``, which would block."""
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


def _failure_of(task: asyncio.Task[None]) -> Exception | None:
    """Return the failure of a finished ``on_open``, ``None`` if it succeeded."""
    if task.cancelled():
        return RuntimeError("on_open was cancelled, but not by the session")
    failure = task.exception()
    if failure is None:
        return None
    if isinstance(failure, Exception):
        return fatal_of(failure) or failure
    raise failure
