"""Enters a session and leaves it, for ``async with``.

Rules: a session that cannot be entered has ended when the caller learns of it. A caller
that is cancelled while it waits aborts the session, and still waits for the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from resilient_ws.errors import OpenTimeout, ResilientWSError
from resilient_ws.state import State


if TYPE_CHECKING:
    from resilient_ws.settings import Settings
    from resilient_ws.supervisor.loop import Supervisor


async def enter(supervisor: Supervisor, settings: Settings) -> None:
    """Start a session, and wait for its first open connection as ``wait_open`` says.

    Raises:
        Exception: The error that ended the session, or the last one in ``wait_open``.
    """
    supervisor.start()
    wait = settings.wait_open
    scope = asyncio.timeout(None if isinstance(wait, bool) else wait)
    try:
        # The first attempt begins once the store of the outbox is open.
        await supervisor.life.wait_until(State.CONNECTING)
        if wait is False:
            return
        async with scope:
            await supervisor.life.wait_until(State.OPEN)
            return
    except asyncio.CancelledError:
        await _abort(supervisor)
        raise
    except Exception:
        if not scope.expired():
            await wait_for_end(supervisor)
            raise
    error = _not_open(supervisor, settings)
    supervisor.fail(error)
    await wait_for_end(supervisor)
    raise error


async def wait_for_end(supervisor: Supervisor) -> None:
    """Wait for a session's end; abort the session if this is cancelled."""
    try:
        await supervisor.wait()
    except asyncio.CancelledError:
        await _abort(supervisor)
        raise


async def _abort(supervisor: Supervisor) -> None:
    """Abort and wait for the end, however often this task is cancelled."""
    supervisor.abort()
    while not supervisor.done:
        with contextlib.suppress(asyncio.CancelledError):
            await supervisor.wait()


def _not_open(supervisor: Supervisor, settings: Settings) -> ResilientWSError:
    """Return why no connection opened within ``wait_open``."""
    error = supervisor.journal.last_error
    wait = float(settings.wait_open)
    if isinstance(error, ResilientWSError):
        # Its text says what failed, and not why the session stopped trying.
        error.add_note(
            f"No connection opened within {wait:g} s: wait_open=True waits for ever,"
            " wait_open=False enters offline."
        )
        return error
    # There was no error, or on_open raised an error of its own, which does not tell
    # the reader that it came from on_open.
    why = "" if error is None else f": on_open raised {type(error).__name__}"
    limiter = settings.limiter
    queue = ""
    if limiter is not None and limiter.waiting:
        queue = f" Attempts wait for a slot of {limiter!r}: raise wait_open."
    msg = (
        f"No open connection to {settings.where} within {wait:g} s "
        f"(wait_open){why}.{queue}"
    )
    timeout = OpenTimeout(msg, kind="open", after=wait)
    timeout.__cause__ = error
    return timeout
