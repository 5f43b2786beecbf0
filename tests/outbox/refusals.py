"""Files that a session refuses, and leaves as they were."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Outbox, Reconnect, SQLiteStore, State, StoreError
from resilient_ws.testing.scripts import rejecting


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws import Session
    from resilient_ws.testing import ScriptedServer


def offline(server: ScriptedServer, store: SQLiteStore, **outbox: Any) -> Session:
    """A session that is never open."""
    server.play(rejecting(503))
    return resilient_ws.connect(
        server.url(),
        wait_open=False,
        outbox=Outbox(store=store, **outbox),
        reconnect=Reconnect(wait=wait_fixed(60)),
    )


async def filled(server: ScriptedServer, path: Path, count: int = 100) -> None:
    """Leave a store with so many messages of 1 KiB."""
    async with offline(server, SQLiteStore(path)) as session:
        for number in range(count):
            await session.send(f"{number:01024}")


async def refused(
    server: ScriptedServer,
    path: Path,
    match: str,
    *,
    names: Path | None = None,
    index: bool = False,
) -> None:
    """Check that a session refuses a file, says why, and changes nothing about it.

    Args:
        server: Any.
        path: What is given to the store.
        match: What the error says.
        names: The path that the error names; by default ``path``.
        index: Whether SQLite makes the index to a log that it finds there.
    """
    before = folder(path.parent)
    session = offline(server, SQLiteStore(path))
    with pytest.raises(StoreError, match=match) as error:
        async with session:
            pass
    assert str(names or path) in str(error.value)
    assert str(error.value).isprintable()
    assert session.state is State.CLOSED
    after = folder(path.parent)
    if index:
        after.pop(f"{path.name}-shm")
    assert after == before
    assert session.failure is error.value
    for call in (session.wait_closed, session.receive, lambda: session.send("x")):
        with pytest.raises(StoreError, match=match):
            await call()


def folder(path: Path) -> dict[str, object]:
    """What is in a folder: the kind of each, and the content of the files."""
    found: dict[str, object] = {}
    for entry in path.iterdir():
        status = entry.lstat()
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = entry.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = entry.readlink()
        found[entry.name] = (status.st_mode, status.st_ino, content)
    return found
