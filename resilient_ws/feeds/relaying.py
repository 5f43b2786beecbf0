"""From a feed to a receiver that cannot hold a socket: a webhook, a mailbox, yours."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from resilient_ws.feeds.progress import RelayProgress, cursor_of as own_cursor
from resilient_ws.feeds.redelivery import Courier, Redelivery
from resilient_ws.feeds.source import Gap
from resilient_ws.policy._validate import (
    check_callables,
    require,
    require_callable,
    require_synchronous,
    whole_number,
    wrong_type,
)


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable

    from resilient_ws.feeds.progress import CursorStore
    from resilient_ws.feeds.redelivery import DeadLetter, Sink

T = TypeVar("T")

_DEFAULT: Final = Redelivery()


async def relay(
    items: AsyncIterator[T | Gap],
    sink: Sink[T],
    *,
    concurrency: int = 1,
    key_of: Callable[[T], Hashable] | None = None,
    cursor_of: Callable[[Any], Any] = own_cursor,
    id_of: Callable[[T], str] | None = None,
    retry: Redelivery = _DEFAULT,
    cursor_store: CursorStore | None = None,
    dead_letter: Callable[[DeadLetter], Awaitable[object]] | None = None,
) -> None:
    """Deliver the items of a feed to a sink, until the feed ends.

    Each item is delivered at least once: begin the next run with the cursor that was
    saved, and what was not delivered comes again. Nothing is read ahead: while the
    sink is busy the feed waits, and a subscription fetches later what did not fit.

    Args:
        items: A subscription, or any other async iterator.
        sink: Takes each item, and each ``Gap``, with the id of its delivery.
        concurrency: How many items may be on their way at once. With 1 (default) the
            order is kept.
        key_of: With more, items of one key are delivered in order: while one is on its
            way, the next of that key, and what is behind it, waits. ``None`` (default)
            keeps no order. A ``Gap`` is delivered alone: after all before it, before
            all behind it.
        cursor_of: The position of an item; by default its attribute ``cursor``.
        id_of: The id of an item's delivery, which must be the same in the next run; by
            default a random one.
        retry: When a sink that failed is tried again.
        cursor_store: Keeps the cursor of what was delivered; it is given each, after
            the sink has returned, and never one past an item that was not delivered.
        dead_letter: Takes what cannot be delivered, and the relay goes on; without it
            (default) the relay ends there.

    Raises:
        Fatal: Raised by the sink.
        FeedError: The feed ended with an error.
        SecurityError: The sink may not go where it should.
        SinkGone: The sink takes nothing any more.
        TypeError: A value of another type, before anything is read; or there is a
            ``cursor_store``, and an item of JSON, but no ``cursor_of``.
        Undeliverable: An item cannot be delivered, and there is no dead letter.
        ValueError: ``concurrency`` is less than 1.

    Cancellation:
        What is on its way counts as not delivered. It comes again in a run that begins
        with the saved cursor, with the same id where ``id_of`` gives it.
    """
    right = "a subscription (await channel.subscribe(...)) or an async iterator"
    require(items, AsyncIterable, "items", right)
    require_callable(sink, "sink")
    check_callables(dead_letter=dead_letter)
    whole_number("concurrency", concurrency, at_least=1)
    _check_plain(key_of=key_of, id_of=id_of)
    require_synchronous(cursor_of, "cursor_of")
    require(retry, Redelivery, "retry", "a Redelivery")
    _check_store(cursor_store)
    run = _Run(
        Courier(sink, retry, dead_letter),
        RelayProgress(cursor_store, cursor_of),
        id_of=id_of or _random,
    )
    if concurrency == 1:
        async for item in items:
            await run.one(item)
        return
    failure: BaseException
    try:
        async with asyncio.TaskGroup() as group:
            lanes = _Lanes(group, run, concurrency, key_of)
            async for item in items:
                await lanes.put(item)
    except BaseExceptionGroup as failures:
        # The first one: the group cancels the others because of it.
        failure = failures.exceptions[0]
    else:
        return
    raise failure


def _check_plain(**values: object) -> None:
    """Refuse what is neither None nor a function whose result can be used at once."""
    for name, value in values.items():
        if value is not None:
            require_synchronous(value, name)


def _check_store(store: object) -> None:
    """Refuse what cannot save a cursor, such as the path of a file."""
    if store is None:
        return
    right = "a CursorStore, such as CursorFile(path), or None"
    if isinstance(store, type):
        raise TypeError(f"cursor_store must be {right}, not the class itself.")
    if not callable(getattr(store, "save", None)):
        raise wrong_type("cursor_store", right, store)


def _random(_: object) -> str:
    return f"msg_{uuid.uuid4().hex}"


class _Run:
    """Delivers an item, and saves the cursor."""

    def __init__(
        self, courier: Courier, progress: RelayProgress, id_of: Callable[[Any], str]
    ) -> None:
        self._courier = courier
        self._progress = progress
        self._id_of = id_of

    async def one(self, item: Any) -> None:
        underway = self._progress.begun(item)
        id_of = _random if isinstance(item, Gap) else self._id_of
        await self._courier.deliver(item, id_of(item))
        await self._progress.done(underway)


class _Lanes:
    """Several deliveries at once, but only one of each key."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        run: _Run,
        most: int,
        key_of: Callable[[Any], Hashable] | None,
    ) -> None:
        self._group = group
        self._run = run
        self._most = most
        self._key_of = key_of
        self._keys: set[Hashable] = set()
        self._busy = 0
        self._changed = asyncio.Event()

    async def put(self, item: Any) -> None:
        """Begin the delivery of an item as soon as its turn has come."""
        if isinstance(item, Gap):
            await self._until(lambda: self._busy == 0)
            await self._run.one(item)
            return
        # Where no order is asked for, each has a key of its own.
        key = object() if self._key_of is None else self._key_of(item)
        await self._until(lambda: self._busy < self._most and key not in self._keys)
        self._keys.add(key)
        self._busy += 1
        self._group.create_task(self._deliver(item, key))

    async def _deliver(self, item: Any, key: Hashable) -> None:
        await self._run.one(item)
        self._busy -= 1
        self._keys.discard(key)
        self._changed.set()

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            self._changed.clear()
            await self._changed.wait()
