"""How far a relay has come, and where that is kept for the next one.

Rules: a cursor is saved only when its item, and every item before it, has been
delivered or given to the dead letter. Saves never overlap and never go back.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import pathlib
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from resilient_ws.feeds.json import guarded
from resilient_ws.feeds.plain import is_batch


if TYPE_CHECKING:
    from collections.abc import Callable


_loads: Final = guarded(json.loads)
#: What decoders make. None has an attribute ``cursor``, so nothing would ever be saved.
_DECODED: Final = (dict, list, str, bytes, int, float)


class CursorStore(Protocol):
    """Keeps the position of what was delivered last."""

    async def save(self, cursor: Any, /) -> None:
        """Keep a cursor in the place of the one before; return when it is safe.

        Cancellation:
            The new cursor is kept, or the one before it.
        """
        ...


class CursorFile:
    """Keeps a cursor in a file, as JSON; the file is replaced whole.

    Args:
        path: The file; its folder must exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path: Final = pathlib.Path(path)

    async def load(self) -> Any:
        """Return the cursor that was saved last, ``None`` if none ever was.

        Raises:
            OSError: The file cannot be read.
            ValueError: It holds something else.

        Cancellation:
            Safe.
        """
        try:
            return _loads(await asyncio.to_thread(self._path.read_bytes))
        except FileNotFoundError:
            return None
        except RecursionError as failure:
            raise ValueError(f"{self._path} holds no cursor.") from failure

    async def save(self, cursor: Any, /) -> None:
        """Write a cursor to the disk.

        Raises:
            OSError: It could not be written; the one before is still there.
            TypeError: JSON has no such value.

        Cancellation:
            The cursor is written, and then the cancellation goes on: a thread that
            still writes must not meet the next one.
        """
        data = json.dumps(cursor).encode()
        writing = asyncio.create_task(asyncio.to_thread(self._write, data))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})
            raise

    def _write(self, data: bytes) -> None:
        beside = self._path.with_name(f"{self._path.name}.new")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)


def cursor_of(item: Any) -> Any:
    """Return the ``cursor`` of an item, or of the last of several that has one.

    Raises:
        TypeError: The item is decoded JSON, which can have none.
    """
    if is_batch(item):
        found = (cursor_of(one) for one in reversed(item))
        return next((cursor for cursor in found if cursor is not None), None)
    if type(item) in _DECODED:
        kind = type(item).__name__
        raise TypeError(f"A {kind} has no cursor to be saved: give relay cursor_of=.")
    return getattr(item, "cursor", None)


@attrs.define(eq=False)
class Underway:
    """One item on its way to a sink."""

    cursor: Any
    done: bool = False


class RelayProgress:
    """The items on their way, in order, and the cursor before them.

    Args:
        store: Where the cursor is kept, or ``None``.
        position: Returns the cursor of an item, ``None`` for one that has none.
    """

    def __init__(
        self, store: CursorStore | None, position: Callable[[Any], Any]
    ) -> None:
        self._store = store
        self._position = position
        self._items: collections.deque[Underway] = collections.deque()
        self._due: Any = None
        self._saving = asyncio.Lock()

    def begun(self, item: Any) -> Underway | None:
        """Take note of an item, before it is delivered."""
        if self._store is None:
            return None
        underway = Underway(self._position(item))
        self._items.append(underway)
        return underway

    async def done(self, underway: Underway | None) -> None:
        """Take note that an item was delivered, and save what may be saved."""
        if self._store is None or underway is None:
            return
        underway.done = True
        while self._items and self._items[0].done:
            cursor = self._items.popleft().cursor
            if cursor is not None:
                self._due = cursor
        async with self._saving:
            cursor, self._due = self._due, None
            if cursor is not None:
                await self._store.save(cursor)
