"""Commands to a running session, and how the supervisor receives them.

Rules: giving a command stores it and wakes the supervisor, which carries it out at its
next wait. At most one command is pending. ``EndSession`` outranks all others and stays
pending, because nothing can follow it. ``RetryNow`` never replaces another command.
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
    from collections.abc import Coroutine, Sequence

    from resilient_ws.supervisor.log import SessionLog

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class EndSession:
    """End the session.

    Attributes:
        code: The close code for an open connection.
        reason: The close reason.
        drain: Seconds beyond ``timeouts.close`` for sending the outbox; ``None`` for no
            extra time, 0 to leave the waiting messages unsent.
        failure: The exception that ends the session, ``None`` if the user asked for it.
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
    """Make the next attempt now instead of waiting for it. Given in BACKOFF only."""


Command: TypeAlias = EndSession | Replace | RetryNow


class Commands:
    """Holds the pending command, and wakes the supervisor when one is given."""

    __slots__ = ("_log", "_loop", "_pending", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop, log: SessionLog) -> None:
        self._loop = loop
        self._log = log
        self._pending: Command | None = None
        # The future that the supervisor is waiting for, or None.
        self._wake: asyncio.Future[None] | None = None

    @property
    def pending(self) -> Command | None:
        """The command that is still to be carried out, or ``None``."""
        return self._pending

    @property
    def end_session(self) -> EndSession | None:
        """The pending command if it ends the session, else ``None``."""
        return self._pending if isinstance(self._pending, EndSession) else None

    def give(self, command: Command) -> None:
        """Store a command, unless one that outranks it is pending."""
        if self.end_session is not None:
            return
        if isinstance(command, RetryNow) and self._pending is not None:
            return
        self._pending = command
        if self._wake is not None:
            _complete(self._wake)

    def take(self) -> Command | None:
        """Return the pending command, and remove it unless it ends the session."""
        command = self._pending
        if self.end_session is None:
            self._pending = None
        return command

    async def wait_for_command(
        self,
        *,
        or_done: Sequence[asyncio.Future[Any]] = (),
        timeout: float | None = None,
    ) -> None:
        """Wait for a command, for one of the futures or for the timeout; cancel none.

        Even if one of them has come already, this returns in the next turn of the loop,
        so that a task that was just created gets its first step. Thousands of open
        sessions may wait here for weeks, and ``asyncio.wait`` would take twice the
        memory.
        """
        wake = self._wake = self._loop.create_future()
        complete = partial(_complete, wake)
        timer = None
        if self._pending is not None:
            timer = self._loop.call_soon(complete)
        elif timeout is not None:
            timer = self._loop.call_later(timeout, complete)
        for future in or_done:
            future.add_done_callback(complete)
        try:
            await wake
        finally:
            self._wake = None
            for future in or_done:
                future.remove_done_callback(complete)
            if timer is not None:
                timer.cancel()

    async def run_until_command(self, work: Coroutine[object, object, T]) -> T | None:
        """Run ``work`` in its own task, and cancel it when a command is given.

        Returns:
            The result of ``work``, ``None`` if a command cancelled it.

        Raises:
            ConnectFailed: A callable of the user, called in ``work``, cancelled it.
        """
        task = self._loop.create_task(work)
        try:
            await self.wait_for_command(or_done=[task])
            finished = task.done()
        finally:
            await cancel_and_wait(task, self._log.say)
        if task.cancelled() and finished:
            msg = "The attempt was cancelled by one of your callables."
            raise ConnectFailed(msg, stage="resolve")
        return task.result() if finished else None


def _complete(future: asyncio.Future[None], _: object = None) -> None:
    if not future.done():
        future.set_result(None)
