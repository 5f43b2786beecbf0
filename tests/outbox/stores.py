"""The two stores, for what must hold for both."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from resilient_ws import MemoryStore, SQLiteStore


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws import StoredMessage

STORES = ["memory", "sqlite"]


def new_store(kind: str, folder: Path, **options: Any) -> MemoryStore | SQLiteStore:
    """A store that holds nothing."""
    if kind == "memory":
        return MemoryStore()
    return SQLiteStore(folder / "outbox.db", **options)


def crashed(path: Path, to: Path) -> SQLiteStore:
    """What a kill -9 at this moment leaves of a store, under another name."""
    to.parent.mkdir(exist_ok=True)
    for end in ("", "-wal"):
        file = path.with_name(path.name + end)
        if file.exists():
            shutil.copyfile(file, to.with_name(to.name + end))
    return SQLiteStore(to)


def beside(path: Path) -> set[str]:
    """The endings of what is in the folder of a store beside it."""
    names = {file.name for file in path.parent.iterdir()}
    assert all(name.startswith(path.name) for name in names), names
    return {name.removeprefix(path.name) for name in names} - {""}


def inside(store: SQLiteStore) -> list[str | bytes]:
    """The payloads that wait in a store."""
    return [message.data for message in pending(store)]


def pending(store: SQLiteStore) -> list[StoredMessage]:
    """The messages that wait in a store."""
    return [message for message in store.pending() if message.set_aside is None]
