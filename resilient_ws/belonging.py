"""Where a session is at home: one event loop, in one thread of one process."""

from __future__ import annotations

import asyncio
import os


class Home:
    """The loop that a session was entered on, and its process."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._pid = os.getpid()

    def check(self) -> None:
        """Raise ``RuntimeError`` unless called from there."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not self.loop:
            raise self.stranger()

    def stranger(self) -> RuntimeError:
        """Return what to raise for a call from elsewhere."""
        if os.getpid() != self._pid:
            return RuntimeError(
                "The session belongs to the parent process; make one of its own in "
                "the child, with connect()."
            )
        return RuntimeError(
            "The session belongs to another event loop or thread; from there use "
            "asyncio.run_coroutine_threadsafe(session.send(...), loop)."
        )
