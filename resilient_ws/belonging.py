"""Where a session is at home: one event loop, in one thread of one process."""

from __future__ import annotations

import asyncio
import os
import weakref
from threading import get_ident
from typing import Final


class Home:
    """The loop that sessions were entered on, its thread and its process.

    Attributes:
        loop: The loop.
        thread: The thread's identity; 0, which none has, in a forked child.
    """

    __slots__ = ("__weakref__", "_pid", "loop", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: int, pid: int) -> None:
        self.loop = loop
        self.thread = thread
        self._pid = pid

    @staticmethod
    def here() -> Home:
        """Return the home of what is entered now."""
        place = asyncio.get_running_loop(), get_ident(), os.getpid()
        home = _homes.get(place)
        if home is None:
            home = _homes[place] = Home(*place)
        return home

    def check(self) -> None:
        """Raise ``RuntimeError`` unless called from there."""
        # A thread runs one loop at a time. To ask which one it is, Python 3.11 makes a
        # system call, and this is asked with every message.
        if get_ident() != self.thread or not self.loop.is_running():
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


_homes: Final[
    weakref.WeakValueDictionary[tuple[asyncio.AbstractEventLoop, int, int], Home]
] = weakref.WeakValueDictionary()


def _move_out() -> None:
    """Leave no session at home in a forked child, whose main thread looks the same."""
    for home in _homes.values():
        home.thread = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_move_out)
