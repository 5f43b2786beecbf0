"""A little of ``make chains``: real nodes that die, reorganise and lie."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resilient_ws.feeds.evm import logs
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import FaultProxy, Reset
from tests.feeds.chains import killed, page
from tests.feeds.chains.campaign import WAYS, about, dumped, lied_to
from tests.feeds.chains.judge import Told, compared, reorganised
from tests.feeds.chains.peers import PEERS
from tests.feeds.chains.run import Run, all_logs, session_to
from tests.servers.chains import Ganache, Hardhat, Miner
from tests.servers.lying import Lie
from tests.servers.process import HOST


if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.wire

BLOCKS = 40


@pytest.mark.parametrize(("seed", "peers"), [(1, PEERS), (2, ())])
async def test_the_chain_as_told_is_the_nodes(
    tmp_path: Path, seed: int, peers: tuple[str, ...]
) -> None:
    report = await Run(tmp_path, seed=seed, blocks=BLOCKS, peers=peers).run()
    assert report.violations == []
    # It was put to the test.
    assert report.counts["kill"] > 0
    assert report.counts["kill, shorter"] > 0
    assert report.counts["reorganisation"] > 0
    for ours in report.ours.values():
        assert ours.connections > 1
        assert ours.reorganisations > 0
        assert ours.gaps == {}
    if peers:
        assert sum(row.missed for row in report.peers.values()) > 0
        text = page.markdown({"about": about(), "chain": [dumped(report)]})
        for peer, row in report.peers.items():
            assert peer in text
            assert str(row.missed) in text


async def test_a_consumer_that_is_killed_has_each_row_once(tmp_path: Path) -> None:
    report = await killed.Run(tmp_path, seed=3, blocks=BLOCKS).run()
    assert report.violations == []
    assert report.kills > 0
    assert report.from_cursor > 0
    assert report.gaps == {}


@pytest.mark.parametrize("lie", Lie)
async def test_no_lie_is_believed_in_silence(lie: Lie) -> None:
    for way in WAYS[lie]:
        report = await lied_to(lie, way, seed=1, blocks=20, stale_after=2)
        assert report["violations"] == []
        assert report["gaps"] == {}
        # Whoever takes the logs from receipts is not told that lie.
        told = sum(report["lies"].values())
        assert (told > 0) is (lie is not Lie.NONE and way.verify != "receipts")


@pytest.mark.parametrize("kind", ["hardhat", "ganache"])
async def test_on_nodes_of_other_hands(tmp_path: Path, kind: str) -> None:
    node = Hardhat(tmp_path) if kind == "hardhat" else Ganache()
    told = Told(position=0)
    removed: list[frozenset[str]] = []
    async with (
        node,
        Miner(node) as miner,
        FaultProxy(HOST, node.port) as proxy,
        Client(session_to(proxy.url())) as client,
    ):
        stream = logs(client, all_logs(), after=0, verify="hash")

        async def level() -> None:
            tip = await miner.block(await miner.height())
            async with asyncio.timeout(20):
                while told.tip is None or told.tip.hash != tip.hash:
                    told.take(await anext(stream))

        await miner.mine(2)
        await level()
        for turn in range(4):
            for _ in range(3):
                await miner.mine(2)
            await level()
            if turn % 2:
                proxy.apply(Reset())
            gone = await miner.chain(await miner.height() - 1)
            removed.append(frozenset(block.hash for block in gone))
            await miner.reorganise(2, 3)
            await level()
        chain = {block.number: block for block in await miner.chain(0)}
    assert compared(told, chain, 0) == []
    assert reorganised(told, removed) == []
    assert len(told.undone) == 4
