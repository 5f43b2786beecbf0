"""Cancels tasks that run user code or dial, and logs those that do not end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar


if TYPE_CHECKING:
    from collections.abc import Callable


#: Seconds to wait for a cancelled hook, dial or callback to end.
CANCEL_GRACE: Final = 1.0

T = TypeVar("T")


async def cancel_and_wait(task: asyncio.Task[T], say: Callable[..., None]) -> None:
    """Cancel a task and wait for its end, but not for ever.

    Args:
        task: The task; nothing happens if it is done.
        say: Logs; called with a level, a text and its arguments if the task does not
            end in time or ends with an error.
    """
    if task.done():
        return
    task.cancel()
    _, running = await asyncio.wait({task}, timeout=CANCEL_GRACE)
    if running:
        text = "%s is still running although it was cancelled"
        say(logging.WARNING, text, task.get_name())
    elif not task.cancelled() and task.exception() is not None:
        kind = type(task.exception()).__name__
        text = "%s raised %s when it was cancelled"
        say(logging.WARNING, text, task.get_name(), kind)
