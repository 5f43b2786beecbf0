"""Each venue's rule, on a server that breaks it: the book is never wrong, or says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from resilient_ws import connect
from resilient_ws.feeds import (
    Books,
    Channel,
    ChecksumMismatch,
    ItemsMissed,
    Stale,
    Synced,
)
from resilient_ws.testing import ScriptedServer, assert_no_leaks
from tests.feeds import venues


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from resilient_ws.feeds import BookSource, Protocol
    from resilient_ws.testing import Peer
    from tests.feeds.venues import OrderBook


@contextlib.asynccontextmanager
async def trading(
    protocol: Protocol, source: BookSource[Any, OrderBook, Any], *keys: str
) -> AsyncGenerator[tuple[Peer, Books[Any, OrderBook, Any]], None]:
    """A session with a venue; the test speaks for the venue."""
    async with assert_no_leaks(), ScriptedServer() as server:
        entering = asyncio.create_task(server.accept())
        async with Channel(connect(server.url()), protocol) as channel:
            peer = await entering
            books = Books(channel, source, keys)
            yield peer, books


async def asked(peer: Peer) -> dict[str, Any]:
    """What the client asks for next."""
    found: dict[str, Any] = json.loads(await peer.receive())
    return found


async def say(peer: Peer, **message: Any) -> None:
    """Send a message of the venue."""
    await peer.send(json.dumps(message))


async def synced(books: Books[Any, OrderBook, Any], key: str) -> OrderBook:
    """The book of a key, which is the next news."""
    event = await anext(books)
    assert isinstance(event, Synced), event
    assert event.key == key
    assert isinstance(event.book, venues.OrderBook)
    return event.book


async def stale(books: Books[Any, OrderBook, Any], key: str) -> Exception:
    """Why the book of a key is lost, which is the next news."""
    event = await anext(books)
    assert isinstance(event, Stale), event
    assert event.key == key
    assert books.get(key) is None
    return event.because


def dec(**prices: str) -> dict[Decimal, Decimal]:
    """Quantities at prices: ``dec(_10="3")``."""
    return {Decimal(name[1:]): Decimal(value) for name, value in prices.items()}


class Rest:
    """The snapshots that the venue gives over HTTP, one after the other."""

    def __init__(self, *positions: int) -> None:
        self._positions = list(positions)
        self.asked = asyncio.Semaphore(0)
        self.open = asyncio.Event()

    async def __call__(self, _: object) -> dict[str, Any]:
        self.asked.release()
        await self.open.wait()
        number = self._positions.pop(0)
        return {"lastUpdateId": number, "bids": [["10", str(number)]], "asks": []}


def depth(
    key: str, first: int, last: int, *bid: str, before: int | None = None
) -> dict[str, Any]:
    """One update of Binance."""
    more = {} if before is None else {"pu": before}
    event = {"e": "depthUpdate", "s": key, "U": first, "u": last}
    return event | {"b": [list(bid)] if bid else [], "a": []} | more


async def test_binance_spot_holds_what_comes_before_the_snapshot() -> None:
    rest = Rest(100, 207)
    source = venues.binance(rest)
    async with trading(venues.Binance(), source, "BTCUSDT") as (peer, books):
        await say(peer, id=(await asked(peer))["id"], result=None)
        await rest.asked.acquire()
        # Older than the snapshot; across it; behind it.
        await say(peer, **depth("BTCUSDT", 90, 95, "9", "1"))
        await say(peer, **depth("BTCUSDT", 96, 101, "8", "2"))
        await say(peer, **depth("BTCUSDT", 102, 104, "7", "3"))
        await peer.ping()
        await asyncio.sleep(1)
        rest.open.set()
        book = await synced(books, "BTCUSDT")
        assert book.bids == dec(_10="100", _8="2", _7="3")
        # A repeat changes nothing, and a hole takes the book away.
        await say(peer, **depth("BTCUSDT", 102, 104, "7", "9"))
        await say(peer, **depth("BTCUSDT", 206, 208, "6", "4"))
        assert isinstance(await stale(books, "BTCUSDT"), ItemsMissed)
        # The snapshot that is fetched then lies within the update behind the hole.
        book = await synced(books, "BTCUSDT")
        assert book.bids == dec(_10="207", _6="4")
        assert books.repeats("BTCUSDT") == 1
        assert books.resyncs("BTCUSDT") == 1


async def test_binance_spot_fetches_again_when_the_snapshot_is_too_old() -> None:
    rest = Rest(50, 60, 101)
    source = venues.binance(rest)
    async with trading(venues.Binance(), source, "BTCUSDT") as (peer, books):
        await say(peer, id=(await asked(peer))["id"], result=None)
        await rest.asked.acquire()
        await say(peer, **depth("BTCUSDT", 100, 102, "8", "2"))
        await asyncio.sleep(1)
        rest.open.set()
        book = await synced(books, "BTCUSDT")
        assert book.bids == dec(_10="101", _8="2")


async def test_binance_futures_go_by_pu() -> None:
    rest = Rest(100, 120)
    source = venues.binance(rest, futures=True)
    async with trading(venues.Binance(), source, "BTCUSDT") as (peer, books):
        await say(peer, id=(await asked(peer))["id"], result=None)
        await rest.asked.acquire()
        await say(peer, **depth("BTCUSDT", 80, 90, "9", "1", before=79))
        await say(peer, **depth("BTCUSDT", 98, 103, "8", "2", before=90))
        await asyncio.sleep(1)
        rest.open.set()
        assert (await synced(books, "BTCUSDT")).bids == dec(_10="100", _8="2")
        # The numbers leap, and pu says that nothing is missing.
        await say(peer, **depth("BTCUSDT", 110, 112, "7", "3", before=103))
        assert (await synced(books, "BTCUSDT")).bids == dec(_10="100", _8="2", _7="3")
        await say(peer, **depth("BTCUSDT", 119, 121, "6", "4", before=115))
        assert isinstance(await stale(books, "BTCUSDT"), ItemsMissed)
        assert (await synced(books, "BTCUSDT")).bids == dec(_10="120", _6="4")


async def okx_says(peer: Peer, action: str, seq: int, before: int, bid: str) -> None:
    data: dict[str, Any] = {"bids": [["10", bid, "0", "1"]], "asks": []}
    data |= {"seqId": seq, "prevSeqId": before}
    await say(peer, arg={"instId": "BTC-USDT"}, action=action, data=[data])


async def test_okx_links_each_update_to_the_one_before() -> None:
    async with trading(venues.Okx(), venues.okx(), "BTC-USDT") as (peer, books):
        arg = (await asked(peer))["args"][0]
        await say(peer, event="subscribe", arg=arg)
        await okx_says(peer, "snapshot", 123, -1, "1")
        assert (await synced(books, "BTC-USDT")).bids == dec(_10="1")
        await okx_says(peer, "update", 136, 123, "2")
        assert (await synced(books, "BTC-USDT")).bids == dec(_10="2")
        # Nothing has changed for a minute; then the numbers go back, as announced.
        await okx_says(peer, "update", 136, 136, "2")
        await synced(books, "BTC-USDT")
        await okx_says(peer, "update", 7, 136, "3")
        assert (await synced(books, "BTC-USDT")).bids == dec(_10="3")
        await okx_says(peer, "update", 30, 20, "4")
        assert isinstance(await stale(books, "BTC-USDT"), ItemsMissed)
        # It leaves, and subscribes again; what still comes of the old is nothing.
        request = await asked(peer)
        assert request["op"] == "unsubscribe"
        await okx_says(peer, "update", 31, 30, "5")
        await say(peer, event="unsubscribe", arg=request["args"][0])
        request = await asked(peer)
        assert request["op"] == "subscribe"
        await say(peer, event="subscribe", arg=request["args"][0])
        await okx_says(peer, "snapshot", 50, -1, "6")
        assert (await synced(books, "BTC-USDT")).bids == dec(_10="6")


async def bybit_says(peer: Peer, kind: str, number: int, bid: str) -> None:
    data = {"s": "BTCUSDT", "b": [["10", bid]], "a": [], "u": number}
    await say(peer, topic="orderbook.50.BTCUSDT", type=kind, data=data)


async def test_bybit_begins_anew_at_one() -> None:
    async with trading(venues.Bybit(), venues.bybit(), "BTCUSDT") as (peer, books):
        await say(peer, success=True, req_id=(await asked(peer))["req_id"])
        await bybit_says(peer, "snapshot", 500, "1")
        await synced(books, "BTCUSDT")
        await bybit_says(peer, "delta", 501, "2")
        assert (await synced(books, "BTCUSDT")).bids == dec(_10="2")
        # The service restarts: a snapshot whose number is 1, whatever it is called.
        await bybit_says(peer, "delta", 1, "3")
        assert (await synced(books, "BTCUSDT")).bids == dec(_10="3")
        await bybit_says(peer, "delta", 2, "4")
        assert (await synced(books, "BTCUSDT")).bids == dec(_10="4")
        await bybit_says(peer, "delta", 4, "5")
        assert isinstance(await stale(books, "BTCUSDT"), ItemsMissed)
        for op in ("unsubscribe", "subscribe"):
            request = await asked(peer)
            assert request["op"] == op
            await say(peer, success=True, req_id=request["req_id"])
        await bybit_says(peer, "snapshot", 9, "6")
        assert (await synced(books, "BTCUSDT")).bids == dec(_10="6")


#: The example of Kraken's guide, whose checksum is 3310070434.
KRAKEN_BIDS = (
    "45283.5 0.10000000 45283.4 1.54582015 45282.1 0.10000000 45281.0 0.10000000"
    " 45280.3 1.54592586 45279.0 0.07990000 45277.6 0.03310103 45277.5 0.30000000"
    " 45277.3 1.54602737 45276.6 0.15445238"
)
KRAKEN_ASKS = (
    "45285.2 0.00100000 45286.4 1.54571953 45286.6 1.54571109 45289.6 1.54560911"
    " 45290.2 0.15890660 45291.8 1.54553491 45294.7 0.04454749 45296.1 0.35380000"
    " 45297.5 0.09945542 45299.5 0.18772827"
)
KRAKEN_CHECKSUM = 3310070434


def kraken_says(kind: str, bids: str, asks: str, checksum: int) -> str:
    """A message of Kraken, whose numbers are numbers, with all their digits."""

    def levels(text: str) -> str:
        words = iter(text.split())
        pairs = zip(words, words, strict=True)
        return ",".join(f'{{"price":{p},"qty":{q}}}' for p, q in pairs)

    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD",'
        f'"bids":[{levels(bids)}],"asks":[{levels(asks)}],"checksum":{checksum}}}]}}'
    )


async def test_kraken_is_verified_by_its_checksum() -> None:
    async with trading(venues.Kraken(), venues.kraken(), "BTC/USD") as (peer, books):
        await say(peer, success=True, req_id=(await asked(peer))["req_id"])
        snapshot = kraken_says("snapshot", KRAKEN_BIDS, KRAKEN_ASKS, KRAKEN_CHECKSUM)
        await peer.send(snapshot)
        book = await synced(books, "BTC/USD")
        # A better bid comes in, and the eleventh is out: nobody says so.
        twin = venues.OrderBook()
        for side, prices in (("bids", KRAKEN_BIDS), ("asks", KRAKEN_ASKS)):
            words = iter(prices.split())
            getattr(twin, side).update(
                {Decimal(p): Decimal(q) for p, q in zip(words, words, strict=True)}
            )
        assert venues.checksum(twin) == KRAKEN_CHECKSUM
        del twin.bids[Decimal("45276.6")]
        twin.bids[Decimal("45284.0")] = Decimal("0.50000000")
        await peer.send(
            kraken_says("update", "45284.0 0.50000000", "", venues.checksum(twin))
        )
        book = await synced(books, "BTC/USD")
        assert (book.bids, book.asks) == (twin.bids, twin.asks)
        # An update was lost, and there is no number to tell.
        await peer.send(kraken_says("update", "45284.0 0.25000000", "", 1))
        assert isinstance(await stale(books, "BTC/USD"), ChecksumMismatch)
        for op in ("unsubscribe", "subscribe"):
            request = await asked(peer)
            assert request["method"] == op
            await say(peer, success=True, req_id=request["req_id"])
        await peer.send(snapshot)
        assert len((await synced(books, "BTC/USD")).bids) == 10


async def coinbase_says(
    peer: Peer, number: int, kind: str, key: str, quantity: str
) -> None:
    update = {"side": "bid", "price_level": "10", "new_quantity": quantity}
    event = {"type": kind, "product_id": key, "updates": [update]}
    await say(peer, channel="l2_data", sequence_num=number, events=[event])


async def test_coinbase_suspects_every_key_of_the_connection() -> None:
    keys = ("BTC-USD", "ETH-USD")
    async with trading(venues.Coinbase(), venues.coinbase(), *keys) as (peer, books):
        for number, key in enumerate(keys):
            assert (await asked(peer))["product_ids"] == [key]
            await coinbase_says(peer, number, "snapshot", key, "1")
            await synced(books, key)
        # A heartbeat counts too.
        await say(peer, channel="heartbeats", sequence_num=2, events=[])
        await coinbase_says(peer, 3, "update", "ETH-USD", "2")
        assert (await synced(books, "ETH-USD")).bids == dec(_10="2")
        # 4 is missing: whose it was, nobody knows.
        await coinbase_says(peer, 5, "update", "ETH-USD", "3")
        assert isinstance(await stale(books, "BTC-USD"), ItemsMissed)
        assert isinstance(await stale(books, "ETH-USD"), ItemsMissed)
        requests = [await asked(peer) for _ in range(4)]
        again = [(r["type"], r["product_ids"][0]) for r in requests]
        assert sorted(again) == sorted(
            (op, key) for op in ("subscribe", "unsubscribe") for key in keys
        )
        for number, key in enumerate(keys, 6):
            await coinbase_says(peer, number, "snapshot", key, "4")
            assert (await synced(books, key)).bids == dec(_10="4")
