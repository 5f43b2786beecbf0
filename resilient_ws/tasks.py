"""The tasks that a session owns besides its loop: how they begin and surely end."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from resilient_ws.errors import Fatal
from resilient_ws.restore import restoring


if TYPE_CHECKING:
    from resilient_ws.restore import Connection
    from resilient_ws.settings import OnOpen


logger = logging.getLogger("resilient_ws")

#: Seconds that a cancelled hook, dial or callback gets to end.
CANCEL_GRACE: Final = 1.0

T = TypeVar("T")


async def run_hook(hook: OnOpen, connection: Connection) -> None:
    """Run ``on_open`` where it can be told from other code of the user's."""
    restoring.set(connection)
    result: object = hook(connection)
    if not inspect.isawaitable(result):
        msg = "on_open must be an async function; it returned something else"
        raise Fatal(msg)
    await result


async def ended(task: asyncio.Task[T]) -> None:
    """Cancel a task and wait until it has ended; log one that will not."""
    if task.done():
        return
    task.cancel()
    _, running = await asyncio.wait({task}, timeout=CANCEL_GRACE)
    if running:
        logger.warning("%s goes on although it was cancelled", task.get_name())
    elif not task.cancelled() and task.exception() is not None:
        kind = type(task.exception()).__name__
        logger.warning("%s raised %s when it was cancelled", task.get_name(), kind)


def outcome(hook: asyncio.Task[None]) -> Exception | None:
    """Return what a finished hook failed with, ``None`` if it did not."""
    if hook.cancelled():
        return RuntimeError("on_open was cancelled from within")
    failure = hook.exception()
    if failure is None or isinstance(failure, Exception):
        return failure
    raise failure
