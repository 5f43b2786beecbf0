"""Which event loop, thread and process a session belongs to."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from typing import Final


#: Returns the running loop, or ``None`` where ``asyncio.get_running_loop`` raises.
running_loop = asyncio._get_running_loop  # noqa: SLF001 - it is in asyncio's __all__


class Home:
    """The loop, thread and process in which sessions were entered.

    Attributes:
        loop: The loop.
        thread: The thread's identity. In a forked child 0, which no thread has.
    """

    __slots__ = ("__weakref__", "_pid", "loop", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: int, pid: int) -> None:
        self.loop = loop
        self.thread = thread
        self._pid = pid

    @staticmethod
    def here() -> Home:
        """Return the home of a session that is entered here and now."""
        place = asyncio.get_running_loop(), threading.get_ident(), os.getpid()
        home = _homes.get(place)
        if home is None:
            home = _homes[place] = Home(*place)
        return home

    @property
    def in_this_process(self) -> bool:
        """Whether this process is the one that entered the session."""
        return os.getpid() == self._pid

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


_homes: Final[
    weakref.WeakValueDictionary[tuple[asyncio.AbstractEventLoop, int, int], Home]
] = weakref.WeakValueDictionary()


def _move_out() -> None:
    """Disown all sessions in a forked child: its main thread has the same identity."""
    for home in _homes.values():
        home.thread = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_move_out)
