"""The chain nodes do what the tests of chains ask of them, each by itself."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest

from tests.servers.chains import TOPIC, Block, Ganache, Hardhat, KeptAnvil, Miner


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire


def node_of(kind: str, folder: Path) -> ServerProcess:
    if kind == "anvil":
        return KeptAnvil(folder)
    return Hardhat(folder) if kind == "hardhat" else Ganache()


@contextlib.asynccontextmanager
async def mined(kind: str, folder: Path) -> AsyncIterator[Miner]:
    async with node_of(kind, folder) as node, Miner(node) as miner:
        yield miner


def linked(chain: list[Block]) -> bool:
    return all(a.hash == b.parent for a, b in itertools.pairwise(chain))


@pytest.mark.parametrize("kind", ["anvil", "hardhat", "ganache"])
async def test_mines_emits_reorganises_and_goes_back(kind: str, tmp_path: Path) -> None:
    async with mined(kind, tmp_path) as miner:
        for logs in (0, 2, 1, 3):
            await miner.mine(logs)
        before = await miner.chain(0)
        assert [len(block.logs) for block in before] == [0, 0, 2, 1, 3]
        await miner.reorganise(2, 4)
        after = await miner.chain(0)
        assert linked(before)
        assert linked(after)
        assert after[:3] == before[:3]
        assert [len(block.logs) for block in after] == [0, 0, 2, 4, 1, 1]
        assert after[3].hash != before[3].hash
        await miner.shorten(2)
        assert await miner.chain(0) == after[:4]


async def test_two_anvils_that_are_told_the_same_are_the_same(tmp_path: Path) -> None:
    async with (
        mined("anvil", tmp_path / "one") as one,
        mined("anvil", tmp_path / "two") as two,
    ):
        for _ in range(5):
            await one.mine(2, 1)
        await one.reorganise(3, 1)
        for mined_there in one.done:
            await two.repeat(mined_there)
        assert await one.chain(0) == await two.chain(0)


async def test_a_killed_anvil_comes_back_also_shorter(tmp_path: Path) -> None:
    node = KeptAnvil(tmp_path)
    async with node, Miner(node) as miner:
        for _ in range(6):
            await miner.mine(1)
        await node.remember()
        kept = await miner.chain(0)
        await miner.mine(1)
        await node.restart_as_remembered()
        miner.forget()
        assert await miner.chain(0) == kept
        await miner.mine(1)
        await node.dumped()
        longer = await miner.chain(0)
        await node.restart_as_kept()
        assert await miner.chain(0) == longer
        # A node that was cut off while it wrote its file has the last sound one.
        await node.kill()
        node.state.write_text('{"bl')
        await node.restart_as_kept()
        assert await miner.chain(0) == longer


async def test_anvil_reorganises_at_once(tmp_path: Path) -> None:
    async with mined("anvil", tmp_path) as miner:
        for _ in range(5):
            await miner.mine(1)
        before = await miner.chain(0)
        await miner.reorganise_at_once(3, 2, 1)
        after = await miner.chain(0)
        assert after[:3] == before[:3]
        assert linked(after)
        assert [len(block.logs) for block in after] == [0, 1, 1, 3, 0, 0]
        query = {"fromBlock": "0x0", "toBlock": "latest", "topics": [TOPIC]}
        assert len(await miner.call("eth_getLogs", query)) == 5
