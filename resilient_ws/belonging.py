"""Where a session is at home: one event loop, in one thread of one process."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from typing import Final


#: The running loop, or ``None``: as ``asyncio.get_running_loop``, which raises there.
running_loop = asyncio._get_running_loop  # noqa: SLF001 - it is in asyncio's __all__


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
        place = asyncio.get_running_loop(), threading.get_ident(), os.getpid()
        home = _homes.get(place)
        if home is None:
            home = _homes[place] = Home(*place)
        return home

    @property
    def in_this_process(self) -> bool:
        """Whether this is not a forked child."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """Raise ``RuntimeError`` unless called from there."""
        if running_loop() is not self.loop:
            raise self.stranger()

    def stranger(self) -> RuntimeError:
        """Return what to raise for a call from elsewhere."""
        if not self.in_this_process:
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
