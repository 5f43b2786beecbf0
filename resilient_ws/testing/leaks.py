"""Nothing may be left behind: no task, no socket.

Where the system lists a process's descriptors (``/proc/self/fd``, ``/dev/fd``) every
open socket is found, whoever made it. Elsewhere (Windows) it is the ``socket.socket``
objects of Python, which uvloop's and other C code's sockets are not among.
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
    """Every open socket of this process, and what it is connected to."""
    for listing in _LISTINGS:
        with contextlib.suppress(OSError):
            return _descriptors(pathlib.Path(listing).iterdir())
    return _objects()


def pending_tasks() -> set[asyncio.Task[object]]:
    """The tasks of the running loop that are not done, but for the one asking."""
    current = asyncio.current_task()
    return {t for t in asyncio.all_tasks() if t is not current and not t.done()}


@contextlib.asynccontextmanager
async def assert_no_leaks(*, turns: int = 3) -> AsyncGenerator[None]:
    """What the block opened, it has closed: tasks and sockets.

    ::

        async with assert_no_leaks():
            await run_my_bot()

    Args:
        turns: Turns of the event loop granted after the block: asyncio closes an
            aborted socket in the next one, and a cancelled task ends in one. No time
            is granted, since a leak that ends by itself later is a leak.

    Raises:
        AssertionError: Tasks or sockets are left that were not there before. It says
            which. It is not raised over an exception of the block.
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
        # The descriptor of the listing itself is among them, and is gone by now.
        with contextlib.suppress(OSError, ValueError):
            descriptor = int(path.name)
            status = os.fstat(descriptor)
            if stat.S_ISSOCK(status.st_mode):
                # A number is used again; with the inode it is one socket's.
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
        if isinstance(found, socket.socket) and found.fileno() >= 0
    }


def _ends(sock: socket.socket) -> str:
    try:
        return f"to {sock.getpeername()}"
    except OSError:
        return f"at {sock.getsockname()}"
