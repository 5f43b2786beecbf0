"""Which event loop, thread and process a session belongs to.

Rules: a session may be used only by the loop on which it was entered. A forked child
may use no session of its parent: two processes would write to one socket.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Final

from resilient_ws.eventloop.per_loop import PerLoop


#: Returns the running loop, or ``None`` where ``asyncio.get_running_loop`` raises.
running_loop = asyncio._get_running_loop  # noqa: SLF001 - it is in asyncio's __all__


class Home:
    """The loop on which sessions were entered, shared by all of them.

    Attributes:
        loop: The loop.
        thread: The identity of the thread in which the newest session was entered. A
            cheap test for a caller in another thread; it is 0 in a forked child, where
            the main thread has the same identity as in the parent.
        in_this_process: Whether this process is the one that entered the sessions.
    """

    __slots__ = ("__weakref__", "in_this_process", "loop", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self.in_this_process = True

    @staticmethod
    def here() -> Home:
        """Return the home of a session that is entered here and now."""
        home = home_of(asyncio.get_running_loop())
        # The loop may run in another thread than it did for earlier sessions.
        home.thread = threading.get_ident()
        return home

    def disown(self) -> None:
        """Note that this process is a forked child, to which no session belongs."""
        self.thread = 0
        self.in_this_process = False

    def check(self) -> None:
        """Raise ``RuntimeError`` unless the home's loop is running this call."""
        if running_loop() is not self.loop:
            raise self.stranger()

    def stranger(self) -> RuntimeError:
        """Return the error for a call from another loop, thread or process."""
        if not self.in_this_process:
            return RuntimeError(
                "The session belongs to the parent process; call connect() in the "
                "child to make a new one."
            )
        return RuntimeError(
            "The session belongs to another event loop or thread; call it with "
            "asyncio.run_coroutine_threadsafe(session.send(...), loop)."
        )


home_of: Final = PerLoop(Home, after_fork=Home.disown)
