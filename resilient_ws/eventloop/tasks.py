"""Cancels the tasks that run user code and dials, and tells of any that go on."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar


if TYPE_CHECKING:
    from collections.abc import Callable


#: Seconds that a cancelled hook, dial or callback gets to end.
CANCEL_GRACE: Final = 1.0

T = TypeVar("T")


async def cancel_and_wait(task: asyncio.Task[T], say: Callable[..., None]) -> None:
    """Cancel a task, and wait for its end.

    Args:
        task: The task; one that is done is left alone.
        say: Called with a logging level, a text and its arguments if the task does not
            end in time, or ends with an error.
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
