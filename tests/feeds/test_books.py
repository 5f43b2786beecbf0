"""Books in all that can happen to them; the venues' rules are in ``test_venues``."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from resilient_ws import connect
from resilient_ws.feeds import (
    BackfillFailed,
    Books,
    BookSource,
    Channel,
    Continuity,
    ItemsMissed,
    Plain,
    Reply,
    Stale,
    StreamEnded,
    SubscribeRefused,
    Synced,
    Undecodable,
    consecutive,
)
from resilient_ws.feeds.errors import RPCError
from resilient_ws.feeds.protocol import Ended, Item
from resilient_ws.testing import ScriptedServer, assert_no_leaks


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from resilient_ws.feeds import Key, Requests, Route
    from resilient_ws.testing import Peer


Number = dict[str, Any]
Book = list[int]


class Wire(Plain):
    """``["ack", id]``, ``["refuse", id]``, ``["end", key]``, ``["item", key, n]``."""

    def route(self, message: str | bytes) -> Route:
        match json.loads(message):
            case ["ack", number]:
                return Reply(number)
            case ["refuse", number]:
                return Reply(number, error=RPCError(1, "no"))
            case ["end", key]:
                return Ended(key)
            case ["item", key, value]:
                return Item(key, value)
            case other:
                raise ValueError(other)


def _ask(op: str) -> Any:
    async def ask(requests: Requests, key: Key) -> Key:
        number = requests.new_id()
        await requests.ask(number, json.dumps([op, number, key]), timeout=5)
        return key

    return ask


def make(item: int) -> Book:
    return [item]


def add(book: Book, item: int) -> None:
    book.append(item)


def in_band(**more: Any) -> BookSource[Any, Book, int]:
    """Numbers: below 0 a snapshot, whose book is one number; then each is added."""
    return BookSource(
        subscribe=_ask("subscribe"),
        unsubscribe=_ask("unsubscribe"),
        is_snapshot=lambda item: item < 0,
        make=lambda item: [-item],
        apply=add,
        position_of=abs,
        follows=consecutive(lambda item: item),
        **more,
    )


def fetched(*snapshots: int | Exception, **more: Any) -> BookSource[Any, Book, int]:
    """The same, with snapshots that are fetched."""
    left = list(snapshots)

    async def snapshot(_: Key) -> int:
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        await asyncio.sleep(1)
        return found

    return BookSource(
        subscribe=_ask("subscribe"),
        snapshot=snapshot,
        make=make,
        apply=add,
        position_of=abs,
        follows=consecutive(lambda item: item),
        **more,
    )


@contextlib.asynccontextmanager
async def keeping(
    source: BookSource[Any, Book, int], *keys: str, **settings: Any
) -> AsyncGenerator[tuple[ScriptedServer, Peer, Books[Any, Book, int]], None]:
    """Books on a server that the test speaks for."""
    async with assert_no_leaks(), ScriptedServer() as server:
        entering = asyncio.create_task(server.accept())
        async with Channel(connect(server.url()), Wire()) as channel:
            peer = await entering
            yield server, peer, Books(channel, source, keys, **settings)


async def say(peer: Peer, *message: Any) -> None:
    await peer.send(json.dumps(message))


async def granted(peer: Peer, op: str = "subscribe") -> str:
    """Grant what the client asks for next; return the key."""
    asked, number, key = json.loads(await peer.receive())
    assert asked == op
    await say(peer, "ack", number)
    assert isinstance(key, str)
    return key


async def synced(books: Books[Any, Book, int], book: Book) -> None:
    event = await anext(books)
    assert isinstance(event, Synced), event
    assert event.book == book


async def stale(books: Books[Any, Book, int], because: type[Exception]) -> None:
    event = await anext(books)
    assert isinstance(event, Stale), event
    assert type(event.because) is because


async def test_a_drop_takes_every_book_away_at_once() -> None:
    async with keeping(in_band(), "a", "b") as (server, peer, books):
        for key in ("a", "b"):
            await granted(peer)
            await say(peer, "item", key, -5)
            await synced(books, [5])
        await peer.drop()
        # Told at the drop, and not when there is a connection again.
        await stale(books, ItemsMissed)
        await stale(books, ItemsMissed)
        assert books.get("a") is None
        again = await server.accept()
        for key in ("a", "b"):
            assert await granted(again) == key
            await say(again, "item", key, -7)
            await synced(books, [7])
        assert books.resyncs("a") == 0


async def test_a_hurt_key_is_made_anew_and_the_other_goes_on() -> None:
    async with keeping(in_band(), "a", "b") as (_server, peer, books):
        for key in ("a", "b"):
            await granted(peer)
            await say(peer, "item", key, -5)
            await synced(books, [5])
        await say(peer, "item", "a", 7)
        await stale(books, ItemsMissed)
        await say(peer, "item", "b", 6)
        await synced(books, [5, 6])
        await granted(peer, "unsubscribe")
        await granted(peer)
        await say(peer, "item", "a", -8)
        await synced(books, [8])
        assert (books.resyncs("a"), books.resyncs("b")) == (1, 0)


async def test_a_key_that_is_hurt_again_and_again_meets_a_backoff() -> None:
    async with keeping(in_band(), "a") as (_server, peer, books):
        loop = asyncio.get_running_loop()
        waits: list[float] = []
        for _ in range(5):
            await granted(peer)
            await say(peer, "item", "a", -5)
            await synced(books, [5])
            hurt = loop.time()
            await say(peer, "item", "a", 7)
            await stale(books, ItemsMissed)
            await granted(peer, "unsubscribe")
            waits.append(loop.time() - hurt)
        assert waits == pytest.approx([0, 0.1, 0.2, 0.4, 0.8], abs=0.02)


async def test_a_snapshot_that_does_not_come_is_asked_for_again() -> None:
    async with keeping(in_band(), "a", patience=10) as (_server, peer, books):
        loop = asyncio.get_running_loop()
        await granted(peer)
        began = loop.time()
        # Differences before the snapshot are of no use.
        await say(peer, "item", "a", 6)
        await granted(peer, "unsubscribe")
        assert loop.time() - began == pytest.approx(10, abs=0.1)
        await granted(peer)
        await say(peer, "item", "a", -5)
        await synced(books, [5])


async def test_a_snapshot_that_came_too_early_to_be_kept_is_asked_for_at_once() -> None:
    async with keeping(in_band(), "a") as (_server, peer, books):
        loop = asyncio.get_running_loop()
        began = loop.time()
        _op, request, _key = json.loads(await peer.receive())
        await say(peer, "item", "a", -1)
        # More than the channel holds until it knows whose they are.
        for number in range(2, 1000):
            await say(peer, "item", "a", number)
        await say(peer, "ack", request)
        await granted(peer, "unsubscribe")
        await granted(peer)
        await say(peer, "item", "a", -1000)
        await synced(books, [1000])
        assert loop.time() - began < 1


async def test_what_cannot_be_read_hurts_its_key_alone() -> None:
    async with keeping(in_band(), "a") as (_server, peer, books):
        await granted(peer)
        await say(peer, "item", "a", -5)
        await synced(books, [5])
        await say(peer, "item", "a", {"not": "a number"})
        await stale(books, Undecodable)
        await granted(peer, "unsubscribe")
        await granted(peer)
        await say(peer, "item", "a", -6)
        await synced(books, [6])


async def test_fetching_fails_and_is_tried_again() -> None:
    source = fetched(OSError("no"), OSError("no"), 5)
    async with keeping(source, "a") as (_server, peer, books):
        await granted(peer)
        await stale(books, BackfillFailed)
        await stale(books, BackfillFailed)
        await synced(books, [5])


async def test_what_is_held_is_bounded() -> None:
    # The first snapshot is older than what could be held; the second is not.
    async with keeping(fetched(10, 97), "a", held=5) as (_server, peer, books):
        await granted(peer)
        for number in range(11, 100):
            await say(peer, "item", "a", number)
        await synced(books, [97, 98, 99])


async def test_what_is_held_of_an_older_count_is_let_go() -> None:
    def follows(last: int | None, item: int) -> Continuity:
        """Each hundred is a count of its own."""
        if last is None or last // 100 != item // 100:
            return Continuity.RESET
        return consecutive(int)(last, item)

    source = attrs.evolve(fetched(201, 201), follows=follows)
    async with keeping(source, "a") as (_server, peer, books):
        await granted(peer)
        for number in (108, 109, 201, 202):
            await say(peer, "item", "a", number)
        await synced(books, [201, 202])


async def test_a_drop_while_the_snapshot_is_fetched_begins_anew() -> None:
    async with keeping(fetched(5, 8), "a") as (server, peer, books):
        await granted(peer)
        await say(peer, "item", "a", 6)
        await asyncio.sleep(0.5)
        await peer.drop()
        again = await server.accept()
        await granted(again)
        await say(again, "item", "a", 9)
        # What was held on the old connection is gone with it.
        await synced(books, [8, 9])


async def test_snapshots_are_fetched_a_few_at_once() -> None:
    keys = [f"k{n}" for n in range(20)]
    fetching, most = 0, 0

    async def snapshot(_: Key) -> int:
        nonlocal fetching, most
        fetching += 1
        most = max(most, fetching)
        await asyncio.sleep(1)
        fetching -= 1
        return 1

    source: BookSource[Any, Book, int] = BookSource(
        subscribe=_ask("subscribe"),
        snapshot=snapshot,
        make=make,
        apply=add,
    )
    async with keeping(source, *keys, fetches=4) as (_server, peer, books):
        for _ in keys:
            await granted(peer)
        for _ in keys:
            await synced(books, [1])
        assert most == 4


async def test_a_slow_reader_gets_each_book_once_and_every_loss() -> None:
    async with keeping(in_band(), "a") as (_server, peer, books):
        await granted(peer)
        await say(peer, "item", "a", -1)
        await synced(books, [1])
        for number in range(2, 1000):
            await say(peer, "item", "a", number)
        await asyncio.sleep(1)
        await synced(books, list(range(1, 1000)))
        # Lost and made anew while nobody read: both are told.
        await say(peer, "item", "a", 2000)
        await granted(peer, "unsubscribe")
        await granted(peer)
        await say(peer, "item", "a", -3000)
        await asyncio.sleep(1)
        await stale(books, ItemsMissed)
        await synced(books, [3000])


async def test_a_key_that_is_refused_or_ended_is_forgotten() -> None:
    async with keeping(in_band(), "a", "b") as (_server, peer, books):
        _op, number, _key = json.loads(await peer.receive())
        await say(peer, "refuse", number)
        await stale(books, SubscribeRefused)
        await granted(peer)
        await say(peer, "item", "b", -5)
        await synced(books, [5])
        await say(peer, "end", "b")
        await stale(books, StreamEnded)
        assert len(books) == 0
        books.add("b")
        await granted(peer)
        await say(peer, "item", "b", -6)
        await synced(books, [6])


async def test_removing_a_key_tells_the_server() -> None:
    async with keeping(in_band(), "a") as (_server, peer, books):
        await granted(peer)
        await say(peer, "item", "a", -5)
        await synced(books, [5])
        removing = asyncio.create_task(books.remove("a"))
        await granted(peer, "unsubscribe")
        await removing
        assert len(books) == 0
        assert books.get("a") is None
        books.add("a")
        await granted(peer)
        await say(peer, "item", "a", -6)
        await synced(books, [6])


async def test_the_end_of_the_session_takes_the_books_and_ends_the_iteration() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        entering = asyncio.create_task(server.accept())
        session = connect(server.url())
        async with session, Channel(session, Wire()) as channel:
            peer = await entering
            books = Books(channel, in_band(), ["a"])
            none = Books(channel, in_band())
            await granted(peer)
            await say(peer, "item", "a", -5)
            await synced(books, [5])
            await session.close()
            await stale(books, StreamEnded)
            for ended in (books, none):
                with pytest.raises(StopAsyncIteration):
                    await anext(ended)


async def test_closing_ends_the_iteration_and_every_subscription() -> None:
    async with keeping(in_band(), "a", "b") as (_server, peer, books):
        for key in ("a", "b"):
            await granted(peer)
            await say(peer, "item", key, -5)
            await synced(books, [5])
        closing = asyncio.create_task(books.aclose())
        for _ in range(2):
            await granted(peer, "unsubscribe")
        await closing
        with pytest.raises(StopAsyncIteration):
            await anext(books)


def test_a_source_without_snapshots_is_refused() -> None:
    with pytest.raises(ValueError, match="is_snapshot"):
        BookSource(subscribe=_ask("subscribe"), make=make, apply=add)


async def test_the_statistics_of_the_channel_count_books() -> None:
    async with keeping(in_band(), "a", "b") as (_server, peer, books):
        channel = books._channel
        await granted(peer)
        await granted(peer)
        await say(peer, "item", "a", -5)
        await say(peer, "item", "a", 5)
        await say(peer, "item", "a", 6)
        await synced(books, [5, 6])
        counted = channel.statistics()
        assert (counted.subscriptions, counted.live, counted.repeats) == (2, 1, 1)
        removing = asyncio.create_task(books.remove("a"))
        await granted(peer, "unsubscribe")
        await removing
        counted = channel.statistics()
        assert (counted.subscriptions, counted.live, counted.repeats) == (1, 0, 1)


async def test_books_need_a_channel_that_is_open() -> None:
    channel = Channel(connect("ws://127.0.0.1:9999/"), Wire())
    with pytest.raises(RuntimeError, match="Enter the channel"):
        Books(channel, in_band())
