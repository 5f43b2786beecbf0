"""Find tasks and sockets that a test has left behind.

Where the system lists the descriptors of a process (``/proc/self/fd``, ``/dev/fd``),
every open socket is found, whoever opened it. Elsewhere (Windows) only Python's
``socket.socket`` objects are found, not the sockets of uvloop and other C code.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pathlib
import socket
import stat
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

_LISTINGS: Final = ("/proc/self/fd", "/dev/fd")


def open_sockets() -> dict[object, str]:
    """Return every open socket of this process, and a description of each."""
    for listing in _LISTINGS:
        with contextlib.suppress(OSError):
            return _descriptors(pathlib.Path(listing).iterdir())
    return _objects()


def pending_tasks() -> set[asyncio.Task[object]]:
    """Return the tasks of the running loop that are not done, except the current."""
    current = asyncio.current_task()
    return {t for t in asyncio.all_tasks() if t is not current and not t.done()}


@contextlib.asynccontextmanager
async def assert_no_leaks(*, turns: int = 3) -> AsyncGenerator[None]:
    """Fail if the block leaves a task or a socket behind.

    ::

        async with assert_no_leaks():
            await run_my_bot()

    Args:
        turns: How many turns of the event loop to run after the block before looking.
            asyncio closes an aborted socket in the next turn, and a cancelled task
            ends in one. No time passes: what ends by itself later is a leak as well.

    Raises:
        AssertionError: There are tasks or sockets that were not there before; the text
            lists them. An exception of the block is raised instead of this one.
    """
    tasks_before = pending_tasks()
    sockets_before = open_sockets()
    yield
    for _ in range(turns):
        await asyncio.sleep(0)
    tasks = pending_tasks() - tasks_before
    found = open_sockets()
    sockets = [found[name] for name in found.keys() - sockets_before.keys()]
    if tasks:
        raise AssertionError(f"tasks left pending: {tasks}")
    if sockets:
        raise AssertionError(f"sockets left open: {', '.join(sorted(sockets))}")


def _descriptors(paths: Iterable[pathlib.Path]) -> dict[object, str]:
    found: dict[object, str] = {}
    for path in paths:
        # One of them was the descriptor of the listing itself, which is closed by now.
        with contextlib.suppress(OSError, ValueError):
            descriptor = int(path.name)
            status = os.fstat(descriptor)
            if stat.S_ISSOCK(status.st_mode):
                # Descriptors are reused: only the inode identifies a socket.
                identity = (status.st_ino or descriptor, status.st_dev)
                found[identity] = _describe(descriptor)
    return found


def _describe(descriptor: int) -> str:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            return f"fd {descriptor} {_ends(sock)}"
    except OSError:
        return f"fd {descriptor}"


def _objects() -> dict[object, str]:
    return {
        (id(found), found.fileno()): repr(found)
        for found in gc.get_objects()
        # Not isinstance(), which asks what a weak proxy stands for: it may be gone.
        if issubclass(type(found), socket.socket) and found.fileno() >= 0
    }


def _ends(sock: socket.socket) -> str:
    try:
        return f"to {sock.getpeername()}"
    except OSError:
        return f"at {sock.getsockname()}"
