from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws.feeds import RPCError
from resilient_ws.feeds.errors import HistoryPruned
from resilient_ws.feeds.evm.final_logs import (
    FinalBlock,
    FinalGap,
    FinalItem,
    FinalLogs,
    FinalThrough,
)
from resilient_ws.feeds.evm.limits import Limits
from resilient_ws.feeds.evm.log_filter import LogFilter
from resilient_ws.feeds.evm.log_query import LogQuery
from resilient_ws.feeds.evm.node_calls import NodeCalls
from resilient_ws.feeds.evm.tracked_logs import TrackedLogs
from tests.feeds.evm.fake_node import ADDRESS, FakeNode


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.log_checks import Verify


COUNTS = [n % 3 for n in range(500)]


async def told(
    node: FakeNode, verify: Verify = "bloom", first: int = 0, last: int = 499
) -> list[FinalItem]:
    limits = Limits()
    query = LogQuery(
        wanted=LogFilter(address=ADDRESS), verify=verify, limits=limits, patience=10.0
    )
    asking = FinalLogs(TrackedLogs(NodeCalls(node.call, limits), query))
    return [item async for item in asking.through(first, last)]


def places(items: list[FinalItem]) -> list[tuple[int, int]]:
    """The places of all logs, each in its block, none behind what was told through."""
    through, found = -1, []
    for item in items:
        if isinstance(item, FinalBlock):
            assert item.block.number > through
            assert {log.block for log in item.logs} == {item.logs[0].block}
            assert item.logs[0].blockHash == item.block.hash
            found += [(log.blockNumber, log.logIndex) for log in item.logs]
            through = item.block.number
        else:
            assert item.head.number >= through
            through = item.head.number
    return found


def expected(first: int = 0, last: int = 499) -> list[tuple[int, int]]:
    return [(n, i) for n in range(first, last + 1) for i in range(COUNTS[n])]


@pytest.mark.parametrize("verify", ["hash", "bloom", "receipts"])
async def test_all_logs_are_told_and_how_far(verify: Verify) -> None:
    node = FakeNode(COUNTS)
    items = await told(node, verify)
    assert places(items) == expected()
    assert isinstance(items[-1], FinalThrough)
    assert items[-1].head == node.head(499)
    # A range, a header for each block without logs, or a header and receipts for each.
    empty = sum(1 for count in COUNTS if not count)
    allowed = {"hash": 20, "bloom": 20 + empty, "receipts": 1_000}
    assert len(node.calls) <= allowed[verify]


@pytest.mark.parametrize("count", [1, 3])
async def test_a_range_that_loses_the_logs_of_blocks_is_found_out(count: int) -> None:
    node = FakeNode([count if n % 3 == 0 else 0 for n in range(500)])
    lost = {n for n in range(500) if n % 7 == 0}

    def lie(method: str, what: Any) -> Any:
        if method != "eth_getLogs" or "fromBlock" not in what:
            return NotImplemented
        asked = range(int(what["fromBlock"], 16), int(what["toBlock"], 16) + 1)
        return [log for n in asked if n not in lost for log in node.logs(n)]

    node.lie = lie
    own = [(n, i) for n in range(500) for i in range(node.counts[n])]
    assert places(await told(node)) == own
    assert places(await told(node, "receipts")) == own
    # That is what it costs to believe the node.
    assert places(await told(node, "hash")) != own


async def test_blooms_that_prove_nothing_are_not_fetched() -> None:
    node = FakeNode([0] * 1_000)
    node.full = True
    assert places(await told(node, last=999)) == []
    assert node.asked("eth_getBlockByNumber") < 400


async def test_a_range_that_the_node_does_not_prove_is_looked_at_block_by_block() -> (
    None
):
    """A back end that lags answers with less, and does not have the last block."""
    node = FakeNode(COUNTS)
    lies = [None, None]

    def lie(method: str, what: Any) -> Any:
        if method == "eth_getLogs" and "toBlock" in what and lies:
            return []
        if method == "eth_getBlockByNumber" and lies:
            return lies.pop()
        return NotImplemented

    node.lie = lie
    assert places(await told(node)) == expected()


async def test_an_empty_range_against_the_bloom_of_its_last_block_is_not_believed() -> (
    None
):
    node = FakeNode([1] * 500)

    def lie(method: str, what: Any) -> Any:
        return [] if method == "eth_getLogs" and "toBlock" in what else NotImplemented

    node.lie = lie
    assert places(await told(node)) == [(n, 0) for n in range(500)]
    assert places(await told(node, "hash")) == []


@pytest.mark.parametrize("has_from", [1, 250, 499])
async def test_what_the_node_has_deleted_is_a_gap_with_exact_bounds(
    has_from: int,
) -> None:
    node = FakeNode(COUNTS)

    def lie(method: str, what: Any) -> Any:
        if method == "eth_getLogs" and int(what.get("fromBlock", "0x0"), 16) < has_from:
            raise RPCError(4444, "pruned history unavailable")
        return NotImplemented

    node.lie = lie
    gap, *rest = await told(node)
    assert isinstance(gap, FinalGap)
    assert (gap.first, gap.head.number) == (0, has_from - 1)
    assert isinstance(gap.because, HistoryPruned)
    assert places(rest) == expected(has_from)
    assert node.asked("eth_getLogs") < 50


async def test_what_is_deleted_to_the_end_is_one_gap() -> None:
    node = FakeNode(COUNTS)

    def lie(method: str, _: Any) -> Any:
        if method == "eth_getLogs":
            raise RPCError(-32000, "missing trie node")
        return NotImplemented

    node.lie = lie
    (gap,) = await told(node)
    assert isinstance(gap, FinalGap)
    assert (gap.first, gap.head.number) == (0, 499)


async def test_a_block_that_the_node_does_not_have_ends_it_before() -> None:
    """The tracker knows how to wait for it, and what to tell in its place."""
    node = FakeNode(COUNTS[:300])
    items = await told(node)
    assert places(items) == expected(0, 299)
    assert isinstance(items[-1], FinalThrough)
    assert items[-1].head.number == 299


async def test_one_block_with_too_many_logs_is_had_from_its_receipts() -> None:
    node = FakeNode([1] * 100 + [50] + [1] * 100)
    node.max_results = 20
    found = places(await told(node, last=200))
    assert len(found) == 250
    assert node.asked("eth_getBlockReceipts") == 1


async def test_a_filter_that_the_node_refuses_is_told() -> None:
    node = FakeNode(COUNTS)

    def lie(*_: Any) -> Any:
        raise RPCError(-32000, "exceed max addresses or topics per search position")

    node.lie = lie
    with pytest.raises(RPCError, match="exceed max addresses"):
        await told(node)
