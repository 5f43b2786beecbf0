"""The lying node tells each lie as it says, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.servers.chains import TOPIC, KeptAnvil, Miner
from tests.servers.lying import EARLY, HEARD, LIMITS, Lie, LyingNode


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


pytestmark = pytest.mark.wire


class Client:
    """A JSON-RPC client that keeps everything in the order of its arrival."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.came: list[dict[str, Any]] = []
        self.number = 0

    async def call(self, method: str, *params: Any) -> Any:
        answer = await self.answer(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    async def answer(self, method: str, *params: Any) -> Any:
        self.number += 1
        request = {"jsonrpc": "2.0", "id": self.number, "method": method}
        await self.socket.send(json.dumps({**request, "params": params}))
        async with asyncio.timeout(5):
            while True:
                came = json.loads(await self.socket.recv())
                self.came.append(came)
                if came.get("id") == self.number:
                    return came

    def heads(self) -> list[str]:
        news = [came for came in self.came if came.get("method") == "eth_subscription"]
        return [came["params"]["result"]["number"] for came in news]


class Stage:
    """Two anvils, and their lying node."""

    def __init__(self, ahead: Miner, behind: Miner, node: LyingNode) -> None:
        self.ahead = ahead
        self.behind = behind
        self.node = node

    async def mine(self, blocks: int, *, lag: int = 0) -> None:
        for _ in range(blocks):
            await self.ahead.mine(2)
        done = list(self.ahead.done)
        for mined in done[await self.behind.height() : len(done) - lag]:
            await self.behind.repeat(mined)


@contextlib.asynccontextmanager
async def staged(folder: Path, lie: Lie, **options: Any) -> AsyncIterator[Stage]:
    async with (
        KeptAnvil(folder / "ahead") as ahead,
        KeptAnvil(folder / "behind") as behind,
        Miner(ahead) as one,
        Miner(behind) as two,
        LyingNode([ahead.port, behind.port], lie, **options) as node,
    ):
        yield Stage(one, two, node)


@contextlib.asynccontextmanager
async def dialled(node: LyingNode) -> AsyncIterator[Client]:
    async with connect(node.url, ping_interval=None, proxy=None) as socket:
        yield Client(socket)


RANGE = {"fromBlock": "0x0", "toBlock": "latest", "topics": [TOPIC]}


async def test_tells_the_truth(tmp_path: Path) -> None:
    async with staged(tmp_path, Lie.NONE) as stage, dialled(stage.node) as client:
        await client.call("eth_subscribe", "newHeads")
        await stage.mine(8)
        assert len(await client.call("eth_getLogs", RANGE)) == 16
        assert await client.call("eth_blockNumber") == "0x8"
        assert client.heads() == [hex(n) for n in range(1, 9)]
        assert not stage.node.lies


async def test_answers_at_different_heights(tmp_path: Path) -> None:
    async with staged(tmp_path, Lie.UNEVEN) as stage, dialled(stage.node) as client:
        await stage.mine(8, lag=3)
        heights = [await client.call("eth_blockNumber") for _ in range(20)]
        assert set(heights) == {"0x8", "0x5"}
        one, two = await stage.ahead.chain(0, 5), await stage.behind.chain(0, 5)
        assert one == two
        assert stage.node.lies["eth_blockNumber"] == heights.count("0x5")


async def test_denies_a_fresh_block_for_a_while(tmp_path: Path) -> None:
    async with (
        staged(tmp_path, Lie.DENIES, share=1.0, seed=1) as stage,
        dialled(stage.node) as client,
    ):
        await stage.mine(1)
        ask = ("eth_getBlockByNumber", "0x1", False)
        assert await client.call(*ask) is None
        assert (await client.call("eth_getBlockByNumber", "latest", False))["hash"]
        async with asyncio.timeout(5):
            while await client.call(*ask) is None:
                pass
        assert stage.node.lies["eth_getBlockByNumber"] > 0
        assert await client.call("eth_getBlockByNumber", "0x2", False) is None


@pytest.mark.parametrize(
    ("lie", "by_hash"), [(Lie.RANGE, "right"), (Lie.EVERY, "wrong")]
)
async def test_drops_logs_and_always_the_same(
    tmp_path: Path, lie: Lie, by_hash: str
) -> None:
    async with staged(tmp_path, lie, seed=2) as stage, dialled(stage.node) as client:
        await stage.mine(8)
        logs = await client.call("eth_getLogs", RANGE)
        assert 0 < len(logs) < 16
        assert await client.call("eth_getLogs", RANGE) == logs
        truth = await stage.ahead.chain(1)
        found = [
            await client.call("eth_getLogs", {"blockHash": b.hash, "topics": [TOPIC]})
            for b in truth
        ]
        exact = [len(logs) for logs in found] == [len(b.logs) for b in truth]
        assert exact is (by_hash == "right")
        receipts = [await client.call("eth_getBlockReceipts", b.hash) for b in truth]
        assert [len(r[0]["logs"]) for r in receipts] == [2] * 8


@pytest.mark.parametrize("limit", LIMITS)
async def test_refuses_a_range_in_the_words_of_a_provider(
    tmp_path: Path, limit: str
) -> None:
    async with (
        staged(tmp_path, Lie.REFUSES, limit=limit) as stage,
        dialled(stage.node) as client,
    ):
        await stage.mine(12)
        answer = await client.answer("eth_getLogs", RANGE)
        assert answer["error"]["code"] == LIMITS[limit].code
        last = hex(LIMITS[limit].blocks - 1)
        assert ("[0x0, " in answer["error"]["message"]) == ("suggested" in limit)
        assert isinstance(
            await client.call("eth_getLogs", {**RANGE, "toBlock": last}), list
        )
        assert stage.node.lies["eth_getLogs"] == 1


async def test_goes_deaf_and_answers_still(tmp_path: Path) -> None:
    async with staged(tmp_path, Lie.DEAF) as stage, dialled(stage.node) as client:
        await client.call("eth_subscribe", "newHeads")
        await stage.mine(HEARD + 4)
        assert await client.call("eth_blockNumber") == hex(HEARD + 4)
        assert len(client.heads()) == HEARD
        assert stage.node.lies["eth_subscription"] == 4
        await client.call("eth_subscribe", "newHeads")
        await stage.mine(1)
        assert await client.call("eth_blockNumber") == hex(HEARD + 5)
        assert len(client.heads()) == HEARD + 1


async def test_notifies_before_it_answers(tmp_path: Path) -> None:
    async with staged(tmp_path, Lie.EARLY) as stage, dialled(stage.node) as client:
        subscribing = asyncio.create_task(client.call("eth_subscribe", "newHeads"))
        while not subscribing.done():
            await stage.mine(1)
        key = await subscribing
        before = client.came[
            : client.came.index(next(c for c in client.came if "id" in c))
        ]
        assert [came["params"]["subscription"] for came in before[:EARLY]] == [
            key
        ] * EARLY


async def test_ends_with_its_node(tmp_path: Path) -> None:
    async with staged(tmp_path, Lie.NONE) as stage, dialled(stage.node) as client:
        await client.call("eth_blockNumber")
        await stage.ahead.node.kill()
        async with asyncio.timeout(5):
            await client.socket.wait_closed()
        assert client.socket.close_code == 1006
