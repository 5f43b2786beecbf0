"""examples/balances.py: the blocks of a drop come in their place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from resilient_ws.testing import FaultProxy, Refuse, Reset
from tests.examples.program import Program
from tests.examples.test_new_heads import call
from tests.servers.process import HOST


if TYPE_CHECKING:
    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire


async def test_blocks_mined_during_a_drop_are_told_in_order(anvil: Anvil) -> None:
    (account, *_) = await call(anvil, "eth_accounts")
    async with FaultProxy(HOST, anvil.port) as proxy:
        async with Program("balances.py", proxy.url(), account) as bot:
            await bot.said("subscribed")
            await call(anvil, "evm_mine")
            assert await bot.said("block") == "block 1: 10000.0 ether"

            proxy.apply(Refuse())
            proxy.connections[-1].apply(Reset())
            await call(anvil, "anvil_setBalance", account, hex(5 * 10**18))
            await call(anvil, "anvil_mine", hex(7))
            proxy.heal()

            assert await bot.said("block", count=8) == "block 8: 5.0 ether"
            await call(anvil, "evm_mine")
            await bot.said("block", count=9)
            assert await bot.interrupted() == 0
        told = [
            int(n)
            for n in re.findall(r"^block (\d+)", "\n".join(bot.lines), re.MULTILINE)
        ]
        assert told == list(range(1, 10))
        assert bot.all_of("missing") == []


async def test_a_balance_that_the_node_refuses_ends_nothing(anvil: Anvil) -> None:
    async with Program("balances.py", anvil.url, "0x12") as bot:
        await bot.said("subscribed")
        await call(anvil, "anvil_mine", hex(2))
        assert (await bot.said("block 1")).startswith("block 1: unknown, ")
        await bot.said("block 2: unknown")
        assert await bot.interrupted() == 0
