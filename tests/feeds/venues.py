"""Order books of five venues, by hand from their public rules.

Each is a protocol and a ``BookSource``. What they have in common is the book itself:
absolute quantities at prices, where a quantity of 0 takes the price away.
"""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from resilient_ws.feeds import (
    BookSource,
    Ignore,
    Item,
    Missed,
    Plain,
    Reply,
    linked,
    ranges,
)
from resilient_ws.feeds.source import Continuity


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from resilient_ws import Connection
    from resilient_ws.feeds import Key, Requests, Route

KRAKEN_DEPTH: Final = 10


class OrderBook:
    """Quantities at prices, on two sides."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}

    def set(
        self,
        bids: Iterable[Sequence[Any]],
        asks: Iterable[Sequence[Any]],
    ) -> OrderBook:
        """Set quantities; 0 takes a price away."""
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, quantity, *_ in levels:
                if Decimal(quantity):
                    side[Decimal(price)] = Decimal(quantity)
                else:
                    side.pop(Decimal(price), None)
        return self

    def best(self) -> tuple[list[Decimal], list[Decimal]]:
        """The prices, best first: bids, asks."""
        return sorted(self.bids, reverse=True), sorted(self.asks)

    def truncate(self, depth: int) -> None:
        """Forget what lies deeper."""
        for side, prices in zip((self.bids, self.asks), self.best(), strict=True):
            for price in prices[depth:]:
                del side[price]


class Json(Plain):
    """Decodes the messages of a venue."""

    def route(self, message: str | bytes) -> Route | Sequence[Route]:
        return self.place(json.loads(message, parse_float=Decimal))

    def place(self, data: dict[str, Any]) -> Route | Sequence[Route]:
        raise NotImplementedError


def asking(
    request: Callable[[int, str, Any], dict[str, Any]], op: str
) -> Callable[[Requests, Key], Awaitable[Key]]:
    """A request about one key, whose answer names its id."""

    async def ask(requests: Requests, key: Key) -> Key:
        number = requests.new_id()
        await requests.ask(number, json.dumps(request(number, op, key)))
        return key

    return ask


# Binance: https://developers.binance.com/docs, "How to manage a local order book".


class Binance(Json):
    """Differences by symbol; the snapshot comes over HTTP."""

    @override
    def place(self, data: dict[str, Any]) -> Route:
        if data.get("e") == "depthUpdate":
            return Item(data["s"], data)
        return Reply(data["id"]) if "id" in data else Ignore()


def _binance_request(number: int, op: str, key: Any) -> dict[str, Any]:
    return {"method": op, "params": [f"{key.lower()}@depth"], "id": number}


def _binance_future_follows(last: int | None, item: dict[str, Any]) -> Continuity:
    """``pu`` names the one before; behind a snapshot, the range holds its position."""
    if last is None or item["pu"] == last or item["U"] <= last <= item["u"]:
        return Continuity.NEXT
    return Continuity.REPEAT if item["u"] < last else Continuity.JUMP


def binance(
    snapshot: Callable[[Key], Awaitable[dict[str, Any]]], *, futures: bool = False
) -> BookSource[dict[str, Any], OrderBook, int]:
    """``U <= last + 1 <= u`` (spot), ``pu == last`` (futures)."""
    return BookSource(
        subscribe=asking(_binance_request, "SUBSCRIBE"),
        unsubscribe=asking(_binance_request, "UNSUBSCRIBE"),
        snapshot=snapshot,
        make=lambda item: OrderBook().set(item["bids"], item["asks"]),
        apply=lambda book, item: book.set(item["b"], item["a"]),
        position_of=lambda item: item.get("u") or item["lastUpdateId"],
        follows=_binance_future_follows
        if futures
        else ranges(lambda item: item["U"], lambda item: item["u"]),
    )


# OKX: https://www.okx.com/docs-v5, "WS / Order book channel".


class Okx(Json):
    """Snapshots and updates by instrument; an answer names its instrument."""

    @override
    def place(self, data: dict[str, Any]) -> Route:
        if "event" in data:
            return Reply((data["event"], data["arg"]["instId"]))
        key = data["arg"]["instId"]
        return Item(key, data["data"][0] | {"action": data["action"]})


def _okx(op: str) -> Callable[[Requests, Key], Awaitable[Key]]:
    async def ask(requests: Requests, key: Key) -> Key:
        args = [{"channel": "books", "instId": key}]
        await requests.ask((op, key), json.dumps({"op": op, "args": args}))
        return key

    return ask


def okx() -> BookSource[dict[str, Any], OrderBook, int]:
    """``prevSeqId == last``: the steps vary, and go back at maintenance."""
    return BookSource(
        subscribe=_okx("subscribe"),
        unsubscribe=_okx("unsubscribe"),
        is_snapshot=lambda item: item["action"] == "snapshot",
        make=lambda item: OrderBook().set(item["bids"], item["asks"]),
        apply=lambda book, item: book.set(item["bids"], item["asks"]),
        position_of=lambda item: item["seqId"],
        follows=linked(lambda item: item["prevSeqId"], lambda item: item["seqId"]),
    )


# Bybit: https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook


class Bybit(Json):
    """Snapshots and deltas by topic."""

    @override
    def place(self, data: dict[str, Any]) -> Route:
        if "topic" in data:
            key = data["topic"].rpartition(".")[2]
            return Item(key, data["data"] | {"type": data["type"]})
        return Reply(data["req_id"])


def _bybit(op: str) -> Callable[[Requests, Key], Awaitable[Key]]:
    async def ask(requests: Requests, key: Key) -> Key:
        name = str(requests.new_id())
        request = {"req_id": name, "op": op, "args": [f"orderbook.50.{key}"]}
        await requests.ask(name, json.dumps(request))
        return key

    return ask


def _bybit_follows(last: int | None, item: dict[str, Any]) -> Continuity:
    if last is None or item["u"] == last + 1:
        return Continuity.NEXT
    return Continuity.REPEAT if item["u"] <= last else Continuity.JUMP


def bybit() -> BookSource[dict[str, Any], OrderBook, int]:
    """``u + 1``; ``u == 1`` is a snapshot after the service has restarted."""
    return BookSource(
        subscribe=_bybit("subscribe"),
        unsubscribe=_bybit("unsubscribe"),
        is_snapshot=lambda item: item["type"] == "snapshot" or item["u"] == 1,
        make=lambda item: OrderBook().set(item["b"], item["a"]),
        apply=lambda book, item: book.set(item["b"], item["a"]),
        position_of=lambda item: item["u"],
        follows=_bybit_follows,
    )


# Kraken: https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2


class Kraken(Json):
    """Snapshots and updates by symbol, with a checksum and without numbers."""

    @override
    def place(self, data: dict[str, Any]) -> Route:
        if data.get("channel") == "book":
            item = data["data"][0]
            return Item(item["symbol"], item | {"type": data["type"]})
        return Reply(data["req_id"]) if "req_id" in data else Ignore()


def _kraken_request(number: int, op: str, key: Any) -> dict[str, Any]:
    params = {"channel": "book", "symbol": [key], "depth": KRAKEN_DEPTH}
    return {"method": op, "params": params, "req_id": number}


def _levels(levels: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    return [(level["price"], level["qty"]) for level in levels]


def _kraken_set(book: OrderBook, item: dict[str, Any]) -> OrderBook:
    book.set(_levels(item["bids"]), _levels(item["asks"]))
    book.truncate(KRAKEN_DEPTH)
    return book


def checksum(book: OrderBook) -> int:
    """CRC32 of the ten best asks and bids: digits alone, without leading zeros."""
    bids, asks = book.best()
    digits = [
        f"{number:f}".replace(".", "").lstrip("0")
        for side, prices in ((book.asks, asks[:10]), (book.bids, bids[:10]))
        for price in prices
        for number in (price, side[price])
    ]
    return zlib.crc32("".join(digits).encode())


def kraken() -> BookSource[dict[str, Any], OrderBook, None]:
    """No numbers: the checksum alone tells a loss."""
    return BookSource(
        subscribe=asking(_kraken_request, "subscribe"),
        unsubscribe=asking(_kraken_request, "unsubscribe"),
        is_snapshot=lambda item: item["type"] == "snapshot",
        make=lambda item: _kraken_set(OrderBook(), item),
        apply=_kraken_set,
        verify=lambda book, item: checksum(book) == item["checksum"],
    )


# Coinbase Advanced Trade: https://docs.cdp.coinbase.com, "WebSocket channels".


class Coinbase(Json):
    """``sequence_num`` counts the messages of the connection, whatever they are."""

    def __init__(self) -> None:
        self._next = 0

    @override
    async def login(self, connection: Connection, resume: bool) -> None:
        self._next = 0

    @override
    def place(self, data: dict[str, Any]) -> Sequence[Route]:
        number, expected = data["sequence_num"], self._next
        self._next = max(expected, number + 1)
        missed = [] if number <= expected else [Missed()]
        if data["channel"] != "l2_data":
            return [*missed, Ignore()]
        return [*missed, *(Item(e["product_id"], e) for e in data["events"])]


def _coinbase(op: str) -> Callable[[Requests, Key], Awaitable[Key]]:
    async def ask(requests: Requests, key: Key) -> Key:
        request = {"type": op, "product_ids": [key], "channel": "level2"}
        await requests.send(json.dumps(request))
        return key

    return ask


def _coinbase_set(book: OrderBook, item: dict[str, Any]) -> OrderBook:
    sides: dict[str, list[tuple[str, str]]] = {"bid": [], "offer": []}
    for update in item["updates"]:
        sides[update["side"]].append((update["price_level"], update["new_quantity"]))
    return book.set(sides["bid"], sides["offer"])


def coinbase() -> BookSource[dict[str, Any], OrderBook, None]:
    """What is missing is seen by the protocol, and then of every key."""
    return BookSource(
        subscribe=_coinbase("subscribe"),
        unsubscribe=_coinbase("unsubscribe"),
        is_snapshot=lambda item: item["type"] == "snapshot",
        make=lambda item: _coinbase_set(OrderBook(), item),
        apply=_coinbase_set,
    )
