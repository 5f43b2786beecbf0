"""A venue that speaks as Binance does: differences on a socket, snapshots over HTTP.

Written from https://developers.binance.com/docs, "How to manage a local order book".
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import WSMsgType, web

from tests.servers.process import HOST


if TYPE_CHECKING:
    from collections.abc import Iterable

#: Prices on each side, and changes of one update at most.
LEVELS: Final = 40
CHANGES: Final = 3


class Market:
    """The book of one symbol, and the number of its last change."""

    def __init__(self, symbol: str, chance: random.Random) -> None:
        self.symbol = symbol
        self._chance = chance
        self.number = chance.randrange(10**9)
        self.sides: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        for _ in range(LEVELS):
            self.update()

    def update(self) -> dict[str, Any]:
        """Change some levels; return what is told of it."""
        first = self.number + 1
        changed: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        for _ in range(self._chance.randint(1, CHANGES)):
            side = self._chance.choice("ba")
            # No bid is above an ask.
            tick = self._chance.randrange(LEVELS) + (LEVELS if side == "a" else 0)
            quantity = self._chance.choice(("0.00000000", f"{self._chance.random():f}"))
            changed[side][f"{100 + tick / 100:.2f}"] = quantity
            self.number += 1
        for side, levels in changed.items():
            self.sides[side].update(levels)
            for price in [p for p, q in self.sides[side].items() if not Decimal(q)]:
                del self.sides[side][price]
        told = {side: _pairs(levels.items()) for side, levels in changed.items()}
        about = {"e": "depthUpdate", "E": 0, "s": self.symbol}
        return {**about, "U": first, "u": self.number, **told}

    def snapshot(self) -> dict[str, Any]:
        """All of it, as over HTTP."""
        bids, asks = (_pairs(self.sides[side].items()) for side in "ba")
        return {"lastUpdateId": self.number, "bids": bids, "asks": asks}

    def shown(self) -> str:
        """What ``order_book.py`` should print of it, in all its depth."""
        sides = []
        for side in "ba":
            levels = self.sides[side].items()
            ordered = sorted(levels, key=lambda one: Decimal(one[0]))
            ordered = ordered[::-1] if side == "b" else ordered
            sides.append(" ".join(f"{quantity}@{price}" for price, quantity in ordered))
        return f"{self.symbol} {' | '.join(sides)}"


def _pairs(levels: Iterable[tuple[str, str]]) -> list[list[str]]:
    return [list(pair) for pair in levels]


class Venue:
    """The markets, over real sockets, which change all the time.

    Args:
        symbols: Their names.
        seed: What happens.
    """

    def __init__(self, *symbols: str, seed: int) -> None:
        chance = random.Random(seed)
        self.markets = {symbol: Market(symbol, chance) for symbol in symbols}
        self.snapshots = 0
        self._sockets: dict[web.WebSocketResponse, set[str]] = {}
        self._changing: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/ws", self._stream)
        application.router.add_get("/api/v3/depth", self._depth)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.port: int = self._runner.addresses[0][1]
        self.rest = f"http://{HOST}:{self.port}/api/v3"
        self._changing = asyncio.create_task(self._change())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.settle()
        await self._runner.cleanup()

    async def settle(self) -> None:
        """Change nothing any more."""
        self._changing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._changing

    async def lose(self, symbol: str) -> None:
        """Make a change that nobody is told of, and one that shows it."""
        self.markets[symbol].update()
        await self._tell(self.markets[symbol])

    async def _change(self) -> None:
        while True:
            for market in self.markets.values():
                await self._tell(market)
            await asyncio.sleep(0.01)

    async def _tell(self, market: Market) -> None:
        update = market.update()
        for socket, streams in tuple(self._sockets.items()):
            if f"{market.symbol.lower()}@depth@100ms" in streams:
                with contextlib.suppress(ConnectionError):
                    await socket.send_json(update)

    async def _depth(self, request: web.Request) -> web.Response:
        assert request.query["limit"] == "5000"
        self.snapshots += 1
        return web.json_response(self.markets[request.query["symbol"]].snapshot())

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        streams = self._sockets[socket] = set()
        try:
            async for message in socket:
                assert message.type is WSMsgType.TEXT
                wish = message.json()
                assert wish["method"] == "SUBSCRIBE"
                streams.update(wish["params"])
                await socket.send_json({"result": None, "id": wish["id"]})
        finally:
            del self._sockets[socket]
        return socket
