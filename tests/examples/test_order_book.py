"""examples/order_book.py: what it prints is the venue's book, whatever was lost."""

from __future__ import annotations

import pytest

from resilient_ws.testing import FaultProxy, Refuse, Reset
from tests.examples.program import Program
from tests.examples.venue import Venue
from tests.record import until
from tests.servers.process import HOST


pytestmark = pytest.mark.wire

BOTH = ("BTCUSDT", "ETHUSDT")


async def test_the_printed_books_are_the_venues_at_the_end() -> None:
    async with Venue(*BOTH, seed=1) as venue, FaultProxy(HOST, venue.port) as proxy:
        where = ("--stream", proxy.url("/ws"), "--rest", venue.rest)
        async with Program("order_book.py", *BOTH, *where, "--depth", "999") as book:
            for symbol in BOTH:
                await book.said(f"{symbol} 0.")

            # Cut off, and the venue goes on.
            proxy.apply(Refuse())
            proxy.connections[-1].apply(Reset())
            for symbol in BOTH:
                await book.said(f"{symbol} stale: ")
            before = venue.markets["BTCUSDT"].number
            await until(lambda: venue.markets["BTCUSDT"].number > before + 50)
            proxy.heal()
            await until(lambda: venue.snapshots == 4, within=30)
            await shown_after(book, "ETHUSDT", len(book.lines))

            # One update is lost: its book alone is made anew.
            await venue.lose("BTCUSDT")
            assert "BTCUSDT stale: " in await book.said("BTCUSDT stale: ", count=2)
            await until(lambda: venue.snapshots == 5)
            assert len(book.all_of("ETHUSDT stale: ")) == 1

            await venue.settle()
            for market in venue.markets.values():
                await book.said(market.shown())
            assert await book.interrupted() == 0
        for market in venue.markets.values():
            assert book.all_of(market.symbol)[-1] == market.shown()
        assert_whole(book.lines)


async def shown_after(book: Program, symbol: str, count: int) -> None:
    """Wait for a book of a symbol behind so many lines."""
    books = f"{symbol} 0."
    await until(lambda: any(line.startswith(books) for line in book.lines[count:]))


def assert_whole(lines: list[str]) -> None:
    """No line is a book with bids above asks, and none is a traceback."""
    for line in lines:
        symbol, _, rest = line.partition(" ")
        if rest.startswith("stale: ") or "attempt" in line or "connection" in line:
            continue
        assert symbol in BOTH, line
        bids, asks = rest.split(" | ")
        best_bid, best_ask = (
            side.split(" ")[0].partition("@")[2] for side in (bids, asks)
        )
        assert float(best_bid) < float(best_ask)


async def test_a_snapshot_that_cannot_be_had_is_asked_for_again() -> None:
    async with Venue("BTCUSDT", seed=2) as venue, FaultProxy(HOST, venue.port) as rest:
        rest.apply(Refuse())
        where = ("--stream", f"ws://{HOST}:{venue.port}/ws")
        away = ("--rest", f"http://{HOST}:{rest.port}/api/v3")
        async with Program("order_book.py", "BTCUSDT", *where, *away) as book:
            await book.said("BTCUSDT stale: ")
            assert book.all_of("BTCUSDT 0.") == []
            rest.heal()
            await book.said("BTCUSDT 0.")
            assert await book.interrupted() == 0
