"""From the first line to the last: signals, closed pipes, and exit codes.

Rules: the first signal ends the command cleanly, the second at once. The end of stdin
does not end it. A reader of stdout that has gone is not an error.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from resilient_ws.cli.error_text import error_text
from resilient_ws.cli.exit_codes import DONE, FAILED
from resilient_ws.cli.lines import hung_up
from resilient_ws.cli.signals import on_ending_signals
from resilient_ws.cli.stdio import StreamFailed, discard_unwritten
from resilient_ws.errors import ResilientWSError


if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from resilient_ws.cli.reporter import Reporter

    Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


async def run_until_the_end(
    entered: AbstractAsyncContextManager[object],
    reporter: Reporter,
    work: Work,
    *,
    beside: Work | None = None,
) -> int:
    """Enter a session or a client, work with it, and return the exit code.

    Args:
        entered: The session, or what stands on it.
        reporter: Gets the problems.
        work: Ends the command when it ends.
        beside: Goes on beside it, and ends the command only by an error.
    """
    # The events on stderr say everything that the log would.
    logging.getLogger("resilient_ws").addHandler(logging.NullHandler())
    stopped = asyncio.Event()
    current: asyncio.Task[int] | None = asyncio.current_task()
    assert current is not None  # noqa: S101 - a coroutine runs in a task
    on_ending_signals(partial(_on_signal, stopped, current))
    try:
        async with entered:
            await _work(reporter, stopped, work, beside)
    except asyncio.CancelledError:
        return DONE
    except BrokenPipeError:
        discard_unwritten(sys.stdout)
        return DONE
    except StreamFailed as failure:
        await reporter.problem(str(failure))
        return FAILED
    except ResilientWSError as failure:
        if not reporter.as_json:
            await reporter.problem(error_text(failure))
        return FAILED
    return DONE


def _on_signal(stopped: asyncio.Event, task: asyncio.Task[int]) -> None:
    if stopped.is_set():
        task.cancel()
    stopped.set()


async def _work(
    reporter: Reporter, stopped: asyncio.Event, work: Work, beside: Work | None
) -> None:
    """Work until something ends the command; raise what failed."""
    create = asyncio.get_running_loop().create_task
    working = [create(one()) for one in (work, beside) if one is not None]
    endless = None if beside is None else working[1]
    unreported = create(reporter.failed())
    tasks: set[asyncio.Task[Any]] = {
        *working,
        unreported,
        create(hung_up(sys.stdout.fileno())),
        create(stopped.wait()),
    }
    pending = tasks
    try:
        while True:
            done, pending = await asyncio.wait(
                pending, return_when=asyncio.FIRST_COMPLETED
            )
            if endless is None or done != {endless} or not _ended_well(endless):
                break
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in (*working, unreported):
        if not task.cancelled() and (failure := task.exception()) is not None:
            raise failure


def _ended_well(task: asyncio.Task[None]) -> bool:
    """Whether it ended, or only because the session has: the work says why."""
    failure = task.exception()
    return failure is None or isinstance(failure, ResilientWSError)
