"""Reads on the thread of an event loop, for a caller on any thread.

Rules: what belongs to a loop is read between two of its turns, so that no number is
read halfway through a change. A loop that does not answer is blocked or has ended;
nothing moves then, and the caller reads for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future, TimeoutError as ReadingTimeout
from typing import TYPE_CHECKING, Final, TypeVar


if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")

#: Seconds that a reader waits for the loop. A scrape of Prometheus gets ten by default.
ANSWER_WITHIN: Final = 1.0


def read_on(loop: asyncio.AbstractEventLoop, read: Callable[[], T]) -> T | None:
    """Call a function in a turn of the loop, and return what it returns.

    Returns:
        ``None`` if the loop does not run, or does not answer within a second.
    """
    if _running() is loop:
        return read()
    answer = Future[T]()

    def run() -> None:
        if answer.set_running_or_notify_cancel():
            try:
                answer.set_result(read())
            except BaseException as failure:  # noqa: BLE001 - raised where it is asked for
                answer.set_exception(failure)

    # RuntimeError: the loop is closed.
    with contextlib.suppress(RuntimeError):
        if loop.is_running():
            loop.call_soon_threadsafe(run)
            return _answered(answer)
    return None


def _answered(answer: Future[T]) -> T | None:
    try:
        return answer.result(ANSWER_WITHIN)
    except ReadingTimeout:
        # Once it has begun, it cannot be cancelled, and ends in a moment.
        return None if answer.cancel() else answer.result()


def _running() -> asyncio.AbstractEventLoop | None:
    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None
