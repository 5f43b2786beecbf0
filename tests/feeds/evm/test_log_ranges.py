from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from resilient_ws.feeds import CallTimeout, RPCError
from resilient_ws.feeds.evm.limits import Limits
from resilient_ws.feeds.evm.log_filter import LogFilter
from resilient_ws.feeds.evm.log_ranges import LogRanges, RangeOfLogs
from resilient_ws.feeds.evm.node_calls import NodeCalls
from resilient_ws.testing import VirtualLoop
from tests.feeds.evm.fake_node import FakeNode


async def ranges(
    node: FakeNode, first: int, last: int, limits: Limits | None = None
) -> list[RangeOfLogs]:
    limits = limits or Limits()
    asking = LogRanges(NodeCalls(node.call, limits), LogFilter(), limits)
    answers = [answer async for answer in asking.through(first, last)]
    # Without a hole between them.
    assert [answer.first for answer in answers] == [
        first,
        *(answer.last + 1 for answer in answers[:-1]),
    ]
    assert answers[-1].last == last
    return answers


def places(answers: list[RangeOfLogs]) -> list[tuple[int, int]]:
    return [(log.blockNumber, log.logIndex) for each in answers for log in each.logs]


def expected(node: FakeNode, first: int, last: int) -> list[tuple[int, int]]:
    return [(n, i) for n in range(first, last + 1) for i in range(node.counts[n])]


async def test_all_logs_come_in_order_with_the_last_block_of_each_range() -> None:
    node = FakeNode([n % 3 for n in range(10_000)], delay=0.1)
    answers = await ranges(node, 100, 9_999)
    assert places(answers) == expected(node, 100, 9_999)
    assert all(each.head == node.head(each.last) for each in answers)
    assert node.asked("eth_getLogs") == len(answers) <= 20


@pytest.mark.parametrize("limit", [1, 5, 100])
async def test_a_limit_of_blocks_costs_one_call(limit: int) -> None:
    node = FakeNode([1] * 1_000, delay=0.1)
    node.max_range = limit
    answers = await ranges(node, 0, 999)
    assert places(answers) == expected(node, 0, 999)
    assert max(each.last - each.first + 1 for each in answers) == limit
    assert node.asked("eth_getLogs") - len(answers) <= 1 + (limit > 32)
    assert node.most_in_flight <= 32  # with the block behind each


async def test_a_limit_of_results_is_kept_away_from() -> None:
    node = FakeNode([30] * 2_000, delay=0.1)
    node.max_results = 1_000
    answers = await ranges(node, 0, 1_999, Limits(max_results=500))
    assert places(answers) == expected(node, 0, 1_999)
    assert node.asked("eth_getLogs") - len(answers) <= 1


async def test_blocks_that_are_dense_all_at_once() -> None:
    node = FakeNode([0] * 3_000 + [100] * 50 + [0] * 3_000)
    node.max_results = 1_000
    answers = await ranges(node, 0, 6_049)
    assert places(answers) == expected(node, 0, 6_049)
    assert all(each.head is not None for each in answers)


async def test_a_block_that_is_refused_by_itself_is_told_as_such() -> None:
    node = FakeNode([0, 0, 50, 1])
    node.max_results = 10
    answers = await ranges(node, 0, 3)
    refused = [each.first for each in answers if each.head is None]
    assert refused == [2]
    assert places(answers) == [(3, 0)]


async def test_not_more_is_fetched_ahead_than_is_allowed() -> None:
    node = FakeNode([10] * 10_000)
    limits = Limits(max_results=100)
    asking = LogRanges(NodeCalls(node.call, limits), LogFilter(), limits)
    taken = 0
    async for answer in asking.through(0, 9_999):
        taken += len(answer.logs)
        await asyncio.sleep(1)
        fetched = sum(
            10 * (int(what[0]["toBlock"], 16) - int(what[0]["fromBlock"], 16) + 1)
            for method, what in node.calls
            if method == "eth_getLogs"
        )
        assert fetched - taken <= 100 + 640
        if answer.last > 500:
            assert fetched - taken <= 200
        if answer.last > 2_000:
            break


async def test_a_node_that_answers_too_late_is_asked_for_less() -> None:
    node = FakeNode([1] * 100)

    def late(method: str, what: Any) -> Any:
        if method == "eth_getLogs":
            blocks = int(what["toBlock"], 16) - int(what["fromBlock"], 16) + 1
            if blocks > 4:
                raise CallTimeout("late", after=30, maybe_executed=True)
        return NotImplemented

    node.lie = late
    assert places(await ranges(node, 0, 99)) == expected(node, 0, 99)


@pytest.mark.parametrize("nonsense", [None, "x", [1], [{"address": "0x1"}]])
async def test_nonsense_is_no_answer(nonsense: Any) -> None:
    node = FakeNode([1] * 10)
    node.lie = lambda method, _: nonsense if method == "eth_getLogs" else NotImplemented
    assert [each.head for each in await ranges(node, 0, 9)] == [None]


async def test_a_range_of_a_node_that_stays_busy_is_left_to_its_blocks() -> None:
    node = FakeNode([1] * 10)

    def refuse(method: str, _: Any) -> Any:
        if method == "eth_getLogs":
            raise RPCError(-32603, "Internal error")
        return NotImplemented

    node.lie = refuse
    assert [each.head for each in await ranges(node, 0, 9)] == [None]


async def test_another_refusal_is_raised_and_nothing_goes_on() -> None:
    node = FakeNode([1] * 1_000, delay=0.1)

    def refuse(method: str, what: Any) -> Any:
        if method == "eth_getLogs" and int(what["toBlock"], 16) > 500:
            raise RPCError(4444, "pruned history unavailable")
        return NotImplemented

    node.lie = refuse
    with pytest.raises(RPCError, match="pruned"):
        await ranges(node, 0, 999)
    await asyncio.sleep(0)
    assert node.in_flight == 0


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=150),
    st.integers(1, 60),
    st.integers(12, 100),
    st.integers(1, 20),
)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_limits_each_log_comes_once(
    counts: list[int], blocks: int, results: int, window: int
) -> None:
    async def run() -> None:
        node = FakeNode(counts, delay=0.1)
        node.max_range, node.max_results = blocks, results
        limits = Limits(window=window, max_results=results)
        answers = await ranges(node, 0, len(counts) - 1, limits)
        assert places(answers) == expected(node, 0, len(counts) - 1)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
