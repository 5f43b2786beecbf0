"""Nothing may be left behind: no task, no socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import socket
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def open_sockets() -> dict[str, int]:
    """Every open socket of this process, as its inode's name and a descriptor."""
    found: dict[str, int] = {}
    for descriptor in pathlib.Path("/proc/self/fd").iterdir():
        # The descriptor of the listing itself is in it, and may be gone by now.
        with contextlib.suppress(OSError):
            target = str(descriptor.readlink())
            if target.startswith("socket:"):
                found[target] = int(descriptor.name)
    return found


def pending_tasks() -> set[asyncio.Task[object]]:
    """The tasks of the running loop that are not done, but for the one asking."""
    current = asyncio.current_task()
    return {t for t in asyncio.all_tasks() if t is not current and not t.done()}


def _describe(descriptor: int) -> str:
    try:
        duplicate = os.dup(descriptor)
    except OSError:
        return f"fd {descriptor} (closed meanwhile)"
    with socket.socket(fileno=duplicate) as sock:
        try:
            return f"fd {descriptor} to {sock.getpeername()}"
        except OSError:
            return f"fd {descriptor} at {sock.getsockname()}"


@contextlib.asynccontextmanager
async def assert_no_leaks(*, turns: int = 3) -> AsyncIterator[None]:
    """What the block opened, it has closed: tasks and sockets.

    asyncio closes an aborted socket in the next turn of the loop and a cancelled
    task ends in one, so ``turns`` are granted; time is not, since a leak that ends
    by itself later is a leak.
    """
    tasks_before = pending_tasks()
    sockets_before = open_sockets()
    yield
    for _ in range(turns):
        await asyncio.sleep(0)
    tasks = pending_tasks() - tasks_before
    sockets = [
        _describe(descriptor)
        for inode, descriptor in open_sockets().items()
        if inode not in sockets_before
    ]
    assert not tasks, f"tasks left pending: {tasks}"
    assert not sockets, f"sockets left open: {', '.join(sockets)}"
