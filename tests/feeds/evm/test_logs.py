"""evm.logs on a real anvil: what is told equals the node's own logs."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
import tenacity

from resilient_ws import Reconnect, connect
from resilient_ws.feeds.evm import Cursor, LogFilter, Progress, Reorg, logs
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import FaultProxy, Reset
from tests.feeds.evm.emitter import EMITTED, Emitter
from tests.feeds.evm.limited import LimitedNode
from tests.feeds.evm.told_logs import ToldLogs


if TYPE_CHECKING:
    from tests.servers.daemons import Anvil

pytestmark = pytest.mark.wire

LEVELS = ("hash", "bloom", "receipts")


@pytest.mark.parametrize("verify", LEVELS)
async def test_new_logs_come_block_by_block(anvil: Anvil, verify: Any) -> None:
    async with Emitter(anvil.url) as node, Client(connect(anvil.url)) as client:
        told = ToldLogs(1)
        wanted = LogFilter(address=node.address, topics=[EMITTED])
        stream = logs(client, wanted, verify=verify, after=1)
        await node.emit(3)
        told.take(await anext(stream))
        for count in (1, 0, 5, 0, 0, 200):
            await node.emit(count)
            told.take(await anext(stream))
        assert told.logs == await node.logs(1)
        assert len(told.logs) == 209
        assert told.blocks == 7


@pytest.mark.parametrize("verify", LEVELS)
async def test_what_came_before_is_caught_up_with(anvil: Anvil, verify: Any) -> None:
    async with Emitter(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.emit(*(n % 4 for n in range(200)))
        stream = logs(client, LogFilter(address=node.address), verify=verify, after=0)
        told = ToldLogs(0)
        await told.follow(stream, lambda: told.through == 201)
        assert told.logs == await node.logs()
        await node.emit(2)
        await told.follow(stream, lambda: told.through == 202)
        assert told.logs == await node.logs()
        assert told.gaps == []


@pytest.mark.parametrize("depth", range(1, 6))
async def test_removed_logs_are_undone_in_reverse(anvil: Anvil, depth: int) -> None:
    async with Emitter(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.emit(1, 2, 3)
        snapshot = {}
        for count in (3, 0, 1, 2, 4):
            snapshot[await node.tip()] = await node.call("evm_snapshot")
            await node.emit(count)
        before = await node.logs()
        told = ToldLogs(0)
        stream = logs(client, LogFilter(address=node.address), after=0)
        tip, _ = await node.tip()
        await told.follow(stream, lambda: told.through == tip)
        assert told.logs == before
        (fork, hash_), back = list(snapshot.items())[-depth]
        assert await node.call("evm_revert", back)
        await node.emit(*range(1, depth + 3))
        tip, newest = await node.tip()
        await told.follow(stream, lambda: told.hash == newest)
        assert told.logs == await node.logs()
        (reorg,) = told.reorgs
        assert isinstance(reorg, Reorg)
        assert (reorg.ancestor.number, reorg.ancestor.hash) == (fork, hash_)
        assert reorg.depth == depth
        assert [
            (log.blockNumber, log.blockHash, log.logIndex) for log in reorg.logs
        ] == [one for one in reversed(before) if one[0] > fork]


async def test_a_topic_that_does_not_fit_brings_nothing(anvil: Anvil) -> None:
    async with Emitter(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.emit(*[3] * 5)
        wanted = LogFilter(address=node.address, topics=[None, f"0x{2:064x}"])
        told = ToldLogs(0)
        stream = logs(client, wanted, after=0)
        await told.follow(stream, lambda: told.through == 6)
        assert [index for _, _, index in told.logs] == [1] * 5


class Trouble:
    """Emits logs, and reorganises, cuts and kills meanwhile, as a seed has it."""

    def __init__(
        self, anvil: Anvil, node: Emitter, proxy: FaultProxy, told: ToldLogs, seed: int
    ) -> None:
        self._anvil, self._node, self._proxy = anvil, node, proxy
        self._told = told
        self._chance = random.Random(seed)
        # anvil has the states of those blocks that it has mined in this life.
        self._oldest = 1

    async def make(self, steps: int) -> None:
        for step in range(steps):
            await self._node.emit(self._chance.choice([0, 1, 2, 5]))
            roll = self._chance.random()
            if roll < 0.1:
                self._proxy.apply(Reset())
                self._proxy.heal()
            elif roll < 0.2:
                depth = (await self._node.tip())[0] - self._oldest
                depth = min(self._chance.randint(1, 5), depth)
                await self._node.call("anvil_reorg", depth, [])
            if step == steps // 2:
                await self._kill()
            await asyncio.sleep(self._chance.choice([0, 0, 0.01]))
        await self._node.emit(3)
        await self._all_told()

    async def _all_told(self) -> None:
        _, newest = await self._node.tip()
        async with asyncio.timeout(60):
            while self._told.hash != newest:  # noqa: ASYNC110 - as long as it takes
                await asyncio.sleep(0.02)

    async def _kill(self) -> None:
        """Kill the node, and start it with a chain that is two blocks shorter."""
        await self._anvil.dumped()
        await self._node.emit(1, 2)
        await self._all_told()
        await self._node.__aexit__()
        await self._anvil.kill()
        await self._anvil.start()
        await self._node.reconnect()
        self._oldest, _ = await self._node.tip()


@pytest.mark.parametrize("seed", range(3))
async def test_cuts_kills_and_reorganisations_cost_no_log(
    anvil: Anvil, seed: int
) -> None:
    told = ToldLogs(0)
    wait = Reconnect(wait=tenacity.wait_random(0.02, 0.1))
    async with (
        FaultProxy("127.0.0.1", anvil.port) as proxy,
        Client(connect(proxy.url(), reconnect=wait)) as client,
        Emitter(anvil.url) as node,
    ):
        stream = logs(client, LogFilter(address=node.address), after=0, settle=0.3)

        async def consume() -> None:
            async for item in stream:
                told.take(item)

        consumer = asyncio.create_task(consume())
        await Trouble(anvil, node, proxy, told, seed).make(120)
        await stream.aclose()
        await consumer
        assert told.logs == await node.logs()
        assert told.gaps == []
        assert told.reorgs


@pytest.mark.parametrize(
    ("blocks", "results"), [(5, None), (100, None), (None, 60)], ids=str
)
async def test_a_restart_catches_up_within_the_limits_of_a_provider(
    anvil: Anvil, blocks: int | None, results: int | None
) -> None:
    async with Emitter(anvil.url) as node:
        wanted = LogFilter(address=node.address)
        await node.emit(1, 2, 3)
        async with Client(connect(anvil.url)) as client:
            stream = logs(client, wanted, after=0)
            told = ToldLogs(0)
            await told.follow(stream, lambda: told.through == 4)
        kept = str(told.cursor)
        await node.emit(*(n % 5 for n in range(400)))
        async with (
            LimitedNode(anvil.port, blocks=blocks, results=results) as limited,
            Client(connect(limited.url)) as client,
        ):
            stream = logs(client, wanted, after=Cursor.parse(kept))
            await told.follow(stream, lambda: told.through == 404)
        assert told.logs == await node.logs()
        assert not told.gaps
        assert not told.reorgs
        assert limited.refused <= 3
        assert limited.calls["eth_getLogs"] <= 90


async def test_history_is_asked_for_finalized_blocks_only(anvil: Anvil) -> None:
    async with Emitter(anvil.url) as node:
        await node.emit(*(n % 3 for n in range(200)))
        async with (
            LimitedNode(anvil.port) as archive,
            LimitedNode(anvil.port) as main,
            Client(connect(archive.url)) as other,
            Client(connect(main.url)) as client,
        ):
            wanted, told = LogFilter(address=node.address), ToldLogs(0)
            stream = logs(client, wanted, after=0, history=other.call)
            await told.follow(stream, lambda: told.through == 201)
            assert told.logs == await node.logs()
            block = await client.call("eth_getBlockByNumber", ["finalized", False])
            assert max(archive.asked) == int(block["number"], 16)
            assert min(main.asked) == max(archive.asked) + 1


async def test_a_history_that_is_gone_is_done_without(anvil: Anvil) -> None:
    async def gone(method: str, params: Any) -> Any:
        raise ConnectionRefusedError("nobody there")

    async with Emitter(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.emit(*[2] * 150)
        told = ToldLogs(0)
        stream = logs(client, LogFilter(address=node.address), after=0, history=gone)
        await told.follow(stream, lambda: told.through == 151)
        assert told.logs == await node.logs()


async def test_what_was_final_comes_without_headers_and_progress_tells_how_far(
    anvil: Anvil,
) -> None:
    async with Emitter(anvil.url) as node, Client(connect(anvil.url)) as client:
        await node.emit(*[0] * 200)
        items: list[Any] = []
        stream = logs(client, LogFilter(address=node.address), after=0)
        while not items or items[-1].cursor.number < 201:
            items.append(await anext(stream))
        progress = [item for item in items if isinstance(item, Progress)]
        assert progress[-1].number == 201 - 64
        # The blocks above are told one by one.
        assert len(items) - len(progress) == 64


@pytest.mark.parametrize(
    ("argument", "value", "error", "match"),
    [
        (
            "filter",
            {"address": "0x"},
            TypeError,
            r"filter must be a LogFilter: LogFilter\(",
        ),
        ("verify", "all", ValueError, 'verify must be "hash", "bloom" or "receipts"'),
        ("limits", 5, TypeError, r"limits must be a Limits"),
        ("after", "12", ValueError, "cursor"),
        ("after", -1, ValueError, "after must be 0 or more"),
        ("settle", 0, ValueError, "settle must be a positive number"),
        ("confirmations", "latest", ValueError, "confirmations must be"),
    ],
)
def test_a_wrong_argument_is_named(
    argument: str, value: Any, error: type[Exception], match: str
) -> None:
    given: dict[str, Any] = {"filter": LogFilter(), argument: value}
    with pytest.raises(error, match=match):
        logs(None, **given)  # type: ignore[arg-type]
