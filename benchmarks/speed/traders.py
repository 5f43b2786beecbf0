"""Programs that follow the trades of an exchange: JSON, decoded to structs by msgspec.

Ours in the ways that its pages show, and the peers by hand. The queue behind picows
holds text, which its consumer decodes: decoding in the callback costs a fifth more.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec

import resilient_ws
from benchmarks.speed.clients import (
    CLIENTS,
    Aiohttp,
    Changed,
    Client,
    Picows,
    ResilientWS,
    report,
)
from benchmarks.speed.frames import numbered
from benchmarks.ways import batched, coded, iterated
from resilient_ws.codec import of
from resilient_ws.feeds import Channel, Gap, Item, Plain, Requests, Source, consecutive


if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping

    from benchmarks.speed.frames import Message
    from benchmarks.ways import Way
    from resilient_ws import Session


class Trade(msgspec.Struct, tag_field="e", tag="trade"):
    """One trade, under the short names that exchanges have."""

    symbol: str = msgspec.field(name="s")
    number: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    quantity: str = msgspec.field(name="q")
    at: int = msgspec.field(name="T")
    maker: bool = msgspec.field(name="m")
    best: bool = msgspec.field(name="M")


DECODE: Final = msgspec.json.Decoder(Trade).decode


def check(last: object, count: int) -> None:
    """See that the last trade is the last that was sent."""
    if last != DECODE(numbered(count - 1)):
        raise Changed


class Trader(Client):
    """A client that can follow trades."""

    async def trades(self, count: int) -> None:
        """Ask for so many trades, and take them."""
        raise NotImplementedError


#: Ours without `feeds`, by the names under which they are shown.
WAYS: Final[Mapping[str, Way]] = {
    "resilient_ws, `async for`": iterated(DECODE),
    "resilient_ws, `receive_many`": batched(DECODE),
    "resilient_ws, `Coded`": coded(of(Trade)),
}


class OverSession(ResilientWS, Trader):
    """Ours, in one of the ways of its pages."""

    async def trades(self, count: int) -> None:
        await self.session.send("go")
        check(await WAYS[self.name](self.session, count), count)


class ByIteration(OverSession):
    name = "resilient_ws, `async for`"


class ByBatches(OverSession):
    name = "resilient_ws, `receive_many`"


class ByCodec(OverSession):
    name = "resilient_ws, `Coded`"


class Trades(Plain):
    """The protocol of a stream that has nothing but trades."""

    def route(self, message: Message) -> Item:
        return Item("trades", DECODE(message))


class ByFeeds(Trader):
    """A subscription of a channel, which sees to it that no number is missing."""

    name = "resilient_ws, `feeds`"

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, context: ssl.SSLContext | None, compress: bool
    ) -> AsyncIterator[Client]:
        session: Session = resilient_ws.connect(
            url, compression="deflate" if compress else None, ssl=context or True
        )
        session.on(resilient_ws.ConnectionDropped, report)
        async with Channel(session, Trades()) as channel:
            yield cls(channel)

    async def trades(self, count: int) -> None:
        async def subscribe(requests: Requests) -> str:
            await requests.send("go")
            return "trades"

        source = Source[Trade, int](
            subscribe=subscribe,
            cursor_of=lambda trade: trade.number,
            follows=consecutive(lambda trade: trade.number),
        )
        left = count
        async for trade in await self.channel.subscribe(source):
            if isinstance(trade, Gap):
                raise Changed
            left -= 1
            if not left:
                break
        check(trade, count)


class AiohttpByHand(Aiohttp, Trader):
    name = "aiohttp, by hand"

    async def trades(self, count: int) -> None:
        await self.socket.send_str("go")
        left, trade = count, None
        async for message in self.socket:
            trade = DECODE(message.data)
            left -= 1
            if not left:
                break
        check(trade, count)


class PicowsByHand(Picows, Trader):
    name = "picows, queue, by hand"

    async def trades(self, count: int) -> None:
        await self.send("go")
        receive, trade = self.receive, None
        for _ in range(count):
            trade = DECODE(await receive())
        check(trade, count)


OURS: Final[tuple[type[Trader], ...]] = (ByIteration, ByBatches, ByCodec, ByFeeds)
TRADERS: Final[dict[str, type[Client]]] = {
    trader.name: trader
    for trader in (
        *OURS,
        AiohttpByHand,
        *((PicowsByHand,) if CLIENTS.get("picows, queue") else ()),
    )
}
