"""One connection through a FaultProxy, by itself."""

from __future__ import annotations

import asyncio

from resilient_ws.testing import Drop, Freeze
from tests.record import now
from tests.testing.ends import (
    both_ends,
    passes_both_ways,
)


async def test_a_fault_can_be_for_one_connection() -> None:
    async with both_ends() as ends:
        first, second = await ends.pair(), await ends.pair()
        ends.proxy.connections[0].apply(Freeze("down"))
        await first[1].send(b"held")
        await passes_both_ways(*second)
        assert ends.proxy.connections[0].down.passed == 0
        ends.proxy.connections[0].heal()
        assert await first[0].exactly(4) == b"held"


async def test_a_connection_has_a_number_a_beginning_and_an_end() -> None:
    async with both_ends() as ends:
        await asyncio.gather(*(ends.dial() for _ in range(3)))
        last = await ends.proxy.arrivals(3)
        assert [c.number for c in ends.proxy.connections] == [1, 2, 3]
        assert last is ends.proxy.connections[2]
        assert last.opened_at <= now()
        assert last.is_open
        last.apply(Drop())
        await last.ended()
        assert not last.is_open
