"""Order books that are whole, or known not to be, for a trader at Binance.

    python examples/order_book.py BTCUSDT ETHUSDT

Each change prints the best levels, as quantity@price: bids | asks. A book that lost an
update is ``stale`` until there is a new snapshot; the others go on.
"""

import argparse
import asyncio
import contextlib
import json
from decimal import Decimal
from typing import Any

import aiohttp

from resilient_ws import connect, feeds


class Binance(feeds.Plain):
    def route(self, message: str | bytes) -> feeds.Route:
        data = json.loads(message)
        if data.get("e") == "depthUpdate":
            return feeds.Item(data["s"], data)
        return feeds.Reply(data["id"]) if "id" in data else feeds.Ignore()


def change(book: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    for side, levels in book.items():
        for price, quantity in update[side]:
            levels[Decimal(price)] = quantity
            if not Decimal(quantity):
                del levels[Decimal(price)]
    return book


def shown(book: dict[str, Any], depth: int) -> str:
    sides = sorted(book["b"].items(), reverse=True), sorted(book["a"].items())
    return " | ".join(" ".join(f"{q}@{p}" for p, q in side[:depth]) for side in sides)


async def main(symbols: list[str], stream: str, rest: str, depth: int) -> None:
    async def subscribe(requests: feeds.Requests, symbol: feeds.Key) -> feeds.Key:
        number, name = requests.new_id(), f"{symbol}@depth@100ms".lower()
        wish = {"method": "SUBSCRIBE", "params": [name], "id": number}
        await requests.ask(number, json.dumps(wish))
        return symbol

    async def snapshot(symbol: feeds.Key) -> dict[str, Any]:
        async with http.get(f"{rest}/depth?symbol={symbol}&limit=5000") as answer:
            it = await answer.json()
        return {"b": it["bids"], "a": it["asks"], "u": it["lastUpdateId"]}

    source = feeds.BookSource[Any, Any, int](
        subscribe=subscribe,
        snapshot=snapshot,
        make=lambda it: change({"b": {}, "a": {}}, it),
        apply=change,
        position_of=lambda it: it["u"],
        follows=feeds.ranges(lambda it: it["U"], lambda it: it["u"]),
    )
    http = aiohttp.ClientSession(raise_for_status=True)
    async with http, feeds.Channel(connect(stream), Binance(), rate=4) as channel:
        async for event in feeds.Books(channel, source, symbols):
            if isinstance(event, feeds.Stale):
                print(event.key, "stale:", event.because, flush=True)
            else:
                print(event.key, shown(event.book, depth), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("symbols", nargs="+")
    parser.add_argument("--stream", default="wss://stream.binance.com:9443/ws")
    parser.add_argument("--rest", default="https://api.binance.com/api/v3")
    parser.add_argument("--depth", type=int, default=1)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(**vars(parser.parse_args())))
