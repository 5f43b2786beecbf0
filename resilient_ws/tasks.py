"""Ends the tasks that run user code and dials, and logs any that will not end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar


if TYPE_CHECKING:
    from resilient_ws.log import SessionLog


#: Seconds that a cancelled hook, dial or callback gets to end.
CANCEL_GRACE: Final = 1.0

T = TypeVar("T")


async def ended(task: asyncio.Task[T], log: SessionLog) -> None:
    """Cancel a task and wait for its end; log a warning if it does not end in time."""
    if task.done():
        return
    task.cancel()
    _, running = await asyncio.wait({task}, timeout=CANCEL_GRACE)
    if running:
        text = "%s is still running although it was cancelled"
        log.say(logging.WARNING, text, task.get_name())
    elif not task.cancelled() and task.exception() is not None:
        kind = type(task.exception()).__name__
        text = "%s raised %s when it was cancelled"
        log.say(logging.WARNING, text, task.get_name(), kind)
