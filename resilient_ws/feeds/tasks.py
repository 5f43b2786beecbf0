"""The tasks of a channel: all end with it, and none fails unseen."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from collections.abc import Coroutine


logger = logging.getLogger("resilient_ws")


class Tasks:
    """Starts tasks, and ends them together.

    Args:
        owner: What the log calls whose tasks they are, by its ``repr``.
    """

    __slots__ = ("_owner", "_running")

    def __init__(self, owner: object) -> None:
        self._owner = owner
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """Count those that run."""
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def end(self) -> None:
        """Cancel all of them, and wait until they have ended."""
        tasks = tuple(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            logger.error("A task of %r failed", self._owner, exc_info=failure)
